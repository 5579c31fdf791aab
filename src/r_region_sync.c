/* r_region_sync.c: barrier, critical and ordered sections, and loops, as R code in a region calls them.
 *
 * What this process holds or runs stands in its r_region. Misuse is raised before anything is taken;
 * what leaves never raises. A wait of the owner comes back now and then (SM_EINTR) to look after the members and after
 * Ctrl-C; then it is begun again where it was.
 */
#include <unistd.h>

#include "r_region_watch.h"
#include "r_util.h"

static r_region *enter(SEXP ptr, const char *what) {
  r_region *r = r_region_get(ptr, what);
  r_region_look(r, ptr);
  return r;
}

static void check_waited(r_region *r, int rc, const char *what) {
  if (rc >= 0) return;
  if (rc == SM_EFAILED) r_region_unwind(r);
  if (rc == SM_EGONE) r_abort("sharedmem_region_error", "%s: another process left the region without reaching it", what);
  if (rc == SM_EMISUSE)
    r_abort("sharedmem_region_error", "%s: the processes of the region do not agree: another one is at a different loop or barrier", what);
  r_abort("sharedmem_region_error", "%s: %s", what, sm_error_text(rc));
}

static void check_free(const r_region *r, const char *what) {
  const char *in = r->in_critical ? "a critical section" : r->in_loop ? "the body of a loop or of single()" : NULL;
  if (in) r_abort("sharedmem_region_error", "%s inside %s: the others could never reach it", what, in);
}

/* kind: 1 asked for, 2 the end of a loop, 3 the end of single(). */
SEXP ffi_region_barrier(SEXP ptr, SEXP kind) {
  const char *what = "barrier()";
  r_region *r = enter(ptr, what);
  check_free(r, what);
  uint32_t round;
  int rc = sm_barrier_arrive(&r->ctl->barrier, (uint64_t)r->schedule.met << 8 | (uint64_t)Rf_asInteger(kind), &round);
  check_waited(r, rc, what);
  while ((rc = sm_barrier_await(&r->ctl->barrier, round, &r->watch)) == SM_EINTR) r_region_tick(r, ptr);
  check_waited(r, rc, what);
  return R_NilValue;
}

static void critical_leave(void *region) {
  r_region *r = region;
  if (r->pid != sm_pid() || !r->in_critical) return;
  r->in_critical = false;
  sm_lock_unlock(&r->ctl->critical);
}

/* .External2(ffi_region_critical, region): the caller's `expr`, inside. */
SEXP ffi_region_critical(SEXP call, SEXP op, SEXP args, SEXP env) {
  (void)call, (void)op;
  SEXP ptr = CADR(args);
  r_region *r = enter(ptr, "critical()");
  if (r->in_critical) r_abort("sharedmem_lock_error", "critical() is entered twice: this process is in the section already");
  int rc;
  while ((rc = sm_lock_lock(&r->ctl->critical, &r->watch)) == SM_EINTR) r_region_tick(r, ptr);
  check_waited(r, rc, "critical()");
  r->in_critical = true;
  return r_eval_section(false, env, critical_leave, r);
}

/* ---- loops ---- */

/* schedule: 0 static, 1 dynamic, 2 guided. chunk: 0 for the default. single: the loop is a single(). */
SEXP ffi_region_loop_begin(SEXP ptr, SEXP n, SEXP schedule, SEXP chunk, SEXP ordered, SEXP single) {
  bool is_single = Rf_asLogical(single) == TRUE;
  const char *what = is_single ? "single()" : "forloop()";
  r_region *r = enter(ptr, what);
  check_free(r, what);
  sm_schedule_plan plan = {(int64_t)Rf_asReal(n), (int64_t)Rf_asReal(chunk), Rf_asInteger(schedule), Rf_asLogical(ordered) == TRUE,
                           is_single};
  int rc;
  while ((rc = sm_schedule_begin(&r->schedule, &plan, &r->watch)) == SM_EINTR) r_region_tick(r, ptr);
  check_waited(r, rc, what);
  r->in_loop = true;
  r->item = r->through = -1;
  return R_NilValue;
}

static void pass_item(r_region *r) {
  if (r->item >= 0) sm_schedule_pass(&r->schedule, r->item);
  r->item = -1;
}

/* c(first, last) of the items to run next, 1-based, or NULL when there are none left. */
SEXP ffi_region_loop_claim(SEXP ptr) {
  r_region *r = enter(ptr, "forloop()");
  pass_item(r);
  int64_t from, to;
  if (!sm_schedule_claim(&r->schedule, &from, &to)) return R_NilValue;
  SEXP out = Rf_allocVector(REALSXP, 2);
  REAL(out)[0] = (double)from + 1;
  REAL(out)[1] = (double)to;
  return out;
}

/* Ordered loops: item (1-based) begins, so the one before is through. */
SEXP ffi_region_loop_item(SEXP ptr, SEXP item) {
  r_region *r = enter(ptr, "forloop()");
  pass_item(r);
  r->item = (int64_t)Rf_asReal(item) - 1;
  return R_NilValue;
}

/* Idempotent, never raises: it also ends a loop that was left half way. */
SEXP ffi_region_loop_end(SEXP ptr) {
  r_region *r = R_ExternalPtrAddr(ptr);
  if (!r || r->pid != sm_pid() || !r->in_loop) return R_NilValue;
  r->in_loop = false;
  r->item = -1;
  sm_schedule_end(&r->schedule);
  return R_NilValue;
}

static void ordered_leave(void *region) {
  r_region *r = region;
  if (r->pid != sm_pid() || !r->in_ordered) return;
  r->in_ordered = false;
  sm_schedule_pass(&r->schedule, r->through);
}

/* .External2(ffi_region_ordered, region): likewise. */
SEXP ffi_region_ordered(SEXP call, SEXP op, SEXP args, SEXP env) {
  (void)call, (void)op;
  const char *what = "ordered()";
  SEXP ptr = CADR(args);
  r_region *r = enter(ptr, what);
  if (r->item < 0) r_abort("sharedmem_lock_error", "ordered() is used outside of an item of an ordered loop");
  if (r->in_critical) r_abort("sharedmem_lock_error", "ordered() is entered from inside critical(): others could never pass");
  if (r->through == r->item) r_abort("sharedmem_lock_error", "ordered() is entered twice in item %.0f", (double)r->item + 1);
  int rc;
  while ((rc = sm_schedule_order(&r->schedule, r->item, &r->watch)) == SM_EINTR) r_region_tick(r, ptr);
  check_waited(r, rc, what);
  r->through = r->item;
  r->in_ordered = true;
  return r_eval_section(false, env, ordered_leave, r);
}
