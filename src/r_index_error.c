/* r_index_error.c: classed index and value errors, and calls of the package's own R functions. */
#include "r_index.h"
#include "r_util.h"

static SEXP namespace(void) {
  SEXP name = PROTECT(Rf_mkString("sharedmem"));
  SEXP ns = R_FindNamespace(name);
  UNPROTECT(1);
  return ns;
}

static SEXP call_in_namespace(SEXP call) {
  PROTECT(call);
  SEXP ns = PROTECT(namespace());
  SEXP ans = Rf_eval(call, ns);
  UNPROTECT(2);
  return ans;
}

/* A symbol or call as an argument would be evaluated: quote it. */
static SEXP quoted(SEXP v) {
  return TYPEOF(v) == SYMSXP || TYPEOF(v) == LANGSXP ? Rf_lang2(Rf_install("quote"), v) : v;
}

SEXP r_call1(const char *fun, SEXP a) {
  PROTECT(a = quoted(a));
  SEXP call = Rf_lang2(Rf_install(fun), a);
  UNPROTECT(1);
  return call_in_namespace(call);
}

SEXP r_call2(const char *fun, SEXP a, SEXP b) {
  PROTECT(a = quoted(a));
  PROTECT(b = quoted(b));
  SEXP call = Rf_lang3(Rf_install(fun), a, b);
  UNPROTECT(2);
  return call_in_namespace(call);
}

SEXP r_call3(const char *fun, SEXP a, SEXP b, SEXP c) {
  PROTECT(a = quoted(a));
  PROTECT(b = quoted(b));
  PROTECT(c = quoted(c));
  SEXP call = Rf_lang4(Rf_install(fun), a, b, c);
  UNPROTECT(3);
  return call_in_namespace(call);
}

static SEXP text_or_null(const char *text) { return text ? Rf_mkString(text) : R_NilValue; }

void r_abort_index(const char *message, double position, SEXP index, double extent, int axis) {
  PROTECT(index);
  SEXP m = PROTECT(text_or_null(message)), p = PROTECT(Rf_ScalarReal(position)), e = PROTECT(Rf_ScalarReal(extent)), k = PROTECT(Rf_ScalarInteger(axis));
  SEXP call = PROTECT(Rf_lang6(Rf_install("abort_index"), m, p, index, e, k));
  call_in_namespace(call);
  UNPROTECT(6);
}

void r_abort_value(const char *message, double position, SEXP value, sm_dtype d) {
  char code[16];
  sm_dtype_format(d, code);
  PROTECT(value);
  SEXP m = PROTECT(text_or_null(message)), p = PROTECT(Rf_ScalarReal(position)), s = PROTECT(Rf_mkString(code));
  SEXP call = PROTECT(Rf_lang5(Rf_install("abort_value"), m, p, value, s));
  call_in_namespace(call);
  UNPROTECT(5);
}
