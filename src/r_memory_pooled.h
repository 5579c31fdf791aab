/* r_memory_pooled.h: long vectors over blocks of the pool (mem_pool.h).
 *
 * To R code they are ordinary vectors: private, written in place where R would write in place, copied to ordinary vectors. The
 * collector gives the block of a dropped vector back to the pool, where the next long vector finds pages that need no fault.
 * Short vectors are R's own.
 */
#ifndef R_MEMORY_POOLED_H
#define R_MEMORY_POOLED_H

#define R_NO_REMAP
#include <R_ext/Rdynload.h>
#include <Rinternals.h>

void r_pooled_register(DllInfo *dll);

/* A vector of n elements, not initialised: logical, integer, double, complex or raw. R's collector does not see its memory. */
SEXP r_pooled_vector(SEXPTYPE type, R_xlen_t n);

/* The same for elements that are about to be read out of a shared array. R's collector counts it like a vector of its own, so it runs as
 * often as for these. A finite sum() of doubles in it is that of the shared array. */
SEXP r_pooled_read(SEXPTYPE type, R_xlen_t n);

#endif
