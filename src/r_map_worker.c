/* r_map_worker.c: the child's side of a map; see r_map_worker.h.
 *
 * Purpose: take items, call the function, publish results; end without ever running R's exit path.
 * States of the loop: taking -> running -> returned -> published (slot.unsent moved). Where a death ends the map anyway,
 * results are buffered in between, and go in batches.
 * Errors: an R error in the function reaches the calling handlers that R/worker.R has set around the
 * loop. Batches are sent under handlers of their own, so an error there is never taken for that of the running item.
 */
#include "r_map_worker.h"

#include <string.h>

#include "mem_heap.h"
#include "r_here_trace.h"
#include "r_team_console.h"
#include "r_team_rng.h"
#include "r_team_threads.h"
#include "r_util.h"
#include "r_util_vector.h"
#include "r_wire_scalars.h"

#define FLUSH_NS 20000000u
/* A result wakes a sleeping owner at most this often: what is published is safe, and is read within a slice. */
#define WAKE_NS 1000000u
/* results in the first frame, and at least in each */
#define FRAME_FIRST 64
#define FRAME_MIN 4
#define MOVED_MIN 131072 /* numbers */
#define SIMPLE_DEPTH 8   /* lists within lists that simple() looks into */

static struct {
  r_map *map; /* NULL in a process that is no worker */
  sm_pace pace;
  SEXP buffer; /* results not yet published: a list; preserved */
  int64_t buffered, first;
  int64_t batch_target; /* so many results fill a frame well */
  uint64_t flushed_ns, woken_ns;
  uint64_t traced_ns; /* when the running item began; 0 unless traced */
} worker;

static r_channel *channel(void) { return &worker.map->team.member[r_here.rank].chan; }

static bool in_worker(void) { return worker.map && r_here.of == worker.map && r_here.pid == sm_pid(); }

static void check_worker(void) {
  if (!in_worker()) r_abort("sharedmem_misuse_error", "not in a worker");
}

void r_worker_run(void *map, int rank, SEXP main, SEXP jumped) {
  r_map *m = map;
  sm_heap_tune_child(m->reserve);
  memset(&worker, 0, sizeof worker);
  worker.map = m;
  worker.batch_target = FRAME_FIRST;
  r_trace_target = NULL;
  r_team_work w = {m, sm_queue_slot(m->queue, rank), m->team.output != R_OUTPUT_SPOOL, main, jumped, r_trace_leave};
  r_team_work_as(&m->team, rank, &w);
}

static void set_in(SEXP env, const char *name, SEXP value) { Rf_defineVar(Rf_install(name), value, env); }

/* A function of base R is replaced in this process. */
static void replace_in_base(const char *name, SEXP f) {
  SEXP sym = Rf_install(name);
  if (R_BindingIsLocked(sym, R_BaseEnv)) R_unLockBinding(sym, R_BaseEnv);
  Rf_defineVar(sym, f, R_BaseEnv);
  R_LockBinding(sym, R_BaseEnv);
}

/* the: the package's state; plan: worker_plan() in R/worker.R. Written in C because R code would touch pages that the worker must
 * then copy (one page fault each). */
SEXP ffi_worker_setup(SEXP the, SEXP plan) {
  r_console_cut();
  Rf_eval(r_list_get(plan, "on_error"), R_BaseEnv);
  SEXP worker_env = r_list_get(the, "worker");
  set_in(worker_env, "budget", r_list_get(plan, "budget"));
  set_in(worker_env, "collect", r_list_get(plan, "collect"));
  set_in(worker_env, "relayed", r_list_get(plan, "relayed"));
  set_in(r_list_get(the, "session"), "background", r_list_get(plan, "background"));
  replace_in_base("q", r_list_get(plan, "quit_function"));
  replace_in_base("quit", r_list_get(plan, "quit_function"));
  SEXP threads = r_list_get(plan, "threads");
  if (threads != R_NilValue) r_threads_set(Rf_asInteger(threads));
  r_rng_install(r_list_get(plan, "seed"), r_list_get(plan, "seed_binding"));
  r_rng_install_parallel(r_list_get(plan, "parallel_state"), r_list_get(plan, "parallel_binding"));
  return R_NilValue;
}

/* ---- results ---- */

/* Give up: the owner has gone, or the map has failed. */
static void check_sent(int rc) {
  if (rc < 0) sm_proc_end_self();
}

typedef struct {
  int64_t at, count;
} span;

static SEXP send_span(void *data) {
  span *s = data;
  SEXP list = r_scalars_pack(worker.buffer, (R_xlen_t)s->at, (R_xlen_t)s->count);
  if (list == R_NilValue) list = worker.buffer;
  if (list == worker.buffer && (s->at != 0 || s->count != XLENGTH(worker.buffer))) {
    list = Rf_allocVector(VECSXP, (R_xlen_t)s->count);
    for (int64_t i = 0; i < s->count; i++) SET_VECTOR_ELT(list, i, VECTOR_ELT(worker.buffer, s->at + i));
  }
  PROTECT(list);
  check_sent(r_frame_send(channel(), R_FRAME_RESULTS, list, worker.first + s->at, s->count, &r_here.watch));
  UNPROTECT(1);
  return R_NilValue;
}

typedef struct {
  int64_t item;
  SEXP value;
} one_result;

static SEXP send_one(void *data) {
  one_result *r = data;
  check_sent(r_frame_send(channel(), R_FRAME_RESULT, r->value, r->item, 1, &r_here.watch));
  return R_NilValue;
}

static SEXP send_failed(SEXP cond, void *data) {
  *(SEXP *)data = cond;
  channel()->defer_wake = false;
  return R_UnboundValue;
}

/* Send under handlers of its own. R_NilValue, or the error that came of it. */
static SEXP try_send(SEXP (*send)(void *), void *what) {
  SEXP cond = R_NilValue;
  R_tryCatchError(send, what, send_failed, &cond);
  return cond;
}

/* The error that sending the result of an item gave takes its place; see worker_unsendable() in R/worker.R. */
static void report_unsendable(int64_t item, SEXP cond) {
  PROTECT(cond);
  SEXP n = PROTECT(Rf_ScalarReal((double)item));
  r_call2("worker_unsendable", cond, n);
  UNPROTECT(2);
}

static void results_sent(void) {
  for (int64_t i = 0; i < worker.buffered; i++) SET_VECTOR_ELT(worker.buffer, i, R_NilValue);
  atomic_store(&r_here.slot->unsent, worker.first + worker.buffered);
  worker.buffered = 0;
}

/* A single result that needs no serialization, and so no handlers: where items come one by one this is each item's cost. */
static bool flush_flat(void) {
  if (worker.buffered != 1) return false;
  int rc = r_frame_send_flat(channel(), R_FRAME_RESULT, VECTOR_ELT(worker.buffer, 0), worker.first, &r_here.watch);
  if (rc == SM_ERANGE) return false;
  check_sent(rc);
  return true;
}

/* True where nothing can keep x from being serialized (but an attribute, which R then reports twice): it has no class, runs no code, and
 * takes no more than *room bytes, which pass through the ring. */
static bool simple(SEXP x, int depth, int64_t *room) {
  if (x == R_NilValue) return true;
  if (depth == 0 || ALTREP(x) || Rf_isObject(x)) return false;
  size_t size = r_vector_itemsize(TYPEOF(x));
  if (!size && TYPEOF(x) != VECSXP && TYPEOF(x) != STRSXP) return false;
  R_xlen_t n = XLENGTH(x);
  *room -= (int64_t)n * (int64_t)(size ? size : sizeof(SEXP)) + (int64_t)sizeof(SEXP);
  if (*room < 0 || size) return *room >= 0;
  for (R_xlen_t i = 0; i < n; i++) {
    if (TYPEOF(x) == STRSXP) *room -= LENGTH(STRING_ELT(x, i));
    else if (!simple(VECTOR_ELT(x, i), depth - 1, room)) return false;
  }
  return *room >= 0;
}

static void send_simple(void *data) { send_span(data); }

/* Handlers cost some 20 us a batch. Where all is simple, the rare error ends at top level instead, and the batch is sent again. */
static bool flush_simple(span *all) {
  int64_t room = (int64_t)worker.map->ring_capacity / 2;
  for (int64_t i = 0; i < all->count; i++)
    if (!simple(VECTOR_ELT(worker.buffer, (R_xlen_t)i), SIMPLE_DEPTH, &room)) return false;
  return R_ToplevelExec(send_simple, all) == TRUE;
}

static void flush_results(void) {
  if (worker.buffered == 0) return;
  uint64_t t0 = r_trace_begin(worker.map->trace);
  span all = {0, worker.buffered};
  if (!flush_flat() && !flush_simple(&all) && try_send(send_span, &all) != R_NilValue) {
    for (int64_t i = 0; i < worker.buffered; i++) {
      one_result one = {worker.first + i, VECTOR_ELT(worker.buffer, i)};
      SEXP cond = try_send(send_one, &one);
      if (cond != R_NilValue) report_unsendable(one.item, cond);
    }
  }
  r_trace_end(SM_TRACE_SERIALIZE, worker.first, t0);
  r_kill_point(R_KILL_PUBLISHED);
  int64_t each = (int64_t)channel()->last_nbytes / worker.buffered + 1, fit = (int64_t)worker.map->ring_capacity / 4 / each;
  worker.batch_target = fit > FRAME_MIN ? fit : FRAME_MIN;
  results_sent();
}

static void buffer_result(int64_t item, SEXP value) {
  if (worker.buffered == 0) worker.first = item;
  if (worker.buffered == XLENGTH(worker.buffer)) {
    SEXP bigger = PROTECT(Rf_xlengthgets(worker.buffer, 2 * XLENGTH(worker.buffer)));
    R_PreserveObject(bigger);
    R_ReleaseObject(worker.buffer);
    worker.buffer = bigger;
    UNPROTECT(1);
  }
  SET_VECTOR_ELT(worker.buffer, worker.buffered++, value);
}

/* An error on the way meets the item's own handler, which asks ffi_worker_returned(). */
static void publish_result(int64_t item, SEXP value, uint64_t now) {
  r_channel *c = channel();
  uint64_t t0 = r_trace_begin(worker.map->trace);
  c->defer_wake = now - worker.woken_ns < WAKE_NS;
  if (!c->defer_wake) worker.woken_ns = now;
  int rc = r_frame_send_flat(c, R_FRAME_RESULT, value, item, &r_here.watch);
  if (rc == SM_ERANGE) rc = r_frame_send(c, R_FRAME_RESULT, value, item, 1, &r_here.watch);
  check_sent(rc);
  c->defer_wake = false;
  r_trace_end(SM_TRACE_SERIALIZE, item, t0);
  r_kill_point(R_KILL_PUBLISHED);
}

/* The item has returned, however: its time and its turn are over. An item that the owner has found late ends here, with its worker. */
static void return_item(int64_t item) {
  if (!sm_queue_return(r_here.slot)) sm_proc_end_self();
  r_trace_end(SM_TRACE_ITEM, item, worker.traced_ns);
  worker.traced_ns = 0;
  sm_turnstile_pass(worker.map->turn, worker.map->turn_item + item);
  if (atomic_load_explicit(&worker.map->turn->used, memory_order_relaxed)) atomic_store(&worker.map->queue->single, 1);
}

static void leave_item(int64_t unsent) {
  r_here.item = -1;
  sm_queue_leave(r_here.slot, unsent);
}

/* ---- items ---- */

/* Item `i` of a vector without methods, without a call; R_UnboundValue where `[[` has to say. */
static SEXP methodless_item(SEXP seq, int64_t i) {
  switch (TYPEOF(seq)) {
  case VECSXP: return VECTOR_ELT(seq, (R_xlen_t)i);
  case STRSXP: return Rf_ScalarString(STRING_ELT(seq, (R_xlen_t)i));
  default: return r_scalars_packed(seq) ? r_scalars_item(seq, (R_xlen_t)i) : R_UnboundValue;
  }
}

/* call: of the item, evaluated in frame, where the item has the name item_sym. env: the frame of worker_loop(). */
typedef struct {
  SEXP env, seq, frame, item_sym, call, index_call;
  bool methodless;
} item_caller;

/* The call is `func(item, ...)` in worker_loop()'s frame, or the one that func's attribute "inlined" names: list(frame, item, call). */
static item_caller caller_of(SEXP env, SEXP seq) {
  item_caller c = {env, seq, env, Rf_install("item"), R_NilValue, R_NilValue, !Rf_isObject(seq)};
  SEXP inlined = Rf_getAttrib(Rf_eval(Rf_install("func"), env), Rf_install("inlined"));
  if (inlined == R_NilValue) {
    c.call = Rf_lang3(Rf_install("func"), c.item_sym, R_DotsSymbol);
  } else {
    c.frame = r_list_get(inlined, "frame");
    c.item_sym = r_list_get(inlined, "item");
    c.call = r_list_get(inlined, "call");
  }
  return c;
}

static void bind_item(const item_caller *c, int64_t i) {
  SEXP v = c->methodless ? methodless_item(c->seq, i) : R_UnboundValue;
  if (v == R_UnboundValue) {
    SEXP index = PROTECT(i < INT_MAX ? Rf_ScalarInteger((int)i + 1) : Rf_ScalarReal((double)i + 1));
    SETCADDR(c->index_call, index);
    v = Rf_eval(c->index_call, c->env);
    UNPROTECT(1);
  }
  PROTECT(v);
  Rf_defineVar(c->item_sym, v, c->frame);
  UNPROTECT(1);
}

static void begin_trace(void) {
  r_map *m = worker.map;
  if (!m->trace || r_trace_target) return;
  r_trace_attach(m->trace, r_here.rank);
  r_trace_end(SM_TRACE_STARTUP, -1, m->team.member[r_here.rank].forked_ns);
}

/* The batch is used up: publish, then get another. False where nothing is left. */
static bool refill(void) {
  channel()->defer_wake = true;
  flush_results();
  channel()->defer_wake = false;
  uint64_t now = sm_clock_ns();
  int rc = sm_queue_refill(worker.map->queue, r_here.rank, &worker.pace, now, &r_here.watch);
  if (r_trace_target) r_trace_end(SM_TRACE_DISPATCH, -1, now);
  check_sent(rc);
  worker.flushed_ns = worker.pace.began_ns;
  if (rc > 0 && now - worker.woken_ns >= WAKE_NS) { /* else the end of the ring wakes the owner */
    worker.woken_ns = now;
    r_channel_wake(channel());
  }
  return rc > 0;
}

/* A long vector goes to the session of another process's map by one copy less where it lies in shared memory from here on. */
static SEXP moved(SEXP value) {
  const r_map *m = worker.map;
  int type = TYPEOF(value);
  bool numbers = type == REALSXP || type == INTSXP || type == CPLXSXP;
  if (!m->spread || m->apart || !numbers || XLENGTH(value) < MOVED_MIN || Rf_isObject(value)) return value;
  return r_call1("moved_result", value);
}

/* The clock afterwards: the next item begins then. */
static uint64_t finish_item(int64_t item, SEXP result, uint64_t now) {
  return_item(item);
  SEXP value = PROTECT(moved(result));
  if (worker.map->respawn) {
    publish_result(item, value, now);
    leave_item(item + 1);
    UNPROTECT(1);
    return sm_clock_ns();
  }
  buffer_result(item, value);
  UNPROTECT(1);
  leave_item(worker.first);
  if (now - worker.flushed_ns <= FLUSH_NS && worker.buffered < worker.batch_target) return now;
  flush_results();
  return worker.flushed_ns = sm_clock_ns();
}

/* env: the frame of worker_loop() in R/worker.R, with `func`, `sequence` and `...`. Gives NULL when there is nothing left. */
SEXP ffi_worker_loop(SEXP env, SEXP seq) {
  check_worker();
  if (!worker.buffer) {
    worker.buffer = Rf_allocVector(VECSXP, 64);
    R_PreserveObject(worker.buffer);
  }
  item_caller c = caller_of(env, seq);
  PROTECT(c.call);
  c.index_call = PROTECT(Rf_lang3(R_Bracket2Symbol, Rf_install("sequence"), R_NilValue));
  begin_trace();
  r_kill_point(R_KILL_BEFORE_ITEMS);
  for (uint64_t now = sm_clock_ns();;) {
    int64_t item = sm_queue_take(worker.map->queue, r_here.rank, now);
    if (item < 0) {
      if (!refill()) break;
      now = sm_clock_ns();
      continue;
    }
    r_here.item = item;
    r_kill_point(R_KILL_TAKEN);
    worker.traced_ns = r_trace_target ? sm_clock_ns() : 0; /* not `now`: the last item's end is traced after it */
    r_rng_begin_item(item);
    bind_item(&c, item);
    SEXP value = PROTECT(R_forceAndCall(c.call, 1, c.frame));
    now = finish_item(item, value, sm_clock_ns());
    UNPROTECT(1);
  }
  UNPROTECT(2);
  return R_NilValue;
}

/* Publish a frame about the running item, or about `item` (0-based). With ends: it gives no result, and what is buffered goes before. */
SEXP ffi_worker_send(SEXP type, SEXP value, SEXP item, SEXP ends) {
  check_worker();
  int64_t at = item == R_NilValue ? r_here.item : (int64_t)Rf_asReal(item);
  bool leaves = Rf_asLogical(ends) == TRUE && item == R_NilValue && at >= 0, returned = false;
  if (leaves) {
    if (sm_queue_at(r_here.slot, &returned) == at && !returned) return_item(at); /* once: a value that cannot be sent comes again */
    flush_results();
  }
  check_sent(r_frame_send(channel(), (uint32_t)Rf_asInteger(type), value, at, 1, &r_here.watch));
  if (leaves) leave_item(at + 1);
  return R_NilValue;
}

/* Has the running item returned: does an error come from sending its result? */
SEXP ffi_worker_returned(void) {
  bool returned = false;
  if (in_worker()) sm_queue_at(r_here.slot, &returned);
  channel()->defer_wake = false;
  return Rf_ScalarLogical(returned);
}

/* No further item starts anywhere. */
SEXP ffi_worker_stop_all(void) {
  if (worker.map) sm_queue_stop(worker.map->queue);
  return R_NilValue;
}

/* A warning (0) or message (1) that is not sent, for there were too many. */
SEXP ffi_worker_suppress(SEXP kind) {
  if (in_worker()) atomic_fetch_add(&r_here.slot->suppressed[Rf_asInteger(kind) != 0], 1);
  return R_NilValue;
}

SEXP ffi_worker_end(void) {
  if (in_worker()) r_team_leave(false);
  return R_NilValue;
}
