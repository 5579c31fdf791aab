/* r_map_drive.c: the owner's loop: read results, relay conditions, notice deaths, sleep in poll.
 *
 * Purpose: bring a map to its end, or to its first failure.
 * States: see r_map.h. A round reads every complete frame; when nothing came the owner says so in
 * its team's memory, looks once more, and sleeps until a socket or pidfd speaks or a slice has passed.
 * Errors: any R error or interrupt on the way (in `reduce`, in a condition handler, Ctrl-C) goes
 * through cleanup(), which kills and reaps all workers, and then on its way.
 */
#include <R.h>
#include <string.h>

#include "r_map_deliver.h"
#include "r_map_life.h"
#include "r_map_supervise.h"
#include "r_util.h"

#define FRAMES_A_LOOK 16

static void take_frame(r_drive *d, int rank, const sm_frame *f, SEXP value) {
  PROTECT(value);
  int64_t item = f->first >= 0 && f->first < d->m->nitems ? f->first : -1;
  const char *type = r_frame_names[f->type];
  switch (f->type) {
  case R_FRAME_RESULTS:
  case R_FRAME_RESULT: r_deliver_results(d, f, value); break;
  case R_FRAME_CONDITION: d->held = (int64_t)Rf_asReal(r_deliver_event(d, type, value, item, rank)); break;
  case R_FRAME_STOPPED:
    d->stopped = true;
    if (item >= 0) r_deliver_item(d, item);
    sm_queue_stop(d->m->queue);
    break;
  default: r_deliver_failure(d, type, value, item, rank);
  }
  UNPROTECT(1);
  if (d->held > 0) r_deliver_held(d);
}

/* Read all complete frames of all workers. True if there was any. */
static bool read_all(r_drive *d) {
  int rank, n = 0;
  sm_frame f;
  SEXP value;
  while (!d->failed && r_team_next_frame(&d->m->team, &rank, &f, &value)) {
    take_frame(d, rank, &f, value);
    if (++n % FRAMES_A_LOOK) continue;
    r_deliver_progress(d);
    if (r_team_guest) r_team_guest->serve();
    R_CheckUserInterrupt();
    r_supervise_timeouts(d, SM_SLICE_MS);
  }
  return n > 0;
}

/* Milliseconds to sleep at most; -1 when the deadline has come. */
static int next_slice(r_drive *d) {
  int slice = r_supervise_timeouts(d, SM_SLICE_MS);
  if (!d->deadline_ns) return slice;
  uint64_t now = sm_clock_ns();
  if (now >= d->deadline_ns) return -1;
  uint64_t left = (d->deadline_ns - now) / 1000000u + 1;
  return left < (uint64_t)slice ? (int)left : slice;
}

static void finish(r_drive *d) {
  r_map *m = d->m;
  d->finished = true;
  r_team_relay_output(&m->team, true);
  if (!d->failed && !atomic_load(&m->queue->stop) && m->done < m->nitems)
    r_abort("sharedmem_channel_error", "%.0f items have neither a result nor an error", (double)(m->nitems - m->done));
  uint64_t suppressed[2] = {0, 0};
  for (int i = 0; i < m->np; i++)
    for (int k = 0; k < 2; k++) suppressed[k] += atomic_load(&sm_queue_slot(m->queue, i)->suppressed[k]);
  m->first_undelivered = m->nitems;
  SEXP counts = PROTECT(Rf_allocVector(REALSXP, 2));
  for (int k = 0; k < 2; k++) REAL(counts)[k] = (double)suppressed[k];
  r_deliver_event(d, "end", counts, -1, -1);
  UNPROTECT(1);
}

static SEXP drive_body(void *data) {
  r_drive *d = data;
  r_map *m = d->m;
  if (m->respawn) {
    d->attempts = (int32_t *)R_alloc((size_t)m->nitems, sizeof *d->attempts);
    memset(d->attempts, 0, (size_t)m->nitems * sizeof *d->attempts);
  }
  while (!d->failed && r_team_running(&m->team) > 0) {
    if (read_all(d) || r_supervise_deaths(d) || r_team_running(&m->team) == 0) continue; /* the last one may have closed its ring */
    if (r_team_guest) r_team_guest->serve();
    r_deliver_progress(d);
    int slice = next_slice(d);
    if (slice < 0) return R_NilValue;
    r_team_sleep(&m->team, slice);
    R_CheckUserInterrupt();
  }
  finish(d);
  return R_NilValue;
}

static void cleanup(void *data, Rboolean jump) {
  r_drive *d = data;
  if (d->finished || (jump && !d->keep)) r_map_end(d->m);
}

/* Drive a map whose workers run. Gives list(state, failure): state "done", "stopped", "failed" or
 * "timeout" (timeout in seconds; Inf for none). Workers are gone afterwards, except on "timeout". */
SEXP ffi_map_drive(SEXP ptr, SEXP reduce, SEXP events, SEXP timeout, SEXP keep) {
  static const char *names[] = {"state", "failure", ""};
  r_drive d = {0};
  d.m = r_map_get(ptr);
  if (d.m->owner != sm_pid()) r_abort("sharedmem_misuse_error", "this map belongs to another process");
  d.results = R_ExternalPtrProtected(ptr);
  d.reduce = reduce;
  d.events = events;
  d.keep = Rf_asLogical(keep) == TRUE;
  double seconds = Rf_asReal(timeout);
  if (R_FINITE(seconds)) d.deadline_ns = sm_clock_ns() + (uint64_t)((seconds > 0 ? seconds : 0) * 1e9);
  SEXP token = PROTECT(R_MakeUnwindCont());
  d.out = PROTECT(Rf_mkNamed(VECSXP, names));
  R_UnwindProtect(drive_body, &d, cleanup, &d, token);
  const char *state = !d.finished ? "timeout" : d.failed ? "failed" : d.stopped ? "stopped" : "done";
  SET_VECTOR_ELT(d.out, 0, Rf_mkString(state));
  if (d.stopped) Rf_setAttrib(d.results, Rf_install("stopped"), Rf_ScalarLogical(TRUE));
  UNPROTECT(2);
  return d.out;
}

/* The list of results, once: the map keeps no reference to it, so that R changes in place what it holds. */
SEXP ffi_map_results(SEXP ptr) {
  r_map_get(ptr);
  SEXP results = PROTECT(R_ExternalPtrProtected(ptr));
  R_SetExternalPtrProtected(ptr, R_NilValue);
  UNPROTECT(1);
  return results;
}
