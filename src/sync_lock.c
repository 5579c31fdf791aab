/* sync_lock.c: see sync_lock.h.
 *
 * Purpose: mutual exclusion between forked processes that outlives any of them.
 * States: the robust process-shared mutex's own; where the system has none, the holder's pid.
 * Fork and signals: a waiter sleeps in slices and looks at its watch between them.
 */
#define _GNU_SOURCE
#include "sync_lock.h"

#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

/* Limits of the number of pauses, some hundred nanoseconds each. To sleep and be woken costs some 50 us on a virtual machine, so
 * spinning that long pays while the holder runs. With more processes than processors it does not pay, and the limit falls. */
#define SPINS_MAX 256
#define SPINS_MIN 4

#ifndef SM_NO_ROBUST

int sm_lock_init(sm_lock_shm *l) {
  atomic_store(&l->busy, 0);
  pthread_mutexattr_t a;
  int rc = pthread_mutexattr_init(&a);
  if (rc) return -rc;
  rc = pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  if (!rc) rc = pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  if (!rc) rc = pthread_mutex_init(&l->mutex, &a);
  pthread_mutexattr_destroy(&a);
  return -rc;
}

/* The code of a pthread lock call as one of ours. */
static int settle(sm_lock_shm *l, int rc) {
  if (rc == EOWNERDEAD) pthread_mutex_consistent(&l->mutex);
  if (rc == EOWNERDEAD || rc == 0) {
    atomic_store_explicit(&l->busy, 1, memory_order_relaxed);
    return rc ? SM_LOCK_RECOVERED : 0;
  }
  return rc == EBUSY || rc == ETIMEDOUT ? SM_EAGAIN : -rc;
}

int sm_lock_trylock(sm_lock_shm *l) { return settle(l, pthread_mutex_trylock(&l->mutex)); }

int sm_lock_wait_slice(sm_lock_shm *l) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_nsec += SM_SLICE_MS * 1000000L;
  if (t.tv_nsec >= 1000000000L) {
    t.tv_nsec -= 1000000000L;
    t.tv_sec++;
  }
  return settle(l, pthread_mutex_timedlock(&l->mutex, &t));
}

int sm_lock_unlock(sm_lock_shm *l) {
  atomic_store_explicit(&l->busy, 0, memory_order_relaxed);
  return -pthread_mutex_unlock(&l->mutex);
}

#else

int sm_lock_init(sm_lock_shm *l) {
  atomic_store(&l->owner, 0);
  atomic_store(&l->busy, 0);
  return 0;
}

int sm_lock_trylock(sm_lock_shm *l) {
  int32_t held = 0, me = (int32_t)sm_pid();
  if (atomic_compare_exchange_strong(&l->owner, &held, me)) {
    atomic_store_explicit(&l->busy, 1, memory_order_relaxed);
    return 0;
  }
  if (sm_pid_gone((pid_t)held) && atomic_compare_exchange_strong(&l->owner, &held, me)) return SM_LOCK_RECOVERED;
  return SM_EAGAIN;
}

int sm_lock_wait_slice(sm_lock_shm *l) {
  struct timespec t = {0, 200000L};
  nanosleep(&t, NULL);
  return sm_lock_trylock(l);
}

int sm_lock_unlock(sm_lock_shm *l) {
  int32_t me = (int32_t)sm_pid();
  atomic_store_explicit(&l->busy, 0, memory_order_relaxed);
  return atomic_compare_exchange_strong(&l->owner, &me, 0) ? 0 : SM_EMISUSE;
}

#endif

int sm_lock_lock(sm_lock_shm *l, const sm_watch *watch) {
  static _Atomic int patience = SPINS_MAX; /* pauses before this process sleeps, adapted to its recent waits */
  int rc = sm_lock_trylock(l);
  if (rc != SM_EAGAIN) return rc;
  int spins = atomic_load_explicit(&patience, memory_order_relaxed);
  for (int i = 0; rc == SM_EAGAIN && i < spins; i++) {
    sm_spin_pause();
    if (atomic_load_explicit(&l->busy, memory_order_relaxed) == 0) rc = sm_lock_trylock(l);
  }
  spins = rc == SM_EAGAIN ? spins / 2 : spins + 8;
  atomic_store_explicit(&patience, spins < SPINS_MIN ? SPINS_MIN : spins > SPINS_MAX ? SPINS_MAX : spins, memory_order_relaxed);
  while (rc == SM_EAGAIN) {
    int look = sm_watch_look(watch);
    if (look < 0) return look;
    rc = sm_lock_wait_slice(l);
  }
  return rc;
}
