/* r_lock.c: Lock(): a lock of the user's own, in memory that forked processes share.
 *
 * Ownership: each process frees its own mapping. `holder` of own_lock says whether this process holds the lock; `holder` in shared memory
 * names the holding process, so that a process never waits for a holder that waits for that very process.
 */
#include <R.h>
#include <stdlib.h>
#include <unistd.h>

#include "mem_segment.h"
#include "r_here.h"
#include "r_util.h"
#include "sync_lock.h"

#define LOCK_MAGIC 0x534D4C4Bu

typedef struct {
  sm_lock_shm lock;
  _Atomic int32_t holder; /* pid of the holder, living or dead; 0 for none */
} lock_page;

typedef struct {
  uint32_t magic;
  pid_t holder;   /* pid of this process while it holds the lock; another's or 0 otherwise */
  lock_page *shm; /* SM_PAGE bytes */
} own_lock;

static void lock_finalize(SEXP x) {
  own_lock *l = R_ExternalPtrAddr(x);
  if (!l) return;
  R_ClearExternalPtr(x);
  if (l->shm && l->holder != sm_pid()) sm_anon_unmap(l->shm, SM_PAGE);
  l->magic = 0;
  free(l);
}

SEXP ffi_lock_new(void) {
  SEXP x = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(x, lock_finalize, FALSE);
  own_lock *l = calloc(1, sizeof *l);
  if (!l) r_abort("sharedmem_memory_error", "cannot allocate a lock");
  R_SetExternalPtrAddr(x, l);
  void *p = NULL;
  int rc = sm_anon_map(SM_PAGE, &p);
  if (rc == 0) {
    l->shm = p;
    rc = sm_lock_init(&l->shm->lock);
  }
  if (rc < 0) r_abort("sharedmem_memory_error", "cannot make a lock: %s", sm_error_text(rc));
  l->magic = LOCK_MAGIC;
  UNPROTECT(1);
  return x;
}

static own_lock *get_lock(SEXP x) {
  own_lock *l = TYPEOF(x) == EXTPTRSXP ? R_ExternalPtrAddr(x) : NULL;
  if (!l || l->magic != LOCK_MAGIC)
    r_abort("sharedmem_lock_error", "this lock is not attached: a lock works in the process that made it and in its forks");
  return l;
}

static void leave(void *lock) {
  own_lock *l = lock;
  if (l->holder != sm_pid()) return;
  l->holder = 0;
  atomic_store(&l->shm->holder, 0);
  sm_lock_unlock(&l->shm->lock);
}

/* Raises R errors and interrupts while the lock is not held. The time limit of the running item does not count the wait. */
static int wait_for(own_lock *l) {
  int rc = SM_EAGAIN;
  while (rc == SM_EAGAIN) {
    pid_t holder = (pid_t)atomic_load(&l->shm->holder);
    if (r_here_awaited_by(holder))
      r_abort("sharedmem_lock_error",
              "the lock is held by process %ld, which waits for this process to end: it cannot be entered in a map or region inside of it",
              (long)holder);
    R_CheckUserInterrupt();
    r_here_pause();
    rc = sm_lock_wait_slice(&l->shm->lock);
    r_here_resume();
  }
  return rc;
}

/* .External2(ffi_lock, lock): withVisible() of the caller's `expr`, while the lock is held. */
SEXP ffi_lock(SEXP call, SEXP op, SEXP args, SEXP env) {
  (void)call, (void)op;
  own_lock *l = get_lock(CADR(args));
  if (l->holder == sm_pid()) r_abort("sharedmem_lock_error", "the lock is entered twice: this process holds it already");
  int rc = sm_lock_trylock(&l->shm->lock);
  if (rc == SM_EAGAIN) rc = wait_for(l);
  if (rc < 0) r_abort("sharedmem_lock_error", "lock: %s", sm_error_text(rc));
  l->holder = sm_pid();
  atomic_store(&l->shm->holder, (int32_t)l->holder);
  return r_eval_section(true, env, leave, l);
}

/* Does this process hold it? */
SEXP ffi_lock_held(SEXP x) {
  own_lock *l = get_lock(x);
  return Rf_ScalarLogical(l->holder == sm_pid());
}
