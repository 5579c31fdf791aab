/* r_lock.c: Lock(): a lock of one's own, in memory that forked processes share.
 *
 * Ownership: each process frees its own mapping. Which process holds the lock is known to that process alone (`holder`).
 */
#include <R.h>
#include <stdlib.h>
#include <unistd.h>

#include "mem_segment.h"
#include "r_util.h"
#include "sync_lock.h"

#define LOCK_MAGIC 0x534D4C4Bu

typedef struct {
  uint32_t magic;
  pid_t holder;     /* pid of this process while it holds the lock; another's or 0 otherwise */
  sm_lock_shm *shm; /* SM_PAGE bytes */
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
    rc = sm_lock_init(l->shm);
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
  sm_lock_unlock(l->shm);
}

/* .External2(ffi_lock, lock): withVisible() of the caller's `expr`, while the lock is held. */
SEXP ffi_lock(SEXP call, SEXP op, SEXP args, SEXP env) {
  (void)call, (void)op;
  own_lock *l = get_lock(CADR(args));
  if (l->holder == sm_pid()) r_abort("sharedmem_lock_error", "the lock is entered twice: this process holds it already");
  int rc = sm_lock_trylock(l->shm);
  while (rc == SM_EAGAIN) {
    R_CheckUserInterrupt(); /* nothing is held when it jumps */
    rc = sm_lock_wait_slice(l->shm);
  }
  if (rc < 0) r_abort("sharedmem_lock_error", "lock: %s", sm_error_text(rc));
  l->holder = sm_pid();
  return r_eval_section(true, env, leave, l);
}

/* Does this process hold it? */
SEXP ffi_lock_held(SEXP x) {
  own_lock *l = get_lock(x);
  return Rf_ScalarLogical(l->holder == sm_pid());
}
