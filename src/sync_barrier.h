/* sync_barrier.h: a reusable barrier for a fixed number of processes.
 *
 * Layout   round and sleepers on one cache line, what the arriving write on the next
 * Round    filling (arrived < nproc) -> complete: the last to arrive empties the counters, then moves `round`
 *          on. `round` alone says whether a wait is over, so a spurious wake-up or a late look does no harm.
 * Leaving  a process that will come to no barrier any more says so; whoever waits in a round that it did not
 *          reach gets SM_EGONE. After SM_EGONE, SM_EFAILED or SM_EMISUSE the barrier is not to be used again.
 * Death    a process that dies is not noticed here: its watcher sets the failure flag that every wait looks at.
 */
#ifndef SYNC_BARRIER_H
#define SYNC_BARRIER_H

#include "sync_futex.h"

typedef struct {
  _Atomic uint32_t round;    /*   0 futex */
  _Atomic uint32_t sleepers; /*   4 asleep, or about to be */
  uint32_t nproc;            /*   8 */
  _Atomic uint32_t spins;    /*  12 looks before a wait sleeps: follows what has paid off of late; 0 for none */
  uint8_t line1[SM_CACHELINE - 16];
  _Atomic uint64_t tag[2];  /*  64 what this round and the next are about; 0 while nobody has come */
  _Atomic uint32_t arrived; /*  80 */
  _Atomic uint32_t left;    /*  84 processes that will not come again */
  uint8_t line2[SM_CACHELINE - 24];
} sm_barrier_shm;

_Static_assert(sizeof(sm_barrier_shm) == 2 * SM_CACHELINE, "sm_barrier_shm layout");

/* Once, before the processes are forked. spin: processors suffice for all nproc, so that it may pay to look for a
 * few microseconds before going to sleep. */
void sm_barrier_init(sm_barrier_shm *b, int nproc, bool spin);

/* Arrive. tag: nonzero, says what the process believes this barrier is. Gives the round to wait for in
 * *round; SM_EMISUSE where another process came to the same round with another tag. */
int sm_barrier_arrive(sm_barrier_shm *b, uint64_t tag, uint32_t *round);

/* Wait until every process has arrived in `round`. 0; SM_EGONE where one has left instead; SM_EFAILED or
 * SM_EINTR as the watch says. After SM_EINTR it may be called again. */
int sm_barrier_await(sm_barrier_shm *b, uint32_t round, const sm_watch *watch);

/* This process comes to no barrier any more. */
void sm_barrier_leave(sm_barrier_shm *b);

/* Wake everybody who waits, for instance after a failure flag was set. */
void sm_barrier_wake_all(sm_barrier_shm *b);

#endif
