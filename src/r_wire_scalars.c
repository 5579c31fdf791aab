/* r_wire_scalars.c: see r_wire_scalars.h. */
#include "r_wire_scalars.h"

#define LEAST 8           /* fewer scalars are not worth the comparison */
#define ALL_ATTRIBUTES 16 /* as identical() has it by default */

bool r_scalars_packed(SEXP x) { return TYPEOF(x) == REALSXP || TYPEOF(x) == INTSXP || TYPEOF(x) == LGLSXP; }

SEXP r_scalars_item(SEXP x, R_xlen_t i) {
  switch (TYPEOF(x)) {
  case REALSXP: return Rf_ScalarReal(REAL_ELT(x, i));
  case INTSXP: return Rf_ScalarInteger(INTEGER_ELT(x, i));
  default: return Rf_ScalarLogical(LOGICAL_ELT(x, i));
  }
}

/* Write the value of x to element i of `out` and to the scalar `like`. */
static void put(SEXP x, SEXP out, R_xlen_t i, SEXP like) {
  switch (TYPEOF(x)) {
  case REALSXP: REAL(like)[0] = REAL(out)[i] = REAL_ELT(x, 0); break;
  case INTSXP: INTEGER(like)[0] = INTEGER(out)[i] = INTEGER_ELT(x, 0); break;
  default: LOGICAL(like)[0] = LOGICAL(out)[i] = LOGICAL_ELT(x, 0);
  }
}

/* R before 4.5 has no entry point that tells whether a scalar has attributes, so it is compared with a scalar that has none. */
SEXP r_scalars_pack(SEXP list, R_xlen_t at, R_xlen_t n) {
  if (n < LEAST || !r_scalars_packed(VECTOR_ELT(list, at))) return R_NilValue;
  int type = TYPEOF(VECTOR_ELT(list, at));
  SEXP out = PROTECT(Rf_allocVector((SEXPTYPE)type, n)), like = PROTECT(Rf_allocVector((SEXPTYPE)type, 1));
  for (R_xlen_t i = 0; i < n; i++) {
    SEXP x = VECTOR_ELT(list, at + i);
    bool same = TYPEOF(x) == type && XLENGTH(x) == 1;
    if (same) put(x, out, i, like);
    if (!same || !R_compute_identical(x, like, ALL_ATTRIBUTES)) {
      out = R_NilValue;
      break;
    }
  }
  UNPROTECT(2);
  return out;
}
