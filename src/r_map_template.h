/* r_map_template.h: the template, a process set aside when a map begins, which forks successors of
 * dead workers. They see the same snapshot as the first workers did, not what the master has changed since.
 *
 * The master writes a command on the rank's desk (control memory) and wakes the template. The template
 * forks, sends the master its end of the new worker's socket, and forgets it: from then on the two talk
 * directly. The template alone is the worker's parent: it reaps it, and puts its status on the desk.
 * It dies with the master, and its workers with it.
 */
#ifndef R_MAP_TEMPLATE_H
#define R_MAP_TEMPLATE_H

#include "r_map.h"

typedef enum { R_DESK_IDLE = 0, R_DESK_SPAWN, R_DESK_KILL, R_DESK_END } r_template_command;

/* What a successor does: run(m, rank, ptr, main), which never returns. */
typedef struct {
  void (*run)(r_map *m, int rank, SEXP ptr, SEXP main);
  SEXP ptr, main;
} r_template_work;

/* Fork it. 0 or a negative code; never returns in the template. */
int r_template_spawn(r_map *m, const r_template_work *work);

/* A successor for a dead rank: 0, worker RUNNING again; or a negative code. May raise an interrupt. */
int r_template_respawn(r_map *m, int rank);

/* Ask it to kill the remote worker of a rank. */
void r_template_kill(r_map *m, int rank);

/* End it and all its workers, and reap it. Idempotent, never raises. */
void r_template_end(r_map *m);

#endif
