/* r_map_life.h: the end of a map. */
#ifndef R_MAP_LIFE_H
#define R_MAP_LIFE_H

#include "r_map.h"

/* Stop, kill, reap and close all workers. Idempotent, never raises, only in the owner. */
void r_map_end(r_map *m);

#endif
