/* r_team_rng.c: see r_team_rng.h.
 *
 * The base of a map is a raw vector: sm_rng_state and the code that stands first in .Random.seed. In
 * a worker `.Random.seed` is an active binding until somebody looks: that puts the stream of the running item
 * in its place, and from then on each item's stream is assigned as it begins. Items that never draw cost nothing.
 */
#include "r_team_rng.h"

#include <R.h>
#include <R_ext/Random.h>
#include <string.h>

#include "r_util.h"
#include "task_rng.h"

#define LECUYER_CMRG 7

typedef struct {
  sm_rng_state state;
  int32_t code;
} base_bytes;

static struct {
  bool seeded, plain;
  base_bytes base;
  int64_t item;
} G;

static SEXP seed_symbol(void) { return Rf_install(".Random.seed"); }

static void put_seed(SEXP seed) { Rf_defineVar(seed_symbol(), seed, R_GlobalEnv); }

/* seed becomes the generator's state. Box-Muller keeps every second normal deviate outside of it: that is dropped, by
 * choosing the kind again. */
static void restart_at(SEXP seed) {
  PROTECT(seed);
  put_seed(seed);
  if (INTEGER_ELT(seed, 0) / 100 % 100 == BOX_MULLER) {
    SEXP kind = PROTECT(Rf_mkString("Box-Muller"));
    SEXP call = PROTECT(Rf_lang2(Rf_install("RNGkind"), kind));
    SET_TAG(CDR(call), Rf_install("normal.kind"));
    Rf_eval(call, R_BaseEnv);
    put_seed(seed);
    UNPROTECT(2);
  }
  UNPROTECT(1);
}

/* For maps that run in this process. */
SEXP ffi_rng_restart(SEXP seed) {
  if (TYPEOF(seed) != INTSXP || XLENGTH(seed) < 1) r_abort_argument("seed", Rf_type2char(TYPEOF(seed)), "an integer vector");
  restart_at(seed);
  return R_NilValue;
}

/* Draw once from R's generator, and make a base from its whole state after that. */
SEXP ffi_rng_base(void) {
  GetRNGstate();
  unif_rand();
  PutRNGstate();
  SEXP seed = PROTECT(Rf_eval(seed_symbol(), R_GlobalEnv));
  if (TYPEOF(seed) != INTSXP || XLENGTH(seed) < 1) r_abort("sharedmem_rng_error", ".Random.seed is not an integer vector");
  uint64_t hash = UINT64_C(0xCBF29CE484222325);
  const int *p = INTEGER_RO(seed);
  for (R_xlen_t i = 0; i < XLENGTH(seed); i++) hash = (hash ^ (uint32_t)p[i]) * UINT64_C(0x100000001B3);
  base_bytes b;
  memset(&b, 0, sizeof b);
  sm_rng_base(hash, &b.state);
  b.code = p[0] - p[0] % 100 + LECUYER_CMRG;
  restart_at(seed);
  SEXP out = PROTECT(Rf_allocVector(RAWSXP, sizeof b));
  memcpy(RAW(out), &b, sizeof b);
  UNPROTECT(2);
  return out;
}

static SEXP stream_of(const base_bytes *b, int64_t item) {
  sm_rng_state s;
  sm_rng_stream(&b->state, (uint64_t)item + 1, &s);
  SEXP out = Rf_allocVector(INTSXP, 7);
  INTEGER(out)[0] = b->code;
  for (int i = 0; i < 6; i++) INTEGER(out)[i + 1] = (int)s.s[i];
  return out;
}

/* Whether two states are one object: set.seed() and draws make a new one each time, so equal states of different objects are
 * those of a generator that was set again. */
SEXP ffi_rng_same(SEXP a, SEXP b) { return Rf_ScalarLogical(a == b); }

/* The .Random.seed of an item (1-based). */
SEXP ffi_rng_stream(SEXP base, SEXP item) {
  base_bytes b;
  if (TYPEOF(base) != RAWSXP || XLENGTH(base) != (R_xlen_t)sizeof b) r_abort_argument("base", Rf_type2char(TYPEOF(base)), "a base");
  memcpy(&b, RAW_RO(base), sizeof b);
  return stream_of(&b, (int64_t)Rf_asReal(item) - 1);
}

static void remove_binding(void) { R_removeVarFromFrame(seed_symbol(), R_GlobalEnv); }

/* In a fresh worker: binding is the function of the active binding (R/rng.R). */
void r_rng_install(SEXP base, SEXP binding) {
  if (TYPEOF(base) != RAWSXP || XLENGTH(base) != (R_xlen_t)sizeof G.base) return;
  memcpy(&G.base, RAW_RO(base), sizeof G.base);
  G.seeded = true;
  G.plain = false;
  remove_binding();
  R_MakeActiveBinding(seed_symbol(), binding, R_GlobalEnv);
}

/* Somebody looks at .Random.seed (value NULL) or assigns to it. */
SEXP ffi_rng_touch(SEXP value) {
  remove_binding();
  G.plain = true;
  SEXP seed = PROTECT(value == R_NilValue ? stream_of(&G.base, G.item) : value);
  Rf_defineVar(seed_symbol(), seed, R_GlobalEnv);
  UNPROTECT(1);
  return seed;
}

void r_rng_begin_item(int64_t item) {
  G.item = item;
  if (!G.seeded || !G.plain) return;
  restart_at(stream_of(&G.base, item));
}
