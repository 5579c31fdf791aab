/* r_map_worker.c: the child's side of a map; see r_map_worker.h.
 *
 * Purpose: take items, call the function, publish results; end without ever running R's exit path.
 * States of the loop: taking -> running (slot.item set) -> buffered -> published (slot.unsent moved).
 * Errors: an R error in the function reaches the calling handlers that R/worker.R has set around the
 * loop; nothing jumps past R_ToplevelExec() in r_worker_run(). q() and every other way into R's exit path
 * meet exit_finalizer(), which runs before R removes the temporary directory.
 */
#include "r_map_worker.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "mem_heap.h"
#include "r_wire_frame.h"
#include "r_here.h"
#include "r_team_rng.h"
#include "r_wire_scalars.h"
#include "r_team_threads.h"
#include "r_here_trace.h"
#include "r_util.h"

#define FLUSH_NS 20000000u
/* where a death does not end the map, few finished items should be lost with it */
#define FLUSH_RESPAWN_NS 100000u
/* results in the first frame, and at least in each */
#define FRAME_FIRST 64
#define FRAME_MIN 4

static struct {
  r_map *map; /* NULL in a process that is no worker */
  pid_t parent;
  sm_pace pace;
  SEXP buffer; /* results not yet published: a list; preserved */
  int64_t buffered, first;
  int64_t enough; /* so many results fill a frame well */
  uint64_t flushed_ns;
  bool sending;       /* buffered results are on their way */
  uint64_t traced_ns; /* when the running item began; 0 unless traced */
} W;

static int orphan_check(void *arg) {
  (void)arg;
  if (sm_proc_orphaned(W.parent)) sm_proc_end_self();
  return 0;
}

static r_channel *channel(void) { return &W.map->worker[r_here.rank].chan; }

void r_worker_end(uint32_t last_frame) {
  r_trace_leave();
  r_frame_send(channel(), last_frame, R_NilValue, r_here.item, 0, &r_here.watch);
  r_kill_point(R_KILL_LAST_FRAME);
  /* to give pages back while the master still forks others would slow down both */
  while (!atomic_load(&W.map->ctl->forked) && sm_watch_look(&r_here.watch) == 0) sm_futex_wait(&W.map->ctl->forked, 0, SM_SLICE_MS);
  sm_proc_end_self();
}

/* onexit = TRUE: the one hook that runs when R is about to leave. */
static void exit_finalizer(SEXP x) {
  (void)x;
  if (W.map && r_here.pid == sm_pid()) r_worker_end(SM_FRAME_QUIT);
}

SEXP ffi_worker_guard_exit(void) {
  SEXP x = PROTECT(R_MakeExternalPtr(&W, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(x, exit_finalizer, TRUE);
  UNPROTECT(1);
  return x;
}

typedef struct {
  SEXP call;
} eval_state;

static void eval_main(void *data) { Rf_eval(((eval_state *)data)->call, R_GlobalEnv); }

void r_worker_run(r_map *m, int rank, SEXP ptr, SEXP main) {
  sm_heap_tune_child(m->reserve);
  memset(&W, 0, sizeof W);
  W.map = m;
  W.parent = getppid();
  W.enough = FRAME_FIRST;
  r_here = (r_here_state){m, sm_pid(), rank, W.parent == m->owner, -1, {&m->ctl->failed, orphan_check, NULL}};
  r_trace_target = NULL;
  R_PreserveObject(ffi_worker_guard_exit()); /* the newest runs first: before those of the master's objects */
  SEXP r = PROTECT(Rf_ScalarInteger(rank));
  eval_state e = {PROTECT(Rf_lang3(main, ptr, r))};
  if (R_ToplevelExec(eval_main, &e)) r_worker_end(SM_FRAME_BYE);
  /* something jumped to top level: an error inside the error handler (no stack left), or an "abort" restart */
  SEXP name = PROTECT(Rf_mkString("sharedmem"));
  e.call = PROTECT(Rf_lang1(Rf_install("worker_jumped")));
  SEXP ns = PROTECT(R_FindNamespace(name));
  SETCAR(e.call, PROTECT(Rf_eval(CAR(e.call), ns)));
  R_ToplevelExec(eval_main, &e);
  r_worker_end(SM_FRAME_ERROR);
}

static void set_in(SEXP env, const char *name, SEXP value) { Rf_defineVar(Rf_install(name), value, env); }

/* A function of base R is replaced in this process. */
static void replace_in_base(const char *name, SEXP f) {
  SEXP sym = Rf_install(name);
  if (R_BindingIsLocked(sym, R_BaseEnv)) R_unLockBinding(sym, R_BaseEnv);
  Rf_defineVar(sym, f, R_BaseEnv);
  R_LockBinding(sym, R_BaseEnv);
}

/* the: the package's state; plan: worker_plan() in R/worker.R. In C, for each page that R code touches costs a fault. */
SEXP ffi_worker_setup(SEXP the, SEXP plan) {
  Rf_eval(r_list_get(plan, "on_error"), R_BaseEnv);
  SEXP worker = r_list_get(the, "worker");
  set_in(worker, "budget", r_list_get(plan, "budget"));
  set_in(worker, "collect", r_list_get(plan, "collect"));
  set_in(worker, "said", r_list_get(plan, "said"));
  set_in(r_list_get(the, "session"), "background", r_list_get(plan, "background"));
  replace_in_base("tempdir", r_list_get(plan, "tempdir_function"));
  replace_in_base("q", r_list_get(plan, "quit_function"));
  replace_in_base("quit", r_list_get(plan, "quit_function"));
  SEXP threads = r_list_get(plan, "threads");
  if (threads != R_NilValue) r_threads_set(Rf_asInteger(threads));
  r_rng_install(r_list_get(plan, "seed"), r_list_get(plan, "seed_binding"));
  return R_NilValue;
}

/* ---- results ---- */

typedef struct {
  int64_t at, count;
} span;

static SEXP send_span(void *data) {
  span *s = data;
  SEXP list = r_scalars_pack(W.buffer, (R_xlen_t)s->at, (R_xlen_t)s->count);
  if (list == R_NilValue) list = W.buffer;
  if (list == W.buffer && (s->at != 0 || s->count != XLENGTH(W.buffer))) {
    list = Rf_allocVector(VECSXP, (R_xlen_t)s->count);
    for (int64_t i = 0; i < s->count; i++) SET_VECTOR_ELT(list, i, VECTOR_ELT(W.buffer, s->at + i));
  }
  PROTECT(list);
  if (r_frame_send(channel(), SM_FRAME_RESULTS, list, W.first + s->at, s->count, &r_here.watch) < 0) sm_proc_end_self();
  UNPROTECT(1);
  return R_NilValue;
}

/* A result that cannot be serialized: NULL in its place is not sent; R/worker.R reports the error. */
static SEXP send_failed(SEXP cond, void *data) {
  *(SEXP *)data = cond;
  return R_UnboundValue;
}

static void report_unsendable(int64_t item, SEXP cond) {
  PROTECT(cond);
  SEXP name = PROTECT(Rf_mkString("sharedmem"));
  SEXP ns = PROTECT(R_FindNamespace(name));
  SEXP n = PROTECT(Rf_ScalarReal((double)item));
  SEXP call = PROTECT(Rf_lang3(Rf_install("worker_unsendable"), cond, n));
  Rf_eval(call, ns);
  UNPROTECT(5);
}

static void results_sent(void) {
  for (int64_t i = 0; i < W.buffered; i++) SET_VECTOR_ELT(W.buffer, i, R_NilValue);
  atomic_store(&sm_queue_slot(W.map->queue, r_here.rank)->unsent, W.first + W.buffered);
  W.buffered = 0;
}

/* An error on the way reaches worker_error() in R/worker.R, which calls ffi_worker_resend(). */
static void flush_results(void) {
  if (W.buffered == 0) return;
  uint64_t t0 = r_trace_begin(W.map->trace);
  span all = {0, W.buffered};
  W.sending = true;
  send_span(&all);
  W.sending = false;
  r_trace_end(SM_TRACE_SERIALIZE, W.first, t0);
  r_kill_point(R_KILL_PUBLISHED);
  int64_t each = (int64_t)channel()->last_nbytes / W.buffered + 1, fit = (int64_t)W.map->ring_capacity / 4 / each;
  W.enough = fit > FRAME_MIN ? fit : FRAME_MIN;
  results_sent();
}

/* TRUE if the error that has just been raised came from sending results: each has now been sent by itself or
 * reported. */
SEXP ffi_worker_resend(void) {
  if (!W.sending || r_here.pid != sm_pid()) return Rf_ScalarLogical(FALSE);
  W.sending = channel()->later = false;
  SEXP cond = R_NilValue;
  for (int64_t i = 0; i < W.buffered; i++) {
    span one = {i, 1};
    if (R_tryCatchError(send_span, &one, send_failed, &cond) == R_UnboundValue) report_unsendable(W.first + i, cond);
  }
  results_sent();
  return Rf_ScalarLogical(TRUE);
}

static void buffer_result(int64_t item, SEXP value) {
  if (W.buffered == 0) W.first = item;
  if (W.buffered == XLENGTH(W.buffer)) {
    PROTECT(value);
    SEXP bigger = PROTECT(Rf_xlengthgets(W.buffer, 2 * XLENGTH(W.buffer)));
    R_PreserveObject(bigger);
    R_ReleaseObject(W.buffer);
    W.buffer = bigger;
    UNPROTECT(2);
  }
  SET_VECTOR_ELT(W.buffer, W.buffered++, value);
}

static void trace_item(int64_t item) {
  r_trace_end(SM_TRACE_ITEM, item, W.traced_ns);
  W.traced_ns = 0;
}

static void leave_item(int64_t item) {
  trace_item(item);
  sm_turnstile_pass(W.map->turn, item);
  if (atomic_load_explicit(&W.map->turn->used, memory_order_relaxed)) atomic_store(&W.map->queue->single, 1);
  atomic_store_explicit(&sm_queue_slot(W.map->queue, r_here.rank)->item, -1, memory_order_release);
  r_here.item = -1;
}

/* ---- items ---- */

/* Item `i` of plain vectors without a call; R_UnboundValue where `[[` has to say. */
static SEXP plain_item(SEXP seq, int64_t i) {
  switch (TYPEOF(seq)) {
  case VECSXP: return VECTOR_ELT(seq, (R_xlen_t)i);
  case STRSXP: return Rf_ScalarString(STRING_ELT(seq, (R_xlen_t)i));
  default: return r_scalars_packed(seq) ? r_scalars_item(seq, (R_xlen_t)i) : R_UnboundValue;
  }
}

typedef struct {
  SEXP env, seq, item_sym, call, index_call;
  bool plain;
} item_caller;

static void bind_item(const item_caller *c, int64_t i) {
  SEXP v = c->plain ? plain_item(c->seq, i) : R_UnboundValue;
  if (v == R_UnboundValue) {
    SEXP index = PROTECT(i < INT_MAX ? Rf_ScalarInteger((int)i + 1) : Rf_ScalarReal((double)i + 1));
    SETCADDR(c->index_call, index);
    v = Rf_eval(c->index_call, c->env);
    UNPROTECT(1);
  }
  PROTECT(v);
  Rf_defineVar(c->item_sym, v, c->env);
  UNPROTECT(1);
}

/* env: the frame of worker_loop() in R/worker.R, with `func`, `sequence` and `...`. Gives NULL when there is nothing left. */
SEXP ffi_worker_loop(SEXP env, SEXP seq) {
  if (!W.map || r_here.pid != sm_pid()) r_abort("sharedmem_misuse_error", "not in a worker");
  if (!W.buffer) {
    W.buffer = Rf_allocVector(VECSXP, 64);
    R_PreserveObject(W.buffer);
  }
  item_caller c = {env, seq, Rf_install("item"), R_NilValue, R_NilValue, !Rf_isObject(seq)};
  c.call = PROTECT(Rf_lang3(Rf_install("func"), c.item_sym, R_DotsSymbol));
  c.index_call = PROTECT(Rf_lang3(R_Bracket2Symbol, Rf_install("sequence"), R_NilValue));
  sm_queue_shm *q = W.map->queue;
  sm_queue_slot_shm *slot = sm_queue_slot(q, r_here.rank);
  const uint64_t flush_ns = W.map->respawn ? FLUSH_RESPAWN_NS : FLUSH_NS;
  if (W.map->trace && !r_trace_target) {
    r_trace_attach(W.map->trace, r_here.rank);
    r_trace_end(SM_TRACE_STARTUP, -1, W.map->worker[r_here.rank].forked_ns);
  }
  uint64_t now = sm_clock_ns();
  r_kill_point(R_KILL_BEFORE_ITEMS);
  for (;;) {
    int64_t item = sm_queue_take(q, r_here.rank);
    if (item < 0) {
      channel()->later = true;
      flush_results();
      channel()->later = false;
      now = sm_clock_ns();
      int rc = sm_queue_refill(q, r_here.rank, &W.pace, now, &r_here.watch);
      if (r_trace_target) now = r_trace_end(SM_TRACE_DISPATCH, -1, now);
      if (rc < 0) sm_proc_end_self();
      W.flushed_ns = W.pace.began_ns;
      if (rc == 0) break; /* the last frame wakes the master */
      r_channel_wake(channel());
      continue;
    }
    r_kill_point(R_KILL_TAKEN);
    r_here.item = item;
    W.traced_ns = r_trace_target ? now : 0;
    atomic_store_explicit(&slot->since_ns, now, memory_order_relaxed);
    r_rng_begin_item(item);
    bind_item(&c, item);
    SEXP value = PROTECT(R_forceAndCall(c.call, 1, env));
    leave_item(item);
    buffer_result(item, value);
    UNPROTECT(1);
    now = sm_clock_ns();
    if (now - W.flushed_ns > flush_ns || W.buffered >= W.enough) {
      flush_results();
      W.flushed_ns = now = sm_clock_ns();
    }
  }
  UNPROTECT(2);
  return R_NilValue;
}

/* Publish what is buffered, then a frame about an item. With ends: an item that will give no result. */
SEXP ffi_worker_send(SEXP type, SEXP value, SEXP item, SEXP ends) {
  if (!W.map || r_here.pid != sm_pid()) r_abort("sharedmem_misuse_error", "not in a worker");
  int64_t at = item == R_NilValue ? r_here.item : (int64_t)Rf_asReal(item);
  bool last = Rf_asLogical(ends) == TRUE;
  if (last && item == R_NilValue) {
    trace_item(at); /* what is sent may be this process's death */
    flush_results();
  }
  int rc = r_frame_send(channel(), (uint32_t)Rf_asInteger(type), value, at, 1, &r_here.watch);
  if (rc < 0) sm_proc_end_self();
  if (last && item == R_NilValue && at >= 0) {
    atomic_store(&sm_queue_slot(W.map->queue, r_here.rank)->unsent, at + 1);
    leave_item(at);
  }
  return R_NilValue;
}

/* No further item starts anywhere. */
SEXP ffi_worker_stop_all(void) {
  if (W.map) sm_queue_stop(W.map->queue);
  return R_NilValue;
}

/* A warning (0) or message (1) that is not sent, for there were too many. */
SEXP ffi_worker_count(SEXP kind) {
  if (W.map && r_here.pid == sm_pid()) atomic_fetch_add(&sm_queue_slot(W.map->queue, r_here.rank)->unsaid[Rf_asInteger(kind) != 0], 1);
  return R_NilValue;
}

SEXP ffi_worker_end(void) {
  if (W.map && r_here.pid == sm_pid()) r_worker_end(SM_FRAME_BYE);
  return R_NilValue;
}
