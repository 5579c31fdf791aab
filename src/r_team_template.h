/* r_team_template.h: the template, a process set aside when a team begins, which forks successors of dead members, and all members of a
 * team whose owner does not fork them itself. They see the same snapshot as the first ones did, not what the owner has changed since.
 *
 * The owner writes a command on the rank's desk (shared memory) and wakes the template. The template
 * forks, sends the owner its end of the new member's socket, and forgets it: from then on the two talk
 * directly. The template alone is the member's parent: it reaps it, and puts its status on the desk.
 * It dies with the owner, and its members with it. A map during which the owner runs nothing of the user's has no template
 * (r_map_successor()): the owner forks successors itself.
 */
#ifndef R_TEAM_TEMPLATE_H
#define R_TEAM_TEMPLATE_H

#include "r_team.h"

typedef enum { R_DESK_IDLE = 0, R_DESK_SPAWN, R_DESK_KILL, R_DESK_END } r_template_command;

/* Who waits for commands looks by itself after so long: a wake may be lost. */
#define R_IDLE_MS 500

/* Fork it; each that it forks goes to t->run(t->of, rank, main, jumped). 0 or a negative code; never returns in the template. */
int r_template_spawn(r_team *t, SEXP main, SEXP jumped);

/* Be the template of a team whose owner is at the other end of sock. Does not return. */
void r_template_serve(r_team *t, int sock, SEXP main, SEXP jumped);

/* Owner: the process at the other end of sock (which is the team's from now on) is its template. */
void r_template_adopt(r_team *t, int sock, pid_t pid);

/* Does it live? One that has died is reaped here. */
bool r_template_lives(r_team *t);

/* A member for a rank that has none, or a dead one: 0, member RUNNING again; or a negative code. May raise an interrupt. */
int r_template_respawn(r_team *t, int rank);

/* Has the process of this running member ended, with no frame of it unread? */
bool r_team_has_died(r_team *t, int rank);

/* The wait status of one that has, or that of an exit with what its q() was told (members end by SIGKILL even then): waits until it has
 * been reaped. -1 where that is not known. May raise an interrupt. */
int r_team_status(r_team *t, int rank);

/* Ask it to kill the member of a rank. */
void r_template_kill(r_team *t, int rank);

/* End it and all its members, and reap it. Idempotent, never raises. */
void r_template_end(r_team *t);

#endif
