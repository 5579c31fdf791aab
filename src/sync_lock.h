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

typedef struct {
#ifdef SM_NO_ROBUST
  _Atomic int32_t owner; /* pid of the holder, 0 while free */
#else
  pthread_mutex_t mutex;
#endif
  _Atomic uint32_t busy; /* a hint for spinning processes: the lock is held, or its holder died */
} sm_lock_shm;

#define SM_LOCK_RECOVERED 1 /* locked; the previous holder died inside */

/* Call this once, before any process that will use the lock is forked. */
int sm_lock_init(sm_lock_shm *l);

/* Spin without writing for as long as recent spins have paid (at most some 50 us), then sleep. 0 or SM_LOCK_RECOVERED: the lock is
 * held; SM_EFAILED or SM_EINTR as the watch says: it is not held. */
int sm_lock_lock(sm_lock_shm *l, const sm_watch *watch);

/* Wait for at most SM_SLICE_MS: SM_EAGAIN if another process held the lock all the time. */
int sm_lock_wait_slice(sm_lock_shm *l);

/* SM_EAGAIN where another process holds the lock. */
int sm_lock_trylock(sm_lock_shm *l);

int sm_lock_unlock(sm_lock_shm *l);

#endif
