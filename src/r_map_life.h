/* r_map_life.h: the end of a map, and of its workers. */
#ifndef R_MAP_LIFE_H
#define R_MAP_LIFE_H

#include "r_map.h"

/* Stop, kill, reap and close all workers. Idempotent, never raises, only in the owner. */
void r_map_end(r_map *m);

/* Owner: another process for the rank of a dead worker, forked by the template or by the owner. 0 or a negative code. May raise an
 * interrupt. */
int r_map_successor(r_map *m, int rank);

#endif
