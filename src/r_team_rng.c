/* r_team_rng.c: see r_team_rng.h.
 *
 * The base of a map is a raw vector: sm_rng_base, the code that stands first in .Random.seed, and where a part of a map begins. In a worker
 * `.Random.seed` is an active binding until R code first reads it: that read puts the state of the running item in its place, and from
 * then on each item's state is assigned when the item begins. Items that never draw cost nothing.
 */
#include "r_team_rng.h"

#include <R.h>
#include <R_ext/Random.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "r_util.h"
#include "task_rng.h"

#define LECUYER_CMRG 7
/* .Random.seed[1] of a session that has not drawn: Mersenne-Twister, Inversion, Rejection */
#define DEFAULT_CODE 10403

typedef struct {
  sm_rng_base base;
  int32_t code;
  int64_t first; /* item of the whole map that is item 0 here */
} base_bytes;

static struct {
  bool based, seeded, assigned;
  base_bytes base;
  int64_t item;
} streams;

static SEXP seed_symbol(void) { return Rf_install(".Random.seed"); }

/* False where the user has locked the workspace so that R itself cannot draw; then no state is assigned. */
static bool can_assign(void) {
  if (R_existsVarInFrame(R_GlobalEnv, seed_symbol())) return !R_BindingIsLocked(seed_symbol(), R_GlobalEnv);
  return !R_EnvironmentIsLocked(R_GlobalEnv);
}

static void put_seed(SEXP seed) { Rf_defineVar(seed_symbol(), seed, R_GlobalEnv); }

/* The state of this process's generator, or R_NilValue. */
static SEXP session_seed(void) { return R_existsVarInFrame(R_GlobalEnv, seed_symbol()) ? Rf_eval(seed_symbol(), R_GlobalEnv) : R_NilValue; }

/* Make `seed` the generator's state. Box-Muller keeps every second normal deviate outside of the state; choosing the kind again drops
 * that deviate. */
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

/* Make the generator like that of a session that has not drawn. R keeps the kinds in static variables, which it sets when it reads a
 * state, so a state of the default kinds is read and then removed. */
static void restart_unseeded(void) {
  SEXP seed = PROTECT(Rf_allocVector(INTSXP, 626));
  for (int i = 0; i < 626; i++) INTEGER(seed)[i] = i == 0 ? DEFAULT_CODE : i == 1 ? 624 : i;
  put_seed(seed);
  GetRNGstate();
  R_removeVarFromFrame(seed_symbol(), R_GlobalEnv);
  UNPROTECT(1);
}

void r_rng_drop_kept(void) {
  SEXP seed = PROTECT(session_seed());
  if (TYPEOF(seed) == INTSXP && XLENGTH(seed) > 0 && INTEGER_ELT(seed, 0) / 100 % 100 == BOX_MULLER && can_assign()) restart_at(seed);
  UNPROTECT(1);
}

SEXP r_rng_swap(SEXP seed) {
  SEXP old = PROTECT(session_seed());
  bool state = TYPEOF(seed) == INTSXP && XLENGTH(seed) > 0;
  if (can_assign() && state) restart_at(seed);
  else if (can_assign() && seed == R_NilValue) restart_unseeded();
  else if (can_assign()) put_seed(seed);
  UNPROTECT(1);
  return old;
}

SEXP ffi_rng_swap(SEXP seed) { return r_rng_swap(seed); }

/* ---- bases ---- */

/* Words that no other process, and no other call, has. */
static void fresh_words(uint32_t w[10]) {
  static uint32_t calls = 0;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  memset(w, 0, 10 * sizeof *w);
  int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    if (read(fd, w, 16) < 16) w[4] = 1; /* the words below make up for missing entropy */
    close(fd);
  }
  w[5] = (uint32_t)now.tv_sec;
  w[6] = (uint32_t)now.tv_nsec;
  w[7] = (uint32_t)sm_clock_ns();
  w[8] = (uint32_t)sm_pid();
  w[9] = calls++;
}

/* The base hashed from a whole state and n more words. */
static SEXP base_of(SEXP seed, const uint32_t *more, size_t n) {
  PROTECT(seed);
  bool has = TYPEOF(seed) == INTSXP && XLENGTH(seed) > 0;
  size_t len = has ? (size_t)XLENGTH(seed) : 0;
  uint32_t *words = (uint32_t *)R_alloc(len + n, sizeof *words);
  if (has) memcpy(words, INTEGER_RO(seed), len * sizeof *words);
  memcpy(words + len, more, n * sizeof *words);
  base_bytes b;
  memset(&b, 0, sizeof b);
  sm_rng_base_init(&b.base, words, len + n);
  int code = has ? INTEGER_ELT(seed, 0) : DEFAULT_CODE;
  b.code = code - code % 100 + LECUYER_CMRG;
  SEXP out = PROTECT(Rf_allocVector(RAWSXP, sizeof b));
  memcpy(RAW(out), &b, sizeof b);
  UNPROTECT(2);
  return out;
}

static SEXP base_from_nothing(void) {
  uint32_t w[10];
  fresh_words(w);
  SEXP seed = PROTECT(session_seed());
  SEXP out = base_of(seed, w, 10);
  UNPROTECT(1);
  return out;
}

/* The base of a map with seed = TRUE: the session's generator moves on by one step, and the base is hashed from its whole state. */
static SEXP base_by_step(void) {
  if (!can_assign()) return base_from_nothing();
  GetRNGstate();
  unif_rand();
  PutRNGstate();
  SEXP seed = PROTECT(session_seed());
  if (TYPEOF(seed) != INTSXP || XLENGTH(seed) < 1) r_abort("sharedmem_rng_error", ".Random.seed is not an integer vector");
  restart_at(seed);
  uint32_t kind = 1;
  SEXP out = base_of(seed, &kind, 1);
  UNPROTECT(1);
  return out;
}

/* The base of a background call, hashed from the session's state as it stands and the number of earlier calls that have found this very
 * R object. set.seed() and every draw make a new object. The object is preserved, so that its address identifies it. */
static SEXP base_for_background(void) {
  static SEXP known = NULL;
  static uint32_t calls;
  SEXP seed = PROTECT(session_seed());
  if (TYPEOF(seed) != INTSXP || XLENGTH(seed) < 1) {
    UNPROTECT(1);
    return base_from_nothing();
  }
  if (seed != known) {
    MARK_NOT_MUTABLE(seed);
    R_PreserveObject(seed);
    if (known) R_ReleaseObject(known);
    known = seed;
    calls = 0;
  }
  uint32_t more[2] = {2, calls++};
  SEXP out = base_of(seed, more, 2);
  UNPROTECT(1);
  return out;
}

/* from: "step", "nothing", "background". */
SEXP ffi_rng_base(SEXP from) {
  const char *kind = TYPEOF(from) == STRSXP && XLENGTH(from) == 1 ? CHAR(STRING_ELT(from, 0)) : "";
  if (strcmp(kind, "step") == 0) return base_by_step();
  if (strcmp(kind, "background") == 0) return base_for_background();
  return base_from_nothing();
}

static SEXP stream_of(const base_bytes *b, int64_t item) {
  sm_rng_state s;
  sm_rng_item(&b->base, (uint64_t)(item + b->first), &s);
  SEXP out = Rf_allocVector(INTSXP, 7);
  INTEGER(out)[0] = b->code;
  for (int i = 0; i < 6; i++) INTEGER(out)[i + 1] = (int)s.s[i];
  return out;
}

static base_bytes base_from(SEXP base) {
  base_bytes b;
  if (TYPEOF(base) != RAWSXP || XLENGTH(base) != (R_xlen_t)sizeof b) r_abort_argument("base", Rf_type2char(TYPEOF(base)), "a base");
  memcpy(&b, RAW_RO(base), sizeof b);
  return b;
}

SEXP r_rng_stream(SEXP base, int64_t item) {
  base_bytes b = base_from(base);
  return stream_of(&b, item);
}

/* The base for a map of the items after the first `by` ones. */
SEXP ffi_rng_shift(SEXP base, SEXP by) {
  base_bytes b = base_from(base);
  b.first += (int64_t)Rf_asReal(by);
  SEXP out = PROTECT(Rf_allocVector(RAWSXP, sizeof b));
  memcpy(RAW(out), &b, sizeof b);
  UNPROTECT(1);
  return out;
}

/* The .Random.seed of an item (1-based) or rank. */
SEXP ffi_rng_stream(SEXP base, SEXP item) { return r_rng_stream(base, (int64_t)Rf_asReal(item) - 1); }

static void remove_binding(void) { R_removeVarFromFrame(seed_symbol(), R_GlobalEnv); }

void r_rng_install(SEXP base, SEXP binding) {
  if (TYPEOF(base) != RAWSXP || XLENGTH(base) != (R_xlen_t)sizeof streams.base) return;
  memcpy(&streams.base, RAW_RO(base), sizeof streams.base);
  streams.based = true;
  streams.seeded = can_assign();
  streams.assigned = R_EnvironmentIsLocked(R_GlobalEnv); /* a locked workspace allows an assignment, but no removal and no new binding */
  if (!streams.seeded || streams.assigned) return;
  remove_binding();
  R_MakeActiveBinding(seed_symbol(), binding, R_GlobalEnv);
}

/* parallel::mcparallel() takes its streams from a variable of package parallel, which all workers would have inherited alike. In a worker
 * it is an active binding, too: each item begins with a hashed state that is none of the items'. */
static struct {
  int64_t item;
  SEXP seed; /* what parallel has assigned during that item, or NULL */
} forks;

#define FORKS_FIRST (INT64_C(1) << 60)

void r_rng_install_parallel(SEXP env, SEXP binding) {
  if (!streams.based || TYPEOF(env) != ENVSXP || R_EnvironmentIsLocked(env)) return;
  if (forks.seed) R_ReleaseObject(forks.seed);
  forks.seed = NULL;
  SEXP symbol = Rf_install("LEcuyer.seed");
  R_removeVarFromFrame(symbol, env);
  R_MakeActiveBinding(symbol, binding, env);
}

/* parallel reads that variable (value NULL) or assigns to it. */
SEXP ffi_rng_parallel(SEXP value) {
  if (forks.seed && (value != R_NilValue || forks.item != streams.item)) {
    R_ReleaseObject(forks.seed);
    forks.seed = NULL;
  }
  if (value != R_NilValue) {
    R_PreserveObject(value);
    forks.seed = value;
    forks.item = streams.item;
  }
  return forks.seed ? forks.seed : stream_of(&streams.base, streams.item + FORKS_FIRST);
}

/* R code reads .Random.seed (value NULL) or assigns to it. */
SEXP ffi_rng_touch(SEXP value) {
  remove_binding();
  streams.assigned = true;
  SEXP seed = PROTECT(value == R_NilValue ? stream_of(&streams.base, streams.item) : value);
  Rf_defineVar(seed_symbol(), seed, R_GlobalEnv);
  UNPROTECT(1);
  return seed;
}

void r_rng_begin_item(int64_t item) {
  streams.item = item;
  if (!streams.seeded || !streams.assigned) return;
  restart_at(stream_of(&streams.base, item));
}
