/* r_wire_scalars.h: many scalars of one type, on their way as one vector. */
#ifndef R_WIRE_SCALARS_H
#define R_WIRE_SCALARS_H

#define R_NO_REMAP
#include <Rinternals.h>
#include <stdbool.h>

/* Elements [at, at + n) of a list as one vector, if each is a logical, integer or double of length 1 without attributes and all are
 * of one type; else R_NilValue. */
SEXP r_scalars_pack(SEXP list, R_xlen_t at, R_xlen_t n);

/* True for a vector of a type that r_scalars_pack() gives. */
bool r_scalars_packed(SEXP x);

/* Element i of it as a scalar. */
SEXP r_scalars_item(SEXP x, R_xlen_t i);

#endif
