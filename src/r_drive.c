/* r_drive.c: the master's loop: read results, relay conditions, notice deaths, sleep in poll.
 *
 * Purpose: bring a map to its end, or to its first failure.
 * States: see r_map.h. A round reads every complete frame; when nothing came the master says so in
 * ctl->sleeping, looks once more, and sleeps until a socket or pidfd speaks or a slice has passed.
 * Errors: any R error or interrupt on the way (in `reduce`, in a condition handler, Ctrl-C) goes
 * through cleanup(), which kills and reaps all workers, and then on its way.
 */
#include "r_drive.h"

#include <R.h>
#include <string.h>
#include <unistd.h>

#include "r_output.h"
#include "r_scalars.h"
#include "r_util.h"

#define PROGRESS_NS 100000000u

static SEXP quoted(SEXP v) {
  int t = TYPEOF(v);
  return t == LANGSXP || t == SYMSXP || t == PROMSXP || t == BCODESXP ? Rf_lang2(R_QuoteSymbol, v) : v;
}

/* reduce(value), or reduce(value[[1]], value[[2]], ...) for a tuple. */
static SEXP call_reduce(r_drive *d, SEXP value) {
  SEXP args;
  if (TYPEOF(value) == VECSXP && Rf_inherits(value, "tuple")) {
    SEXP names = PROTECT(Rf_getAttrib(value, R_NamesSymbol));
    args = PROTECT(R_NilValue);
    for (R_xlen_t i = XLENGTH(value); i-- > 0;) {
      SEXP v = PROTECT(quoted(VECTOR_ELT(value, i)));
      args = Rf_cons(v, args);
      UNPROTECT(2);
      PROTECT(args);
      if (names != R_NilValue && CHAR(STRING_ELT(names, i))[0]) SET_TAG(args, Rf_installTrChar(STRING_ELT(names, i)));
    }
    UNPROTECT(2);
  } else {
    SEXP v = PROTECT(quoted(value));
    args = Rf_cons(v, R_NilValue);
    UNPROTECT(1);
  }
  PROTECT(args);
  SEXP call = PROTECT(Rf_lcons(d->reduce, args));
  SEXP out = Rf_eval(call, R_GlobalEnv);
  UNPROTECT(2);
  return out;
}

SEXP r_drive_event(r_drive *d, const char *kind, SEXP value, int64_t item, int rank) {
  PROTECT(value);
  SEXP args = R_NilValue;
  PROTECT(args = Rf_cons(Rf_ScalarReal((double)d->m->low), args));
  PROTECT(args = Rf_cons(Rf_ScalarInteger(rank < 0 ? NA_INTEGER : (int)d->m->worker[rank].proc.pid), args));
  PROTECT(args = Rf_cons(Rf_ScalarInteger(rank), args));
  PROTECT(args = Rf_cons(Rf_ScalarReal(item < 0 ? NA_REAL : (double)item + 1), args));
  PROTECT(args = Rf_cons(quoted(value), args));
  PROTECT(args = Rf_cons(Rf_mkString(kind), args));
  SEXP call = PROTECT(Rf_lcons(d->events, args));
  SEXP out = Rf_eval(call, R_GlobalEnv);
  UNPROTECT(8);
  return out;
}

void r_drive_delivered(r_drive *d, int64_t item) {
  r_map *m = d->m;
  if (m->delivered[item]) return;
  m->delivered[item] = 1;
  d->done++;
  while (m->low < m->nitems && m->delivered[m->low]) m->low++;
}

static void store(r_drive *d, int64_t item, SEXP value) {
  PROTECT(value);
  SET_VECTOR_ELT(d->results, (R_xlen_t)item, d->reduce == R_NilValue ? value : call_reduce(d, value));
  UNPROTECT(1);
  r_drive_delivered(d, item);
}

static void take_results(r_drive *d, const sm_frame *f, SEXP list) {
  bool packed = r_scalars_packed(list);
  if ((TYPEOF(list) != VECSXP && !packed) || XLENGTH(list) != f->count || f->first < 0 || f->count > d->m->nitems - f->first)
    r_abort("sharedmem_channel_error", "a worker's results are malformed");
  for (int64_t i = 0; i < f->count; i++) {
    SEXP value = PROTECT(packed ? r_scalars_item(list, (R_xlen_t)i) : VECTOR_ELT(list, (R_xlen_t)i));
    if (!packed) SET_VECTOR_ELT(list, (R_xlen_t)i, R_NilValue); /* the result alone refers to it */
    store(d, f->first + i, value);
    UNPROTECT(1);
  }
}

void r_drive_fail(r_drive *d, const char *kind, SEXP value, int64_t item, int rank) {
  SEXP out = PROTECT(r_drive_event(d, kind, value, item, rank));
  if (TYPEOF(out) == VECSXP && Rf_inherits(out, "sharedmem_collected") && item >= 0) {
    SET_VECTOR_ELT(d->results, (R_xlen_t)item, VECTOR_ELT(out, 0));
    r_drive_delivered(d, item);
  } else if (!d->failed) {
    SET_VECTOR_ELT(d->out, 1, out);
    d->failed = true;
  }
  UNPROTECT(1);
}

/* Conditions are told in the order of items: those of an item come once all before it are done. */
static void release_held(r_drive *d) {
  SEXP left = PROTECT(r_drive_event(d, "release", R_NilValue, -1, -1));
  d->held = (int64_t)Rf_asReal(left);
  UNPROTECT(1);
}

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
  case SM_FRAME_RESULTS: take_results(d, f, value); break;
  case SM_FRAME_CONDITION:
    d->held = (int64_t)Rf_asReal(r_drive_event(d, "condition", value, item, rank));
    break;
  case SM_FRAME_STOPPED:
    d->stopped = true;
    if (item >= 0) r_drive_delivered(d, item);
    sm_queue_stop(d->m->queue);
    break;
  case SM_FRAME_ERROR: r_drive_fail(d, "error", value, item, rank); break;
  case SM_FRAME_QUIT: w->quit = true; break; /* its death follows */
  case SM_FRAME_BYE: w->state = R_WORKER_BYE; break;
  default: r_abort("sharedmem_channel_error", "unknown frame from a worker");
  }
  UNPROTECT(1);
  if (d->held > 0) release_held(d);
}

static void report_progress(r_drive *d) {
  if (!d->m->progress) return;
  uint64_t now = sm_clock_ns();
  if (now < d->tick_ns) return;
  d->tick_ns = now + PROGRESS_NS;
  SEXP done = PROTECT(Rf_ScalarReal((double)d->done));
  r_drive_event(d, "progress", done, -1, -1);
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
    if (m->shared[k].fd >= 0) d->polls[n++] = (struct pollfd){m->shared[k].fd, POLLIN, 0};
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

static void sleep_in_poll(r_drive *d, int timeout_ms) {
  int n = list_polls(d);
  atomic_store(&d->m->ctl->sleeping, 1);
  if (anything_waits(d)) timeout_ms = 0;
  poll(d->polls, (nfds_t)n, timeout_ms);
  atomic_store(&d->m->ctl->sleeping, 0);
  take_polls(d);
  r_output_relay(d->m, false);
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
  r_output_relay(m, true);
  uint64_t unsaid[2] = {0, 0};
  for (int i = 0; i < m->np; i++)
    for (int k = 0; k < 2; k++) unsaid[k] += atomic_load(&sm_queue_slot(m->queue, i)->unsaid[k]);
  m->low = m->nitems;
  if (d->held > 0 || unsaid[0] || unsaid[1]) {
    SEXP counts = PROTECT(Rf_allocVector(REALSXP, 2));
    REAL(counts)[0] = (double)unsaid[0];
    REAL(counts)[1] = (double)unsaid[1];
    r_drive_event(d, "end", counts, -1, -1);
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
