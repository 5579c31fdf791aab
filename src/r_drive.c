/* r_drive.c: the master's loop: read results, relay conditions, notice deaths, sleep in poll.
 *
 * Purpose: bring a map to its end, or to its first failure.
 * States: see r_map.h. A round reads every complete frame; when nothing came the master says so in
 * ctl->sleeping, looks once more, and sleeps until a socket or pidfd speaks or a slice has passed.
 * Errors: any R error or interrupt on the way (in `reduce`, in a condition handler, Ctrl-C) goes
 * through cleanup(), which kills and reaps all workers, and then on its way.
 */
#include <R.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "r_map.h"
#include "r_util.h"

typedef struct {
  r_map *m;
  SEXP results;      /* list of nitems */
  SEXP reduce;       /* function or NULL */
  SEXP events;       /* function(kind, value, item, rank, pid): R/map-reduce.R */
  struct pollfd *polls;
  uint64_t deadline_ns; /* 0: none */
  int64_t done;
  bool stopped;      /* an item ended the map quietly */
  bool finished;     /* all workers have ended */
  bool keep;         /* an error or interrupt on the way leaves the workers running: background() */
  bool failed;
  SEXP out;          /* list(state, failure, done); failure: what events() gave for what ends the map */
} drive;

static SEXP quoted(SEXP v) {
  int t = TYPEOF(v);
  return t == LANGSXP || t == SYMSXP || t == PROMSXP || t == BCODESXP ? Rf_lang2(R_QuoteSymbol, v) : v;
}

/* reduce(value), or reduce(value[[1]], value[[2]], ...) for a tuple. */
static SEXP call_reduce(drive *d, SEXP value) {
  SEXP args;
  if (TYPEOF(value) == VECSXP && Rf_inherits(value, "tuple")) {
    SEXP names = PROTECT(Rf_getAttrib(value, R_NamesSymbol));
    args = PROTECT(R_NilValue);
    for (R_xlen_t i = XLENGTH(value); i-- > 0;) {
      SEXP v = PROTECT(quoted(VECTOR_ELT(value, i)));
      args = Rf_lcons(v, args);
      UNPROTECT(2);
      PROTECT(args);
      if (names != R_NilValue && CHAR(STRING_ELT(names, i))[0]) SET_TAG(args, Rf_installTrChar(STRING_ELT(names, i)));
    }
    UNPROTECT(2);
  } else {
    SEXP v = PROTECT(quoted(value));
    args = Rf_lcons(v, R_NilValue);
    UNPROTECT(1);
  }
  PROTECT(args);
  SEXP call = PROTECT(Rf_lcons(d->reduce, args));
  SEXP out = Rf_eval(call, R_GlobalEnv);
  UNPROTECT(2);
  return out;
}

static SEXP event(drive *d, const char *kind, SEXP value, int64_t item, int rank) {
  PROTECT(value);
  SEXP args = R_NilValue;
  PROTECT(args = Rf_lcons(Rf_ScalarInteger((int)d->m->worker[rank].proc.pid), args));
  PROTECT(args = Rf_lcons(Rf_ScalarInteger(rank), args));
  PROTECT(args = Rf_lcons(Rf_ScalarReal(item < 0 ? NA_REAL : (double)item + 1), args));
  PROTECT(args = Rf_lcons(quoted(value), args));
  PROTECT(args = Rf_lcons(Rf_mkString(kind), args));
  SEXP call = PROTECT(Rf_lcons(d->events, args));
  SEXP out = Rf_eval(call, R_GlobalEnv);
  UNPROTECT(7);
  return out;
}

static void store(drive *d, int64_t item, SEXP value) {
  PROTECT(value);
  SET_VECTOR_ELT(d->results, (R_xlen_t)item, d->reduce == R_NilValue ? value : call_reduce(d, value));
  UNPROTECT(1);
  d->done++;
}

static void take_results(drive *d, const sm_frame *f, SEXP list) {
  if (TYPEOF(list) != VECSXP || XLENGTH(list) != f->count || f->first < 0 || f->count > d->m->nitems - f->first)
    r_abort("sharedmem_channel_error", "a worker's results are malformed");
  for (int64_t i = 0; i < f->count; i++) store(d, f->first + i, VECTOR_ELT(list, (R_xlen_t)i));
}

/* What the item failed with goes into its place; otherwise it ends the map. */
static void fail(drive *d, const char *kind, SEXP value, int64_t item, int rank) {
  SEXP out = PROTECT(event(d, kind, value, item, rank));
  if (TYPEOF(out) == VECSXP && Rf_inherits(out, "sharedmem_collected") && item >= 0) {
    SET_VECTOR_ELT(d->results, (R_xlen_t)item, VECTOR_ELT(out, 0));
    d->done++;
  } else if (!d->failed) {
    SET_VECTOR_ELT(d->out, 1, out);
    d->failed = true;
  }
  UNPROTECT(1);
}

static void handle(drive *d, int rank, const sm_frame *f) {
  r_worker *w = &d->m->worker[rank];
  SEXP value = PROTECT(r_frame_read(&w->chan, f));
  sm_ring_release(&w->chan.ring, f);
  int64_t item = f->first >= 0 && f->first < d->m->nitems ? f->first : -1;
  switch (f->type) {
  case SM_FRAME_RESULTS: take_results(d, f, value); break;
  case SM_FRAME_CONDITION: event(d, "condition", value, item, rank); break;
  case SM_FRAME_STOPPED:
    d->stopped = true;
    d->done++;
    sm_queue_stop(d->m->queue);
    break;
  case SM_FRAME_ERROR: fail(d, "error", value, item, rank); break;
  case SM_FRAME_QUIT:
    w->quit = true;
    w->state = R_WORKER_DEAD;
    fail(d, "quit", R_NilValue, item, rank);
    break;
  case SM_FRAME_BYE: w->state = R_WORKER_BYE; break;
  default: r_abort("sharedmem_channel_error", "unknown frame from a worker");
  }
  UNPROTECT(1);
}

/* Read all complete frames of all workers. True if there was any. */
static bool read_all(drive *d) {
  bool any = false;
  for (int i = 0; i < d->m->np && !d->failed; i++) {
    r_worker *w = &d->m->worker[i];
    sm_frame f;
    int rc = 0;
    while (w->state == R_WORKER_RUNNING && !d->failed && (rc = sm_ring_peek(&w->chan.ring, &f)) == 1) {
      handle(d, i, &f);
      R_CheckUserInterrupt();
      any = true;
    }
    if (rc < 0) r_abort("sharedmem_channel_error", "the result ring of worker %d is damaged: %s", i, sm_error_text(rc));
  }
  return any;
}

/* A worker that ended without a last frame. Its published frames have been read. */
static void bury(drive *d, int rank) {
  r_worker *w = &d->m->worker[rank];
  w->state = R_WORKER_DEAD;
  while (!sm_proc_wait(&w->proc, 200)) R_CheckUserInterrupt();
  int64_t first, hi, running = -1;
  if (sm_queue_inspect(d->m->queue, rank, &first, &hi, &running) < 0 || running >= d->m->nitems) running = -1;
  sm_turnstile_clear(d->m->turn, rank);
  SEXP status = PROTECT(Rf_ScalarInteger(w->proc.status));
  fail(d, "death", status, running, rank);
  UNPROTECT(1);
}

static bool bury_ended(drive *d) {
  bool any = false;
  for (int i = 0; i < d->m->np && !d->failed; i++) {
    r_worker *w = &d->m->worker[i];
    sm_frame f;
    if (w->state != R_WORKER_RUNNING) continue;
    if (!w->ended && w->chan.eof && w->proc.pidfd < 0) w->ended = sm_proc_poll(&w->proc);
    if (w->ended && sm_ring_peek(&w->chan.ring, &f) == 0) {
      bury(d, i);
      any = true;
    }
  }
  return any;
}

static bool anything_waits(drive *d) {
  sm_frame f;
  for (int i = 0; i < d->m->np; i++)
    if (d->m->worker[i].state == R_WORKER_RUNNING && sm_ring_peek(&d->m->worker[i].chan.ring, &f) != 0) return true;
  return false;
}

static void sleep_in_poll(drive *d, int timeout_ms) {
  r_map *m = d->m;
  int n = 0;
  for (int i = 0; i < m->np; i++) {
    r_worker *w = &m->worker[i];
    if (w->state != R_WORKER_RUNNING) continue;
    if (!w->chan.eof) d->polls[n++] = (struct pollfd){w->proc.sock, POLLIN, 0};
    if (w->proc.pidfd >= 0 && !w->ended) d->polls[n++] = (struct pollfd){w->proc.pidfd, POLLIN, 0};
  }
  atomic_store(&m->ctl->sleeping, 1);
  if (!anything_waits(d)) poll(d->polls, (nfds_t)n, timeout_ms);
  atomic_store(&m->ctl->sleeping, 0);
  int at = 0;
  for (int i = 0; i < m->np; i++) {
    r_worker *w = &m->worker[i];
    if (w->state != R_WORKER_RUNNING) continue;
    if (!w->chan.eof && d->polls[at++].revents) r_channel_drain_socket(&w->chan);
    if (w->proc.pidfd >= 0 && !w->ended && d->polls[at++].revents) w->ended = true;
  }
}

static int running(const drive *d) {
  int n = 0;
  for (int i = 0; i < d->m->np; i++) n += d->m->worker[i].state == R_WORKER_RUNNING;
  return n;
}

static SEXP drive_body(void *data) {
  drive *d = data;
  d->polls = (struct pollfd *)R_alloc((size_t)d->m->np * 2 + 1, sizeof *d->polls);
  while (!d->failed && running(d) > 0) {
    if (read_all(d)) continue;
    if (bury_ended(d)) continue;
    int slice = SM_SLICE_MS;
    if (d->deadline_ns) {
      uint64_t now = sm_clock_ns();
      if (now >= d->deadline_ns) return R_NilValue;
      uint64_t left = (d->deadline_ns - now) / 1000000u + 1;
      if (left < (uint64_t)slice) slice = (int)left;
    }
    sleep_in_poll(d, slice);
    R_CheckUserInterrupt();
  }
  d->finished = true;
  return R_NilValue;
}

static void cleanup(void *data, Rboolean jump) {
  drive *d = data;
  if (d->finished || (jump && !d->keep)) r_map_end(d->m);
}

/* Drive a map whose workers run. Gives list(state, failure, done): state "done", "stopped", "failed" or
 * "timeout" (timeout in seconds; Inf for none). Workers are gone afterwards, except on "timeout". */
SEXP ffi_map_drive(SEXP ptr, SEXP results, SEXP reduce, SEXP events, SEXP timeout, SEXP keep) {
  drive d = {0};
  d.m = r_map_get(ptr);
  if (d.m->owner != getpid()) r_abort("sharedmem_misuse_error", "this map belongs to another process");
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
