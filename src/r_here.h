/* r_here.h: who this process is, for all that runs in it: the loop, the sections, the trace, the kill points of tests.
 *
 * A worker fills it in right after its fork; in any other process it says "nobody". Asked with the pid, since a worker's own
 * forks (parallel, system()) inherit it.
 */
#ifndef R_HERE_H
#define R_HERE_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "task_queue.h"

#define R_HERE_DEPTH 16

typedef struct {
  const void *of; /* the map or region it works for; NULL in a process that is no member */
  pid_t pid;
  int rank;
  bool first;                     /* of the first workers, not a successor */
  int64_t item;                   /* -1 between items */
  sm_watch watch;                 /* what its waits look at */
  sm_queue_slot_shm *slot;        /* where the owner reads what it is at; NULL in a region's member */
  pid_t awaited_by[R_HERE_DEPTH]; /* the processes that wait for this one to end: its owner, its owner's owner, ...; nawaited_by of them */
  int nawaited_by;
} r_here_state;

extern r_here_state r_here;

/* The rank of this process in `of`, or -1 if it is no worker of it. */
int r_here_rank(const void *of);

/* In a new member, before r_here says so: who waits for it. owner: the process that has forked it, or 0 where that does not wait. */
void r_here_set_awaited(r_here_state *now, pid_t owner);

/* Does `pid` wait for this process to end? */
bool r_here_awaited_by(pid_t pid);

/* The running item waits for other processes from now on, or no longer: its time limit does not count that. */
void r_here_pause(void);
void r_here_resume(void);

/* ---- points of the worker's protocol at which a test can have it killed; see tests/testthat/test-deaths.R ----
 * A point costs a comparison. Only the first worker of rank 0 dies at it. */
typedef enum {
  R_KILL_NONE = 0,
  R_KILL_BEFORE_ITEMS, /* before its first item */
  R_KILL_TAKEN,        /* an item is taken, and not yet begun */
  R_KILL_RING_FULL,    /* in the middle of a batch, the ring is full */
  R_KILL_DESCRIPTOR,   /* a descriptor is sent, its frame is not */
  R_KILL_PUBLISHED,    /* results are published, and not yet struck off the slot */
  R_KILL_LAST_FRAME    /* after its last frame */
} r_kill_where;

extern int r_kill_at;
void r_kill_self(void);

static inline void r_kill_point(int where) {
  if (r_kill_at == where) r_kill_self();
}

#endif
