/* r_lock.c: Lock(): a lock of one's own, in the memory of a shared array, which goes wherever its handle goes.
 *
 * Ownership: the memory is the handle's. Who holds the lock stands in it, so that one who waits for a process that waits for it learns
 * that instead of waiting for ever. A copy of the memory (a handle that was saved with its values) is no lock: the page knows where it
 * lies.
 */
#include <R.h>
#include <string.h>

#include "r_array_handle.h"
#include "r_here.h"
#include "r_util.h"
#include "sync_lock.h"

#define LOCK_MAGIC 0x534D4C4Bu
#define LOCK_BYTES 256 /* as lock_bytes in R/lock.R */

typedef struct {
  uint32_t magic;
  _Atomic int32_t holder;    /* pid of who holds the lock, or held it when it died; 0 for nobody */
  _Atomic uint64_t since_ns; /* when it got it */
  uint64_t place[3];         /* the segment's id, and where in it the page lies */
  sm_lock_shm lock;
} lock_page;

_Static_assert(sizeof(lock_page) <= LOCK_BYTES, "lock_page layout");

static void place_of(const r_array *a, uint64_t place[3]) {
  const sm_segment *s = a->block ? a->block->seg : a->seg;
  place[0] = s->id[0];
  place[1] = s->id[1];
  place[2] = (uint64_t)(a->data - s->payload);
}

/* page: a new array of LOCK_BYTES bytes. */
SEXP ffi_lock_init(SEXP page) {
  r_array *a = r_array_get(page, "page");
  if (a->length < LOCK_BYTES || a->readonly) r_abort_argument_value("page", page, "a new array");
  lock_page *l = (lock_page *)a->data;
  int rc = sm_lock_init(&l->lock);
  if (rc < 0) r_abort("sharedmem_memory_error", "cannot make a lock: %s", sm_error_text(rc));
  place_of(a, l->place);
  l->magic = LOCK_MAGIC;
  return page;
}

static lock_page *get_lock(SEXP page) {
  r_array *a = r_array_ptr(page) ? r_array_get(page, "page") : NULL;
  uint64_t place[3] = {0};
  if (a) place_of(a, place);
  lock_page *l = a && a->length >= LOCK_BYTES && !a->readonly ? (lock_page *)a->data : NULL;
  if (!l || l->magic != LOCK_MAGIC || memcmp(l->place, place, sizeof place) != 0)
    r_abort("sharedmem_lock_error", "this lock is a copy of one: a lock works where its memory is, and is not saved");
  return l;
}

static bool held_here(lock_page *l) { return atomic_load(&l->holder) == (int32_t)sm_pid(); }

static void leave(void *lock) {
  lock_page *l = lock;
  if (!held_here(l)) return;
  atomic_store(&l->holder, 0);
  sm_lock_unlock(&l->lock);
}

/* Nothing is held when it jumps. The time limit of the running item does not count the wait. */
static int wait_for(lock_page *l) {
  int rc = SM_EAGAIN;
  while (rc == SM_EAGAIN) {
    pid_t holder = (pid_t)atomic_load(&l->holder);
    if (r_here_awaited_by(holder, atomic_load(&l->since_ns)))
      r_abort("sharedmem_lock_error",
              "the lock is held by process %ld, which waits for this process to end: it cannot be entered in a map or region inside of it",
              (long)holder);
    R_CheckUserInterrupt();
    r_here_pause();
    rc = sm_lock_wait_slice(&l->lock);
    r_here_resume();
  }
  return rc;
}

/* .External2(ffi_lock, page): withVisible() of the caller's `expr`, while the lock is held. */
SEXP ffi_lock(SEXP call, SEXP op, SEXP args, SEXP env) {
  (void)call, (void)op;
  lock_page *l = get_lock(CADR(args));
  int rc = sm_lock_trylock(&l->lock);
  if (rc == SM_EAGAIN && held_here(l)) r_abort("sharedmem_lock_error", "the lock is entered twice: this process holds it already");
  if (rc == SM_EAGAIN) rc = wait_for(l);
  if (rc < 0) r_abort("sharedmem_lock_error", "lock: %s", sm_error_text(rc));
  atomic_store(&l->since_ns, sm_clock_ns());
  atomic_store(&l->holder, (int32_t)sm_pid());
  return r_eval_section(true, env, leave, l);
}

/* Does this process hold it? */
SEXP ffi_lock_held(SEXP page) { return Rf_ScalarLogical(held_here(get_lock(page))); }
