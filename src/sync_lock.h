/* sync_lock.h: the lock behind critical(): process-shared, survives the death of its holder.
 *
 * States: free, held by one process. A holder that dies frees it: the next to lock gets
 * SM_LOCK_RECOVERED. Not recursive: the caller keeps track of what it holds (the glue does).
 */
#ifndef SYNC_LOCK_H
#define SYNC_LOCK_H

#include <pthread.h>
#include <sys/types.h>

#include "sync_futex.h"

#if defined(__linux__) || defined(__FreeBSD__)
#define SM_ROBUST_MUTEX 1
#endif

typedef struct {
#ifdef SM_ROBUST_MUTEX
  pthread_mutex_t mutex;
#else
  _Atomic int32_t owner; /* pid of the holder, 0 while free */
#endif
  _Atomic uint32_t busy; /* a hint for those who spin: somebody is inside, or died there */
} sm_lock_shm;

#define SM_LOCK_RECOVERED 1 /* locked; the holder before died inside */

/* Once, before any process that will use it is forked. */
int sm_lock_init(sm_lock_shm *l);

/* Spins, reading only, for as long as that has paid off of late (at most some 50 us), then sleeps. 0 or
 * SM_LOCK_RECOVERED when held; SM_EFAILED or SM_EINTR as the watch says, and then not held. */
int sm_lock_lock(sm_lock_shm *l, const sm_watch *watch);

/* As lock, for at most SM_SLICE_MS: SM_EAGAIN if it was held all the time. */
int sm_lock_wait_slice(sm_lock_shm *l);

/* SM_EAGAIN where somebody holds it. */
int sm_lock_trylock(sm_lock_shm *l);

int sm_lock_unlock(sm_lock_shm *l);

#endif
