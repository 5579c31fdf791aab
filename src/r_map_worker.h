/* r_map_worker.h: what runs in a forked worker. */
#ifndef R_MAP_WORKER_H
#define R_MAP_WORKER_H

#include "r_map.h"

/* In the child, straight after the fork: evaluates main(rank) and ends the process, whatever happens. Does not return. */
void r_worker_run(void *map, int rank, SEXP main, SEXP jumped);

#endif
