/* r_wire_vector.h: long vectors over memory that is kept for the next one.
 *
 * To R code they are ordinary vectors: private, written in place where R would, copied to ordinary ones. What is
 * dropped goes back to the pool when the collector finds it.
 */
#ifndef R_WIRE_VECTOR_H
#define R_WIRE_VECTOR_H

#define R_NO_REMAP
#include <R_ext/Rdynload.h>
#include <Rinternals.h>

void r_vector_register(DllInfo *dll);

/* A vector of n elements, not initialised: logical, integer, double, complex or raw. A short one is R's own. */
SEXP r_vector_new(SEXPTYPE type, R_xlen_t n);

#endif
