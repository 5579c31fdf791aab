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

#define SPINS 40

#ifdef SM_ROBUST_MUTEX

int sm_lock_init(sm_lock_shm *l) {
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
  if (rc == EOWNERDEAD) {
    pthread_mutex_consistent(&l->mutex);
    return SM_LOCK_RECOVERED;
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

int sm_lock_unlock(sm_lock_shm *l) { return -pthread_mutex_unlock(&l->mutex); }

#else

int sm_lock_init(sm_lock_shm *l) {
  atomic_store(&l->owner, 0);
  return 0;
}

int sm_lock_trylock(sm_lock_shm *l) {
  int32_t held = 0, me = (int32_t)getpid();
  if (atomic_compare_exchange_strong(&l->owner, &held, me)) return 0;
  if (kill((pid_t)held, 0) < 0 && errno == ESRCH && atomic_compare_exchange_strong(&l->owner, &held, me))
    return SM_LOCK_RECOVERED;
  return SM_EAGAIN;
}

int sm_lock_wait_slice(sm_lock_shm *l) {
  struct timespec t = {0, 200000L};
  nanosleep(&t, NULL);
  return sm_lock_trylock(l);
}

int sm_lock_unlock(sm_lock_shm *l) {
  int32_t me = (int32_t)getpid();
  return atomic_compare_exchange_strong(&l->owner, &me, 0) ? 0 : SM_EMISUSE;
}

#endif

int sm_lock_lock(sm_lock_shm *l, const sm_watch *watch) {
  int rc = sm_lock_trylock(l);
  for (int i = 0; rc == SM_EAGAIN && i < SPINS; i++) {
    sm_spin_pause();
    rc = sm_lock_trylock(l);
  }
  while (rc == SM_EAGAIN) {
    int look = sm_watch_look(watch);
    if (look < 0) return look;
    rc = sm_lock_wait_slice(l);
  }
  return rc;
}
