/* r_map_deliver.c: see r_map_deliver.h. */
#include "r_map_deliver.h"

#include <R.h>

#include "r_team_rng.h"
#include "r_wire_scalars.h"
#include "r_util.h"

#define PROGRESS_NS 100000000u

static SEXP quoted(SEXP v) {
  int t = TYPEOF(v);
  return t == LANGSXP || t == SYMSXP || t == PROMSXP || t == BCODESXP ? Rf_lang2(R_QuoteSymbol, v) : v;
}

/* reduce(value), or reduce(value[[1]], value[[2]], ...) for a tuple. */
static SEXP call_reduce(r_drive *d, SEXP value) {
  SEXP args;
  if (TYPEOF(value) == VECSXP && Rf_inherits(value, "sharedmem_tuple")) {
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
  SEXP out = PROTECT(Rf_eval(call, R_GlobalEnv));
  r_rng_drop_kept();
  UNPROTECT(3);
  return out;
}

static bool receives(const r_drive *d) { return Rf_inherits(d->reduce, "sharedmem_receiver"); }

/* reduce(first, count, one, value): results of items [first, first + count) as they came. */
static void hand_on(r_drive *d, int64_t first, int64_t count, bool one, SEXP value) {
  SEXP at = PROTECT(Rf_ScalarReal((double)first + 1)), n = PROTECT(Rf_ScalarReal((double)count));
  SEXP is_one = PROTECT(Rf_ScalarLogical(one)), v = PROTECT(quoted(value));
  SEXP call = PROTECT(Rf_lang5(d->reduce, at, n, is_one, v));
  Rf_eval(call, R_GlobalEnv);
  UNPROTECT(5);
}

SEXP r_deliver_event(r_drive *d, const char *type, SEXP value, int64_t item, int rank) {
  SEXP frame = PROTECT(r_team_frame(&d->m->team, type, rank, value, item));
  SEXP below = PROTECT(Rf_ScalarReal((double)d->m->first_undelivered));
  SEXP call = PROTECT(Rf_lang3(d->events, frame, below));
  SEXP out = Rf_eval(call, R_GlobalEnv);
  UNPROTECT(3);
  return out;
}

void r_deliver_progress(r_drive *d) {
  if (!d->m->progress) return;
  uint64_t now = sm_clock_ns();
  if (now < d->tick_ns) return;
  d->tick_ns = now + PROGRESS_NS;
  SEXP done = PROTECT(Rf_ScalarReal((double)d->m->done));
  r_deliver_event(d, "progress", done, -1, -1);
  UNPROTECT(1);
}

void r_deliver_item(r_drive *d, int64_t item) {
  r_map *m = d->m;
  if (m->delivered[item]) return;
  m->delivered[item] = 1;
  d->idle_deaths = 0;
  m->done++;
  while (m->first_undelivered < m->nitems && m->delivered[m->first_undelivered]) m->first_undelivered++;
}

void r_deliver_result(r_drive *d, int64_t item, SEXP value) {
  SM_KEEP(!d->m->delivered[item]);
  PROTECT(value);
  if (receives(d)) hand_on(d, item, 1, true, value);
  else SET_VECTOR_ELT(d->results, (R_xlen_t)item, d->reduce == R_NilValue ? value : call_reduce(d, value));
  UNPROTECT(1);
  r_deliver_item(d, item);
}

void r_deliver_results(r_drive *d, const sm_frame *f, SEXP list) {
  bool one = f->type == R_FRAME_RESULT, packed = !one && r_scalars_packed(list);
  if ((!one && ((TYPEOF(list) != VECSXP && !packed) || XLENGTH(list) != f->count)) || f->first < 0 || f->count > d->m->nitems - f->first ||
      (one && f->count != 1))
    r_abort("sharedmem_channel_error", "a worker's results are malformed");
  if (!one && receives(d)) {
    hand_on(d, f->first, f->count, false, list);
    for (int64_t i = 0; i < f->count; i++) r_deliver_item(d, f->first + i);
    return;
  }
  for (int64_t i = 0; i < f->count; i++) {
    SEXP value = PROTECT(one ? list : packed ? r_scalars_item(list, (R_xlen_t)i) : VECTOR_ELT(list, (R_xlen_t)i));
    if (!one && !packed) SET_VECTOR_ELT(list, (R_xlen_t)i, R_NilValue); /* the result alone refers to it */
    r_deliver_result(d, f->first + i, value);
    UNPROTECT(1);
  }
}

void r_deliver_failure(r_drive *d, const char *type, SEXP value, int64_t item, int rank) {
  SEXP out = PROTECT(r_deliver_event(d, type, value, item, rank));
  if (TYPEOF(out) == VECSXP && Rf_inherits(out, "sharedmem_collected") && item >= 0) {
    SET_VECTOR_ELT(d->results, (R_xlen_t)item, VECTOR_ELT(out, 0));
    r_deliver_item(d, item);
  } else if (!d->failed) {
    SET_VECTOR_ELT(d->out, 1, out);
    d->failed = true;
  }
  UNPROTECT(1);
}

void r_deliver_held(r_drive *d) {
  SEXP left = PROTECT(r_deliver_event(d, "release", R_NilValue, -1, -1));
  d->held = (int64_t)Rf_asReal(left);
  UNPROTECT(1);
}
