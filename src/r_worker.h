/* r_worker.h: what runs in a forked worker. */
#ifndef R_WORKER_H
#define R_WORKER_H

#include "r_map.h"

/* In the child, straight after the fork: evaluates main(map, rank) and ends the process, whatever happens. Does not return. */
void r_worker_run(r_map *m, int rank, SEXP ptr, SEXP main);

/* The rank of this process in map m, or -1 if it is not a worker of it. */
int r_worker_rank(const r_map *m);

/* The item this worker works on; -1 between items. */
int64_t r_worker_item(void);

/* What every wait of a worker watches: the map's failure flag, and the master's life where the
 * system does not end orphans. */
const sm_watch *r_worker_watch(void);

/* Ends the process after the last frame of a type. Does not return. */
void r_worker_end(uint32_t last_frame);

#endif
