/* r_team_rng.h: a generator of its own for each item of a map. */
#ifndef R_TEAM_RNG_H
#define R_TEAM_RNG_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "sm_base.h"

/* In a new worker: let items draw from states of this base (ffi_rng_base()). binding: the function of the active binding (R/rng.R). */
void r_rng_install(SEXP base, SEXP binding);

/* The same for the streams that parallel::mcparallel() takes. env: where that package keeps its state; anything else: it is not loaded. */
void r_rng_install_parallel(SEXP env, SEXP binding);

/* In a worker, at the start of an item. Does nothing until an item of this worker has drawn; costs one assignment from then on. */
void r_rng_begin_item(int64_t item);

/* The .Random.seed of an item, 0-based. */
SEXP r_rng_stream(SEXP base, int64_t item);

/* Drop the deviate that Box-Muller has kept, so that the draws of reduce() do not depend on where items ran. */
void r_rng_drop_kept(void);

/* Set .Random.seed of this process (R_NilValue: remove it, as before the first draw); gives the previous one, unprotected. */
SEXP r_rng_swap(SEXP seed);

#endif
