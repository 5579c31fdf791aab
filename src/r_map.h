/* r_map.h: one map: its control memory, its workers, and what the master knows of them.
 *
 * Control memory (MAP_SHARED, inherited by the fork, no descriptor), each part on its own cache line:
 *   r_control_shm | queue | turnstile | np rings
 * Everything else in r_map is process-local. `owner` is the process that made the map: it alone
 * spawns, reads rings, kills, reaps and frees. A worker has the same struct by inheritance.
 *
 * States of a worker as the master sees it: RUNNING -> BYE (its last frame was read) or DEAD (it ended
 * without one); both are reaped by r_map_end(). The last frame decides, not the wait status.
 */
#ifndef R_MAP_H
#define R_MAP_H

#include "proc_worker.h"
#include "r_frame.h"
#include "sync_turnstile.h"
#include "task_queue.h"

typedef struct {
  _Atomic uint32_t failed;   /* the map is being torn down: leave every wait */
  _Atomic uint32_t sleeping; /* the master sleeps in poll */
  uint8_t line[SM_CACHELINE - 8];
  sm_lock_shm critical;
} r_control_shm;

typedef enum { R_WORKER_NONE = 0, R_WORKER_RUNNING, R_WORKER_BYE, R_WORKER_DEAD } r_worker_state;

typedef struct {
  sm_proc proc;
  r_channel chan;
  int state;  /* r_worker_state */
  bool ended; /* pidfd or socket said so */
  bool quit;  /* it announced R's exit path */
} r_worker;

typedef struct r_map {
  uint32_t magic;
  pid_t owner;
  int np;             /* 0: everything runs in the owner */
  int64_t nitems;
  void *mem;
  size_t nbytes;
  r_control_shm *ctl;
  sm_queue_shm *queue;
  sm_turnstile_shm *turn;
  uint64_t ring_capacity;
  uint8_t *rings;
  r_worker *worker;   /* np of them */
  struct r_map *next; /* maps of this process that may have workers */
} r_map;

/* The map behind its external pointer; raises an argument error for anything else. */
r_map *r_map_get(SEXP ptr);

/* Stop, kill, reap and close all workers. Idempotent, never raises, only in the owner. */
void r_map_end(r_map *m);

/* Fork the worker of a rank. 0 in the parent, 1 in the child, or a negative code. */
int r_map_spawn(r_map *m, int rank);

#endif
