/* r_team_rng.h: a generator of its own for each item of a map. */
#ifndef R_TEAM_RNG_H
#define R_TEAM_RNG_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "sm_base.h"

/* In a fresh worker: items draw from states of this base (ffi_rng_base()). */
void r_rng_install(SEXP base, SEXP binding);

/* In a worker, at the start of an item: nothing until some item has drawn, then one assignment. */
void r_rng_begin_item(int64_t item);

/* The .Random.seed of an item, 0-based. */
SEXP r_rng_stream(SEXP base, int64_t item);

/* Drop the deviate that Box-Muller has kept, so that what reduce() draws does not depend on where items ran. */
void r_rng_drop_kept(void);

/* seed becomes this process's .Random.seed (R_NilValue: it has none, as before the first draw); gives the one before, unprotected. */
SEXP r_rng_swap(SEXP seed);

#endif
