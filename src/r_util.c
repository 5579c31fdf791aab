/* r_util.c: see r_util.h. Conditions are built and raised by R/conditions.R. */
#include "r_util.h"

#include <stdarg.h>
#include <stdio.h>

static SEXP package_namespace(void) {
  SEXP name = PROTECT(Rf_mkString("sharedmem"));
  SEXP ns = R_FindNamespace(name);
  UNPROTECT(1);
  return ns;
}

void r_abort(const char *cls, const char *fmt, ...) {
  char text[1024];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  SEXP ns = PROTECT(package_namespace());
  SEXP a = PROTECT(Rf_mkString(cls)), b = PROTECT(Rf_mkString(text));
  SEXP call = PROTECT(Rf_lang3(Rf_install("abort_class"), a, b));
  Rf_eval(call, ns);
  UNPROTECT(4);
  Rf_error("%s", text); /* not reached: abort_class() raises */
}

void r_abort_argument(const char *arg, const char *got, const char *expected) {
  SEXP ns = PROTECT(package_namespace());
  SEXP a = PROTECT(Rf_mkString(arg)), b = PROTECT(Rf_mkString(got)), c = PROTECT(Rf_mkString(expected));
  SEXP call = PROTECT(Rf_lang4(Rf_install("abort_argument"), a, b, c));
  Rf_eval(call, ns);
  UNPROTECT(5);
  Rf_error("bad argument %s", arg); /* not reached */
}

void r_abort_call(SEXP call) {
  PROTECT(call);
  SEXP ns = PROTECT(package_namespace());
  Rf_eval(call, ns);
  UNPROTECT(2);
  Rf_error("internal error: a condition was not raised"); /* not reached */
}

void r_abort_argument_value(const char *arg, SEXP value, const char *expected) {
  SEXP a = PROTECT(Rf_mkString(arg)), b = PROTECT(Rf_mkString(expected));
  SEXP quoted = PROTECT(Rf_lang2(Rf_install("quote"), value));
  r_abort_call(Rf_lang4(Rf_install("abort_argument_value"), a, quoted, b));
}

static SEXP eval_expr(void *env) { return Rf_eval(Rf_install("expr"), env); }

static SEXP eval_visible(void *env) {
  SEXP call = PROTECT(Rf_lang2(Rf_install("withVisible"), Rf_install("expr")));
  SEXP ans = Rf_eval(call, env);
  UNPROTECT(1);
  return ans;
}

SEXP r_eval_section(bool visible, SEXP env, void (*leave)(void *), void *arg) {
  return R_ExecWithCleanup(visible ? eval_visible : eval_expr, env, leave, arg);
}
