/* sync_futex.h: sleep until a shared word changes.
 *
 * Works between processes on MAP_SHARED memory. A wait may end early for any reason; callers loop
 * on their own condition. Where there is no futex the wait is a short sleep (SM_NO_FUTEX).
 */
#ifndef SYNC_FUTEX_H
#define SYNC_FUTEX_H

#include <stdatomic.h>

#include "sm_base.h"

/* Longest sleep of any wait before it looks at failure flags and interrupts again. */
#define SM_SLICE_MS 100

/* Returns when *word != expected, on a wake, or after timeout_ms, whichever comes first. */
void sm_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t timeout_ms);

/* Wakes up to n waiters. */
void sm_futex_wake(_Atomic uint32_t *word, int n);

/* The conditions that a waiter checks between slices. failed: the group's flag, or NULL. check: a nonzero result ends the wait with
 * SM_EINTR; NULL for none. */
typedef struct {
  const _Atomic uint32_t *failed;
  int (*check)(void *arg);
  void *arg;
} sm_watch;

/* 0, SM_EFAILED or SM_EINTR. w may be NULL. */
int sm_watch_look(const sm_watch *w);

/* A few hundred nanoseconds of waiting without a system call. */
void sm_spin_pause(void);

#endif
