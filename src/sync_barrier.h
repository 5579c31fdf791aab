/* sync_barrier.h: a reusable barrier for a fixed number of processes.
 *
 * Layout   round and sleepers share a cache line; the next one holds the words that arriving processes write
 * Round    filling (arrived < nproc) -> complete: the last to arrive empties the counters, then moves `round`
 *          on. `round` alone says whether a wait is over, so a spurious wake-up or a late look does no harm.
 * Leaving  a process that will come to no barrier any more says so; a process that waits in a round which the leaver did not
 *          reach gets SM_EGONE. After SM_EGONE, SM_EFAILED or SM_EMISUSE the barrier must not be used again.
 * Death    this file does not notice deaths: the watcher of a dead process sets the failure flag, which every wait looks at.
 */
#ifndef SYNC_BARRIER_H
#define SYNC_BARRIER_H

#include "sync_futex.h"

typedef struct {
  _Atomic uint32_t round;    /*   0 futex */
  _Atomic uint32_t sleepers; /*   4 asleep, or about to be */
  uint32_t nproc;            /*   8 */
  _Atomic uint32_t spins;    /*  12 spin limit before a wait sleeps, adapted to recent waits; 0: never spin */
  uint8_t line1[SM_CACHELINE - 16];
  _Atomic uint64_t tag[2];  /*  64 the tags of this round and of the next; 0 while nobody has arrived */
  _Atomic uint32_t arrived; /*  80 */
  _Atomic uint32_t left;    /*  84 processes that have left for good */
  uint8_t line2[SM_CACHELINE - 24];
} sm_barrier_shm;

_Static_assert(sizeof(sm_barrier_shm) == 2 * SM_CACHELINE, "sm_barrier_shm layout");

/* Call this once, before the processes are forked. spin: there are processors for all nproc processes, so spinning for a few
 * microseconds before going to sleep may pay. */
void sm_barrier_init(sm_barrier_shm *b, int nproc, bool spin);

/* Arrive. tag: nonzero, names the barrier that the process believes it has come to. Gives the round to wait for in *round;
 * SM_EMISUSE where another process came to the same round with another tag. */
int sm_barrier_arrive(sm_barrier_shm *b, uint64_t tag, uint32_t *round);

/* Wait until every process has arrived in `round`. 0; SM_EGONE where one has left instead; SM_EFAILED or
 * SM_EINTR as the watch says. After SM_EINTR it may be called again. */
int sm_barrier_await(sm_barrier_shm *b, uint32_t round, const sm_watch *watch);

/* This process comes to no barrier any more. */
void sm_barrier_leave(sm_barrier_shm *b);

/* Wake all processes that wait, for instance after a failure flag was set. */
void sm_barrier_wake_all(sm_barrier_shm *b);

#endif
