/* r_map_template.h: the template, a process set aside when a map begins, which forks successors of
 * dead workers. They see the same snapshot as the first workers did, not what the owner has changed since.
 *
 * The owner writes a command on the rank's desk (control memory) and wakes the template. The template
 * forks, sends the owner its end of the new worker's socket, and forgets it: from then on the two talk
 * directly. The template alone is the worker's parent: it reaps it, and puts its status on the desk.
 * It dies with the owner, and its workers with it.
 */
#ifndef R_MAP_TEMPLATE_H
#define R_MAP_TEMPLATE_H

#include "r_map.h"

typedef enum { R_DESK_IDLE = 0, R_DESK_SPAWN, R_DESK_KILL, R_DESK_END } r_template_command;

/* Fork it; a successor evaluates main(rank) as a worker does. 0 or a negative code; never returns in the template. */
int r_template_spawn(r_map *m, SEXP main, SEXP jumped);

/* Be the template of a map whose owner is at the other end of sock. Does not return. */
void r_template_serve(r_map *m, int sock, SEXP main, SEXP jumped);

/* Owner: the process at the other end of sock (which is the map's from now on) is its template. */
void r_template_adopt(r_map *m, int sock, pid_t pid);

/* Does it live? One that has died is reaped here. */
bool r_template_lives(r_map *m);

/* A worker for a rank that has none, or a dead one: 0, worker RUNNING again; or a negative code. May raise an interrupt. */
int r_template_respawn(r_map *m, int rank);

/* Ask it to kill the remote worker of a rank. */
void r_template_kill(r_map *m, int rank);

/* End it and all its workers, and reap it. Idempotent, never raises. */
void r_template_end(r_map *m);

#endif
