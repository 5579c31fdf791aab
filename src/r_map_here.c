/* r_map_here.c: the items of a map in the session itself: np = 0, ThreadBackend, debug mode, few items.
 *
 * Purpose: results, reduce(), failures, progress and trace go the way they go in a map with workers (r_map_deliver.h); what
 * differs is who calls the function. The session's random numbers are the items' while one runs, and its own while
 * reduce() and events() do; a script's console is empty for items, too.
 * States of an item: begun (here_ns set; state$seed holds the session's .Random.seed) -> returned -> delivered.
 * Errors: one in the function meets the calling handler in R/backend-thread.R, which leaves the loop and enters it again with the
 * failure. Any other way out meets ffi_here_leave().
 */
#include <R.h>

#include "r_here_trace.h"
#include "r_map_deliver.h"
#include "r_map_trace.h"
#include "r_team_rng.h"
#include "r_util.h"

/* Elements of the list `here` in R/backend-thread.R. */
typedef struct {
  r_map *m;
  SEXP state;     /* environment of the pool: item, local, seed */
  SEXP ranks;     /* list: `local` of each rank */
  SEXP base;      /* of the map's random numbers */
  double limit_s; /* that R sets an item; Inf for none */
  bool console;   /* items read R's console */
} here;

static here here_from(SEXP ptr, SEXP list) {
  return (here){r_map_get(ptr),
                r_list_get(list, "state"),
                r_list_get(list, "ranks"),
                r_list_get(list, "seed"),
                Rf_asReal(r_list_get(list, "limit")),
                Rf_asLogical(r_list_get(list, "console")) == TRUE};
}

static void set_in(SEXP env, const char *name, SEXP value) {
  PROTECT(value);
  Rf_defineVar(Rf_install(name), value, env);
  UNPROTECT(1);
}

static double seconds_since(uint64_t ns) { return (double)(sm_clock_ns() - ns) * 1e-9; }

static void set_time_limit(double seconds) {
  SEXP s = PROTECT(Rf_ScalarReal(seconds));
  SEXP call = PROTECT(Rf_lang3(Rf_install("setTimeLimit"), s, PROTECT(Rf_ScalarLogical(1))));
  SET_TAG(CDR(call), Rf_install("elapsed"));
  SET_TAG(CDDR(call), Rf_install("transient"));
  Rf_eval(call, R_BaseEnv);
  UNPROTECT(3);
}

static int rank_of(const here *h, int64_t item) { return (int)(item % XLENGTH(h->ranks)); }

static void begin_item(const here *h, int64_t item) {
  int rank = rank_of(h, item);
  set_in(h->state, "item", Rf_ScalarReal((double)item + 1));
  set_in(h->state, "local", VECTOR_ELT(h->ranks, rank));
  r_trace_here(h->m, rank);
  h->m->here_next = item + 1;
  h->m->here_ns = sm_clock_ns();
  h->m->here_reader = h->console ? NULL : r_console_cut();
  SEXP own = PROTECT(r_rng_stream(h->base, item));
  set_in(h->state, "seed", r_rng_swap(own));
  UNPROTECT(1);
  if (R_FINITE(h->limit_s)) set_time_limit(h->limit_s);
}

static void return_item(const here *h) {
  uint64_t began = h->m->here_ns;
  if (!began) return;
  h->m->here_ns = 0;
  r_console_restore(h->m->here_reader);
  if (h->m->trace && h->m->trace == r_trace_target) r_trace_end(SM_TRACE_ITEM, h->m->here_next - 1, began);
  SEXP seed = PROTECT(Rf_eval(Rf_install("seed"), h->state));
  set_in(h->state, "seed", R_NilValue);
  r_rng_swap(seed);
  UNPROTECT(1);
  if (R_FINITE(h->limit_s)) set_time_limit(R_PosInf);
}

static void deliver_failure(r_drive *d, const here *h, SEXP failure) {
  int64_t item = h->m->here_next - 1;
  const char *type = CHAR(STRING_ELT(r_list_get(failure, "type"), 0));
  return_item(h);
  if (strcmp(type, "stopped") == 0) {
    d->stopped = true;
    r_deliver_item(d, item);
  } else {
    r_deliver_failure(d, type, failure, item, rank_of(h, item));
  }
}

/* Run the items that have not begun. env: the frame of here_loop() in R/backend-thread.R, with `func`, `sequence` and `...`.
 * failure: of the item that began last, list(type, reason, traceback, lost), or NULL. Gives list(state, failure) as ffi_map_drive(). */
SEXP ffi_here_loop(SEXP ptr, SEXP env, SEXP list, SEXP reduce, SEXP events, SEXP failure) {
  static const char *names[] = {"state", "failure", ""};
  here h = here_from(ptr, list);
  r_drive d = {0};
  d.m = h.m;
  d.results = R_ExternalPtrProtected(ptr);
  d.reduce = reduce;
  d.events = events;
  d.out = PROTECT(Rf_mkNamed(VECSXP, names));
  SEXP sym = Rf_install("item");
  SEXP call = PROTECT(Rf_lang3(Rf_install("func"), sym, R_DotsSymbol));
  SEXP element = PROTECT(Rf_lang3(R_Bracket2Symbol, Rf_install("sequence"), R_NilValue));
  if (failure != R_NilValue) deliver_failure(&d, &h, failure);
  while (!d.failed && !d.stopped && h.m->here_next < h.m->nitems) {
    int64_t item = h.m->here_next;
    begin_item(&h, item);
    SEXP index = PROTECT(item < INT_MAX ? Rf_ScalarInteger((int)item + 1) : Rf_ScalarReal((double)item + 1));
    SETCADDR(element, index);
    SEXP v = PROTECT(Rf_eval(element, env));
    Rf_defineVar(sym, v, env);
    SEXP value = PROTECT(R_forceAndCall(call, 1, env));
    /* a worker would have been killed; R looks for its limit at some points only, and the function may have caught the error */
    bool late = seconds_since(h.m->here_ns) > h.limit_s;
    return_item(&h);
    if (late) r_deliver_failure(&d, "timeout", R_NilValue, item, rank_of(&h, item));
    else r_deliver_result(&d, item, value);
    UNPROTECT(3);
    r_deliver_progress(&d);
  }
  SET_VECTOR_ELT(d.out, 0, Rf_mkString(d.failed ? "failed" : d.stopped ? "stopped" : "done"));
  if (d.stopped) Rf_setAttrib(d.results, Rf_install("stopped"), Rf_ScalarLogical(1));
  UNPROTECT(3);
  return d.out;
}

/* Seconds since the running item began; NA where none runs, but reduce() or a handler of the session's. */
SEXP ffi_here_since(SEXP ptr) {
  uint64_t began = r_map_get(ptr)->here_ns;
  return Rf_ScalarReal(began ? seconds_since(began) : NA_REAL);
}

/* However the loop was left: the session has its random numbers again, and no time limit of ours. */
SEXP ffi_here_leave(SEXP ptr, SEXP list) {
  here h = here_from(ptr, list);
  return_item(&h);
  return R_NilValue;
}
