/* r_here.h: the role of this process, for all that runs in it: the loop, the sections, the trace, the kill points of tests.
 *
 * A member fills in the record right after its fork; in any other process `of` is NULL. Readers compare the pid, because forks of a
 * member (by parallel or system()) inherit the record.
 */
#ifndef R_HERE_H
#define R_HERE_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "task_queue.h"

#define R_HERE_DEPTH 16

typedef struct {
  const void *of; /* the map or region for which this process works; NULL in a process that is no member */
  pid_t pid;
  int rank;
  bool first;                     /* a worker forked at the start of its map, not a successor */
  int64_t item;                   /* -1 between items */
  sm_watch watch;                 /* the conditions that end its waits */
  sm_queue_slot_shm *slot;        /* where the owner reads which item runs; NULL in a member of a region */
  pid_t awaited_by[R_HERE_DEPTH]; /* the processes that wait for this one to end: its owner, its owner's owner, ...; nawaited_by of them, */
  uint64_t awaited_ns[R_HERE_DEPTH]; /* and when each began to */
  int nawaited_by;
} r_here_state;

extern r_here_state r_here;

/* The rank of this process in `of`, or -1 if it is no member of it. */
int r_here_rank(const void *of);

/* In a new member, before r_here is set: fill in the processes that wait for it. owner: whose team it is of, or 0 if that
 * process does not wait; began_ns: when the team was made. */
void r_here_set_awaited(r_here_state *now, pid_t owner, uint64_t began_ns);

/* Will `pid`, which has held something since `since_ns`, hold it until this process has ended, because it waits for that? What the owner
 * has taken later, in a rank of its own or in reduce(), it gives back. */
bool r_here_awaited_by(pid_t pid, uint64_t since_ns);

/* Around a wait of the running item for other processes: its time limit does not count the wait. */
void r_here_pause(void);
void r_here_resume(void);

/* ---- points of the worker's protocol at which a test can kill the worker; see tests/testthat/test-deaths.R ----
 * A point costs one comparison. Only the first worker of rank 0 dies at a point. */
typedef enum {
  R_KILL_NONE = 0,
  R_KILL_BEFORE_ITEMS, /* before its first item */
  R_KILL_TAKEN,        /* it has taken an item and not yet begun it */
  R_KILL_RING_FULL,    /* the ring is full in the middle of a batch */
  R_KILL_DESCRIPTOR,   /* it has sent a descriptor and not yet its frame */
  R_KILL_PUBLISHED,    /* it has published results and not yet struck them off its slot */
  R_KILL_LAST_FRAME    /* after its last frame */
} r_kill_where;

extern int r_kill_at;
void r_kill_self(void);

static inline void r_kill_point(int where) {
  if (r_kill_at == where) r_kill_self();
}

#endif
