/* r_team_rng.h: a random stream of its own for each item of a map. */
#ifndef R_TEAM_RNG_H
#define R_TEAM_RNG_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "sm_base.h"

/* In a fresh worker: items draw from streams of this base (ffi_rng_base(); NULL: R's generator is left alone). */
void r_rng_install(SEXP base, SEXP binding);

/* In a worker, at the start of an item: nothing until some item has drawn, then one assignment. */
void r_rng_begin_item(int64_t item);

#endif
