/* r_index_error.c: classed index and value errors, and calls of the package's own R functions. */
#include "r_index.h"
#include "r_util.h"

static SEXP text_or_null(const char *text) { return text ? Rf_mkString(text) : R_NilValue; }

void r_abort_index(const char *message, double position, SEXP index, double extent, int axis) {
  PROTECT(index);
  SEXP m = PROTECT(text_or_null(message)), p = PROTECT(Rf_ScalarReal(position)), e = PROTECT(Rf_ScalarReal(extent)),
       k = PROTECT(Rf_ScalarInteger(axis));
  SEXP call = PROTECT(Rf_lang6(Rf_install("abort_index"), m, p, index, e, k));
  r_call_in_namespace(call);
  UNPROTECT(6);
}

void r_abort_value(const char *message, double position, SEXP value, sm_dtype d) {
  char code[16];
  sm_dtype_format(d, code);
  PROTECT(value);
  SEXP m = PROTECT(text_or_null(message)), p = PROTECT(Rf_ScalarReal(position)), s = PROTECT(Rf_mkString(code));
  SEXP call = PROTECT(Rf_lang5(Rf_install("abort_value"), m, p, value, s));
  r_call_in_namespace(call);
  UNPROTECT(5);
}
