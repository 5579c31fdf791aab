/* r_wire_pooled.h: long vectors over blocks of the pool (mem_pool.h).
 *
 * To R code they are ordinary vectors: private, written in place where R would write in place, copied to ordinary vectors. The
 * collector gives the block of a dropped vector back to the pool, where the next long result finds pages that need no fault.
 */
#ifndef R_WIRE_POOLED_H
#define R_WIRE_POOLED_H

#define R_NO_REMAP
#include <R_ext/Rdynload.h>
#include <Rinternals.h>

void r_pooled_register(DllInfo *dll);

/* A vector of n elements, not initialised: logical, integer, double, complex or raw. Short vectors are R's own. */
SEXP r_pooled_vector(SEXPTYPE type, R_xlen_t n);

#endif
