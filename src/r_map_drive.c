/* r_map_drive.c: the master's loop: read results, relay conditions, notice deaths, sleep in poll.
 *
 * Purpose: bring a map to its end, or to its first failure.
 * States: see r_map.h. A round reads every complete frame; when nothing came the master says so in
 * ctl->sleeping, looks once more, and sleeps until a socket or pidfd speaks or a slice has passed.
 * Errors: any R error or interrupt on the way (in `reduce`, in a condition handler, Ctrl-C) goes
 * through cleanup(), which kills and reaps all workers, and then on its way.
 */
#include <R.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "r_map_deliver.h"
#include "r_wire_frame.h"
#include "r_map_life.h"
#include "r_map_supervise.h"
#include "r_util.h"

#define PROGRESS_NS 100000000u

static void handle(r_drive *d, int rank, const sm_frame *f) {
  r_worker *w = &d->m->worker[rank];
  SEXP value = PROTECT(r_frame_read(&w->chan, f));
  sm_ring_release(&w->chan.ring, f);
  if (value == R_UnboundValue) {
    UNPROTECT(1);
    return;
  }
  int64_t item = f->first >= 0 && f->first < d->m->nitems ? f->first : -1;
  switch (f->type) {
  case SM_FRAME_RESULTS: r_deliver_results(d, f, value); break;
  case SM_FRAME_CONDITION: d->held = (int64_t)Rf_asReal(r_deliver_event(d, "condition", value, item, rank)); break;
  case SM_FRAME_STOPPED:
    d->stopped = true;
    if (item >= 0) r_deliver_item(d, item);
    sm_queue_stop(d->m->queue);
    break;
  case SM_FRAME_ERROR: r_deliver_failure(d, "error", value, item, rank); break;
  case SM_FRAME_QUIT: w->quit = true; break; /* its death follows */
  case SM_FRAME_BYE: w->state = R_WORKER_BYE; break;
  default: r_abort("sharedmem_channel_error", "unknown frame from a worker");
  }
  UNPROTECT(1);
  if (d->held > 0) r_deliver_held(d);
}

static void report_progress(r_drive *d) {
  if (!d->m->progress) return;
  uint64_t now = sm_clock_ns();
  if (now < d->tick_ns) return;
  d->tick_ns = now + PROGRESS_NS;
  SEXP done = PROTECT(Rf_ScalarReal((double)d->done));
  r_deliver_event(d, "progress", done, -1, -1);
  UNPROTECT(1);
}

/* Read all complete frames of all workers. True if there was any. */
static bool read_all(r_drive *d) {
  bool any = false;
  for (int i = 0; i < d->m->np && !d->failed; i++) {
    r_worker *w = &d->m->worker[i];
    sm_frame f;
    int rc = 0;
    while (w->state == R_WORKER_RUNNING && !d->failed && (rc = sm_ring_peek(&w->chan.ring, &f)) == 1) {
      handle(d, i, &f);
      report_progress(d);
      R_CheckUserInterrupt();
      any = true;
    }
    if (rc < 0) r_abort("sharedmem_channel_error", "the result ring of worker %d is damaged: %s", i, sm_error_text(rc));
  }
  return any;
}

static bool anything_waits(r_drive *d) {
  sm_frame f;
  for (int i = 0; i < d->m->np; i++)
    if (d->m->worker[i].state == R_WORKER_RUNNING && sm_ring_peek(&d->m->worker[i].chan.ring, &f) != 0) return true;
  return false;
}

/* Everything that can speak: sockets and pidfds of running workers, their output, the template. */
static int list_polls(r_drive *d) {
  r_map *m = d->m;
  int n = 0;
  for (int i = 0; i < m->np; i++) {
    r_worker *w = &m->worker[i];
    for (int k = 0; k < 2; k++)
      if (w->stream[k].fd >= 0) d->polls[n++] = (struct pollfd){w->stream[k].fd, POLLIN, 0};
    if (w->state != R_WORKER_RUNNING) continue;
    if (!w->chan.eof) d->polls[n++] = (struct pollfd){w->proc.sock, POLLIN, 0};
    if (w->proc.pidfd >= 0 && !w->ended) d->polls[n++] = (struct pollfd){w->proc.pidfd, POLLIN, 0};
  }
  for (int k = 0; k < 2; k++)
    if (m->output.shared[k].fd >= 0) d->polls[n++] = (struct pollfd){m->output.shared[k].fd, POLLIN, 0};
  if (m->template.state == SM_PROC_RUNNING) d->polls[n++] = (struct pollfd){m->template.sock, POLLIN, 0};
  return n;
}

/* In the order of list_polls(). */
static void take_polls(r_drive *d) {
  r_map *m = d->m;
  int at = 0, fd;
  for (int i = 0; i < m->np; i++) {
    r_worker *w = &m->worker[i];
    for (int k = 0; k < 2; k++) at += w->stream[k].fd >= 0;
    if (w->state != R_WORKER_RUNNING) continue;
    bool sock = !w->chan.eof && d->polls[at++].revents;
    if (w->proc.pidfd >= 0 && !w->ended && d->polls[at++].revents) w->ended = true;
    if (sock) r_channel_drain_socket(&w->chan);
  }
  int got = 0;
  while (m->template.state == SM_PROC_RUNNING && (got = sm_socket_recv(m->template.sock, &fd)) > 0)
    if (fd >= 0) close(fd);
  if (got < 0) sm_proc_close(&m->template); /* it has died, and the successors that it forked die with it */
}

static void relay_output(r_map *m, bool all) {
  if (m->output.mode != R_OUTPUT_RELAY) return;
  const void *vmax = vmaxget();
  for (int k = 0; k < 2; k++) {
    for (int i = 0; i < m->np; i++) r_output_relay(&m->worker[i].stream[k], k, all);
    r_output_relay(&m->output.shared[k], k, all);
    vmaxset(vmax);
  }
}

static void sleep_in_poll(r_drive *d, int timeout_ms) {
  int n = list_polls(d);
  atomic_store(&d->m->ctl->sleeping, 1);
  if (anything_waits(d)) timeout_ms = 0;
  poll(d->polls, (nfds_t)n, timeout_ms);
  atomic_store(&d->m->ctl->sleeping, 0);
  take_polls(d);
  relay_output(d->m, false);
}

static int running(const r_drive *d) {
  int n = 0;
  for (int i = 0; i < d->m->np; i++) n += d->m->worker[i].state == R_WORKER_RUNNING;
  return n;
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

static SEXP drive_body(void *data) {
  r_drive *d = data;
  r_map *m = d->m;
  d->polls = (struct pollfd *)R_alloc((size_t)m->np * 4 + 3, sizeof *d->polls);
  if (m->respawn) {
    d->attempts = (int32_t *)R_alloc((size_t)m->nitems, sizeof *d->attempts);
    memset(d->attempts, 0, (size_t)m->nitems * sizeof *d->attempts);
  }
  while (!d->failed && running(d) > 0) {
    if (read_all(d)) continue;
    if (r_supervise_deaths(d)) continue;
    report_progress(d);
    int slice = next_slice(d);
    if (slice < 0) return R_NilValue;
    sleep_in_poll(d, slice);
    R_CheckUserInterrupt();
  }
  d->finished = true;
  relay_output(m, true);
  uint64_t unsaid[2] = {0, 0};
  for (int i = 0; i < m->np; i++)
    for (int k = 0; k < 2; k++) unsaid[k] += atomic_load(&sm_queue_slot(m->queue, i)->unsaid[k]);
  m->low = m->nitems;
  if (d->held > 0 || unsaid[0] || unsaid[1]) {
    SEXP counts = PROTECT(Rf_allocVector(REALSXP, 2));
    REAL(counts)[0] = (double)unsaid[0];
    REAL(counts)[1] = (double)unsaid[1];
    r_deliver_event(d, "end", counts, -1, -1);
    UNPROTECT(1);
  }
  return R_NilValue;
}

static void cleanup(void *data, Rboolean jump) {
  r_drive *d = data;
  if (d->finished || (jump && !d->keep)) r_map_end(d->m);
}

/* Drive a map whose workers run. Gives list(state, failure, done): state "done", "stopped", "failed" or
 * "timeout" (timeout in seconds; Inf for none). Workers are gone afterwards, except on "timeout". */
SEXP ffi_map_drive(SEXP ptr, SEXP results, SEXP reduce, SEXP events, SEXP timeout, SEXP keep) {
  r_drive d = {0};
  d.m = r_map_get(ptr);
  if (d.m->owner != sm_pid()) r_abort("sharedmem_misuse_error", "this map belongs to another process");
  d.results = results;
  d.reduce = reduce;
  d.events = events;
  d.keep = Rf_asLogical(keep) == TRUE;
  double seconds = Rf_asReal(timeout);
  if (R_FINITE(seconds)) d.deadline_ns = sm_clock_ns() + (uint64_t)((seconds > 0 ? seconds : 0) * 1e9);
  SEXP token = PROTECT(R_MakeUnwindCont());
  d.out = PROTECT(Rf_allocVector(VECSXP, 3));
  R_UnwindProtect(drive_body, &d, cleanup, &d, token);
  const char *state = !d.finished ? "timeout" : d.failed ? "failed" : d.stopped ? "stopped" : "done";
  SET_VECTOR_ELT(d.out, 0, Rf_mkString(state));
  SET_VECTOR_ELT(d.out, 2, Rf_ScalarReal((double)d.done));
  UNPROTECT(2);
  return d.out;
}
