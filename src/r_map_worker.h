/* r_map_worker.h: what runs in a forked worker. */
#ifndef R_MAP_WORKER_H
#define R_MAP_WORKER_H

#include "r_map.h"

/* In the child, straight after the fork: evaluates main(map, rank) and ends the process, whatever happens. Does not return. */
void r_worker_run(r_map *m, int rank, SEXP ptr, SEXP main);

/* Ends the process after the last frame of a type. Does not return. */
void r_worker_end(uint32_t last_frame);

#endif
