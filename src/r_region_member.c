/* r_region_member.c: the processes of a region: their fork, their last frame, their end.
 *
 * Errors: a member runs under R_ToplevelExec() and ends by itself, so nothing of it ever gets back to top level.
 */
#include <R.h>
#include <stdio.h>

#include "mem_heap.h"
#include "r_wire_frame.h"
#include "r_region.h"
#include "r_util.h"

static r_region *member_of = NULL; /* the region that this process was forked for */

static void send_last(r_region *r, uint32_t type, SEXP value) {
  sm_watch watch = {NULL, ((r_region *)r)->watch.check, r};
  r_frame_send(&r->member[r->rank].chan, type, value, r->schedule.met, 0, &watch);
  atomic_store(&r->shm[r->rank].done, 1);
}

/* onexit = TRUE: the one hook that runs when R is about to leave. */
static void exit_finalizer(SEXP x) {
  (void)x;
  if (!member_of || member_of->pid != sm_pid()) return;
  if (r_region_fail(member_of, member_of->rank)) send_last(member_of, SM_FRAME_QUIT, R_NilValue);
  r_region_exit();
}

SEXP ffi_region_guard_exit(void) {
  SEXP x = PROTECT(R_MakeExternalPtr(&member_of, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(x, exit_finalizer, TRUE);
  UNPROTECT(1);
  return x;
}

static void eval_call(void *call) { Rf_eval((SEXP)call, R_GlobalEnv); }

/* Does not return. */
static void run_member(r_region *r, int rank, SEXP main, SEXP jumped) {
  r_region_take_place(r, rank);
  member_of = r;
  SEXP arg = PROTECT(Rf_ScalarInteger(rank));
  SEXP call = PROTECT(Rf_lang2(main, arg)), last = PROTECT(Rf_lang1(jumped));
  if (!R_ToplevelExec(eval_call, call)) R_ToplevelExec(eval_call, last);
  r_region_exit();
}

/* Fork ranks 1, 2, …: each evaluates main(rank), or jumped() after a jump to top level, and ends. */
SEXP ffi_region_spawn(SEXP ptr, SEXP main, SEXP jumped) {
  r_region *r = r_region_get(ptr, "spawn");
  sm_proc_flush();
  size_t reserve = sm_heap_before_fork(r->nproc);
  for (int i = 1; i < r->nproc; i++) {
    int sock = -1;
    int rc = sm_proc_spawn(&r->member[i].proc, &sock);
    if (rc == 1) {
      sm_heap_tune_child(reserve);
      r_team_forget_all(&r->team, i);
      r->member[i].chan.sock = sock;
      run_member(r, i, main, jumped);
    }
    if (rc < 0) {
      r_region_end(r);
      r_abort("sharedmem_fork_error", "cannot start process %d of %d: %s", i, r->nproc, sm_error_text(rc));
    }
    r->member[i].chan.sock = r->member[i].proc.sock;
  }
  r->ticked_ns = sm_clock_ns();
  return R_NilValue;
}

/* Publish a frame. last: nothing follows it. */
SEXP ffi_region_send(SEXP ptr, SEXP type, SEXP value, SEXP last) {
  r_region *r = r_region_get(ptr, "send");
  if (Rf_asLogical(last) == TRUE) {
    send_last(r, (uint32_t)Rf_asInteger(type), value);
  } else {
    sm_watch watch = {NULL, ((r_region *)r)->watch.check, r};
    r_frame_send(&r->member[r->rank].chan, (uint32_t)Rf_asInteger(type), value, 0, 0, &watch);
  }
  return R_NilValue;
}

/* This process comes to no barrier and no loop any more. Gives the number of loops it has met. */
SEXP ffi_region_leave(SEXP ptr) {
  r_region *r = r_region_get(ptr, "leave");
  sm_schedule_leave(&r->schedule);
  sm_barrier_leave(&r->ctl->barrier);
  return Rf_ScalarReal(r->schedule.met);
}

/* A member ends, without running R's exit path. */
SEXP ffi_region_exit(SEXP ptr) {
  r_region *r = r_region_get(ptr, "exit");
  if (r->pid != r->owner) r_region_exit();
  return R_NilValue;
}
