/* r_region_watch.c: what the owner of a region reads from its members.
 *
 * Frames wait in the external pointer's protected slot (the inbox: a pairlist, newest first) until the region is
 * collected, so that a member's warnings are never raised in the middle of the owner's own code.
 */
#include "r_region_watch.h"

#include <R.h>

#include "r_team_template.h"
#include "r_util.h"

void r_region_tend(r_region *r, SEXP ptr) {
  int rank;
  sm_frame f;
  SEXP value;
  while (r_team_next_frame(&r->team, &rank, &f, &value)) {
    SEXP frame = PROTECT(r_team_frame(&r->team, r_frame_names[f.type], rank, value, f.type == R_FRAME_RESULT ? f.first : -1));
    SEXP inbox = PROTECT(Rf_cons(frame, R_ExternalPtrProtected(ptr)));
    R_SetExternalPtrProtected(ptr, inbox);
    UNPROTECT(2);
  }
  for (int i = 1; i < r->nproc; i++)
    if (r_team_has_died(&r->team, i)) {
      r_member *m = &r->team.member[i];
      m->state = R_MEMBER_DEAD;
      sm_proc_close(&m->proc);
      r_region_fail(r, i);
    }
}

void r_region_unwind(r_region *r) {
  if (r->pid != r->owner) r_team_leave(false);
  r_region_stop_sentinel(r);
  SEXP name = PROTECT(Rf_mkString("sharedmem"));
  SEXP ns = PROTECT(R_FindNamespace(name)), id = PROTECT(Rf_ScalarInteger(r->id));
  SEXP call = PROTECT(Rf_lang2(Rf_install("region_unwind"), id));
  Rf_eval(call, ns);
  r_abort("sharedmem_region_error", "the region has failed"); /* not reached: region_unwind() jumps */
}

/* This process has been interrupted: by the sentinel of this region? It tells nothing more then. ptr: also NULL. */
SEXP ffi_region_told(SEXP ptr) {
  r_region *r = TYPEOF(ptr) == EXTPTRSXP ? R_ExternalPtrAddr(ptr) : NULL;
  bool told = r && r->owner == sm_pid() && r->sentinel && sm_watch_told(r->sentinel);
  if (told) r_region_stop_sentinel(r);
  return Rf_ScalarLogical(told);
}

void r_region_tick(r_region *r, SEXP ptr) {
  if (r->pid != r->owner) return;
  r->ticked_ns = sm_clock_ns();
  r_team_sleep(&r->team, 0);
  r_region_tend(r, ptr);
  R_CheckUserInterrupt();
}

void r_region_look(r_region *r, SEXP ptr) {
  if (r->pid == r->owner && r_region_due(r)) r_region_tick(r, ptr);
  if (atomic_load_explicit(&r->ctl->team.failed, memory_order_relaxed)) r_region_unwind(r);
}

/* Is there nothing more to wait for? */
static bool settled(const r_region *r) {
  uint32_t failed = atomic_load(&r->ctl->team.failed);
  return failed ? failed == 1 || r->team.member[failed - 1].state != R_MEMBER_RUNNING : r_team_running(&r->team) == 0;
}

/* Wait until every member has ended its work, or the region has failed and what is to be known of it is
 * known. Gives list(failed, status, quit, frames): the rank that failed or NA, its wait status where it died, and the
 * frames in the order of their arrival. */
SEXP ffi_region_collect(SEXP ptr) {
  static const char *names[] = {"failed", "status", "quit", "frames", ""};
  r_region *r = r_region_get(ptr, "collect");
  r_region_stop_sentinel(r);
  for (;;) {
    r_region_tend(r, ptr);
    if (settled(r)) break;
    r_team_sleep(&r->team, SM_SLICE_MS);
    R_CheckUserInterrupt();
  }
  r_team_relay_output(&r->team, true);
  uint32_t failed = atomic_load(&r->ctl->team.failed);
  const r_member *m = &r->team.member[failed > 0 ? failed - 1 : 0];
  SEXP out = PROTECT(Rf_mkNamed(VECSXP, names));
  SET_VECTOR_ELT(out, 0, Rf_ScalarInteger(failed ? (int)failed - 1 : NA_INTEGER));
  SET_VECTOR_ELT(out, 1, Rf_ScalarInteger(m->state == R_MEMBER_DEAD ? r_team_status(&r->team, (int)failed - 1) : NA_INTEGER));
  SET_VECTOR_ELT(out, 2, Rf_ScalarLogical(m->quit));
  SEXP inbox = PROTECT(R_ExternalPtrProtected(ptr));
  R_xlen_t n = Rf_xlength(inbox);
  SEXP frames = Rf_allocVector(VECSXP, n);
  SET_VECTOR_ELT(out, 3, frames);
  for (SEXP p = inbox; p != R_NilValue; p = CDR(p)) SET_VECTOR_ELT(frames, --n, CAR(p));
  UNPROTECT(2);
  return out;
}
