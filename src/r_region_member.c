/* r_region_member.c: the processes of a region: their fork, what they send, their end. */
#include <R.h>
#include <stdlib.h>

#include "mem_heap.h"
#include "r_region.h"
#include "r_team_template.h"
#include "r_util.h"

/* In the sentinel's thread: has a member that ended failed? rank i + 1. */
static bool member_ended(void *region, int i) {
  r_region *r = region;
  if (!sm_ring_closed(&r->team.member[i + 1].chan.ring)) r_region_fail(r, i + 1);
  return true;
}

/* The owner is interrupted from here on if a member fails. */
SEXP ffi_region_watch(SEXP ptr) {
  r_region *r = r_region_get(ptr, "watch");
  if (r->nproc == 1) return R_NilValue;
  sm_watched *watched = (sm_watched *)R_alloc((size_t)r->nproc, sizeof *watched);
  for (int i = 1; i < r->nproc; i++) {
    r_member *m = &r->team.member[i];
    if (m->remote) m->proc.pidfd = sm_proc_open_pidfd(m->proc.pid);
    watched[i - 1] = (sm_watched){m->proc.pid, m->proc.pidfd};
  }
  /* Also because R_tryCatch() reads R code of its own at its first call, where the sentinel's interrupt would be taken for the user's. */
  if (r_interrupt_pending(NULL)) r_interrupt_raise();
  r->sentinel = sm_watch_start(&r->ctl->team.failed, watched, r->nproc - 1, member_ended, r);
  if (!r->sentinel) r_abort("sharedmem_fork_error", "cannot start the thread that watches %d processes", r->nproc);
  return R_NilValue;
}

static void nothing(void) {}

void r_region_run(void *region, int rank, SEXP main, SEXP jumped) {
  r_region *r = region;
  sm_heap_tune_child(r->reserve);
  r_region_take_place(r, rank);
  r_team_work w = {r, NULL, true, main, jumped, nothing};
  r_team_work_as(&r->team, rank, &w);
}

static void spawned(r_region *r, int rc, int at) {
  if (rc < 0) {
    r_region_end(r);
    r_abort("sharedmem_fork_error", "cannot start process %d of %d: %s", at, r->nproc, sm_error_text(rc));
  }
  r_team_end_forks(&r->team, false);
  r->ticked_ns = sm_clock_ns();
}

/* Fork ranks 1, 2, ...: each evaluates main(rank), or jumped() after a jump to top level, and ends. */
SEXP ffi_region_spawn(SEXP ptr, SEXP main, SEXP jumped) {
  r_region *r = r_region_get(ptr, "spawn");
  r->reserve = sm_heap_before_fork(r->nproc);
  int rc = r_team_begin_forks(&r->team), i = 0;
  while (rc == 0 && ++i < r->nproc) {
    rc = r_team_spawn(&r->team, i);
    if (rc == 1) r_region_run(r, i, main, jumped); /* does not return */
  }
  spawned(r, rc, i);
  return R_NilValue;
}

/* The same by the template that the region's team has been given. */
SEXP ffi_region_spawn_served(SEXP ptr) {
  r_region *r = r_region_get(ptr, "spawn");
  int rc = 0, i = 0;
  while (rc == 0 && ++i < r->nproc) rc = r_template_respawn(&r->team, i);
  spawned(r, rc, i);
  return R_NilValue;
}

/* Publish a frame, also of a region that has failed. */
SEXP ffi_region_send(SEXP ptr, SEXP type, SEXP value) {
  r_region *r = r_region_get(ptr, "send");
  r_frame_send(&r->team.member[r->rank].chan, (uint32_t)Rf_asInteger(type), value, (int64_t)r->schedule.met, 1, &r_team_orphans);
  return R_NilValue;
}

/* This process comes to no barrier and no loop any more. Gives the number of loops it has met. */
SEXP ffi_region_leave(SEXP ptr) {
  r_region *r = r_region_get(ptr, "leave");
  r_region_stop_sentinel(r);
  sm_schedule_leave(&r->schedule);
  sm_barrier_leave(&r->ctl->barrier);
  return Rf_ScalarReal(r->schedule.met);
}

/* A member ends, without running R's exit path. */
SEXP ffi_region_exit(SEXP ptr) {
  r_region *r = r_region_get(ptr, "exit");
  if (r->pid != r->owner) r_team_leave(false);
  return R_NilValue;
}
