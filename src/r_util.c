/* r_util.c: see r_util.h. Conditions are built and raised by R/conditions.R. */
#define _GNU_SOURCE
#include "r_util.h"

#include <Rversion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

SEXP r_call_in_namespace(SEXP call) {
  PROTECT(call);
  SEXP ns = PROTECT(package_namespace());
  SEXP ans = Rf_eval(call, ns);
  UNPROTECT(2);
  return ans;
}

/* A symbol or call as an argument would be evaluated: quote it. */
static SEXP quoted(SEXP v) { return TYPEOF(v) == SYMSXP || TYPEOF(v) == LANGSXP ? Rf_lang2(Rf_install("quote"), v) : v; }

SEXP r_call1(const char *fun, SEXP a) {
  PROTECT(a = quoted(a));
  SEXP call = Rf_lang2(Rf_install(fun), a);
  UNPROTECT(1);
  return r_call_in_namespace(call);
}

SEXP r_call2(const char *fun, SEXP a, SEXP b) {
  PROTECT(a = quoted(a));
  PROTECT(b = quoted(b));
  SEXP call = Rf_lang3(Rf_install(fun), a, b);
  UNPROTECT(2);
  return r_call_in_namespace(call);
}

SEXP r_call3(const char *fun, SEXP a, SEXP b, SEXP c) {
  PROTECT(a = quoted(a));
  PROTECT(b = quoted(b));
  PROTECT(c = quoted(c));
  SEXP call = Rf_lang4(Rf_install(fun), a, b, c);
  UNPROTECT(3);
  return r_call_in_namespace(call);
}

SEXP r_list_get(SEXP list, const char *name) {
  if (TYPEOF(list) != VECSXP) return R_NilValue;
  SEXP names = Rf_getAttrib(list, R_NamesSymbol);
  for (R_xlen_t k = 0; k < XLENGTH(names); k++)
    if (strcmp(CHAR(STRING_ELT(names, k)), name) == 0) return VECTOR_ELT(list, k);
  return R_NilValue;
}

static SEXP limit_error = NULL; /* why r_interrupt_pending() was true, if that was no Ctrl-C; preserved */

static void set_limit_error(SEXP cond) {
  if (limit_error) R_ReleaseObject(limit_error);
  limit_error = cond;
  if (cond) R_PreserveObject(cond);
}

static SEXP check_interrupt(void *unused) {
  (void)unused;
  R_CheckUserInterrupt();
  return R_NilValue;
}

static SEXP note_interrupt(SEXP cond, void *pending) {
  *(bool *)pending = true;
  if (Rf_inherits(cond, "error")) set_limit_error(cond);
  return R_NilValue;
}

/* Not by a jump to top level, which prints an empty line and evaluates options(error=). */
bool r_interrupt_pending(void *unused) {
  (void)unused;
  bool pending = false;
  set_limit_error(NULL);
  SEXP classes = PROTECT(Rf_allocVector(STRSXP, 2));
  SET_STRING_ELT(classes, 0, Rf_mkChar("interrupt"));
  SET_STRING_ELT(classes, 1, Rf_mkChar("error"));
  R_tryCatch(check_interrupt, NULL, classes, note_interrupt, &pending, NULL, NULL);
  UNPROTECT(1);
  return pending;
}

static int interrupted(void *unused) { return r_interrupt_pending(unused); }
const sm_watch r_interrupt_watch = {NULL, interrupted, NULL};

void r_interrupt_raise(void) {
  if (limit_error) {
    SEXP cond = PROTECT(limit_error);
    set_limit_error(NULL);
    SEXP call = PROTECT(Rf_lang2(Rf_install("stop"), cond));
    Rf_eval(call, R_BaseEnv);
  }
  raise(SIGINT); /* R notes it, and the next line leaves as Ctrl-C does */
  R_CheckUserInterrupt();
}

/* The binding of a name in an environment, locked or not, gets another value; it is locked afterwards if it was before. */
SEXP ffi_util_rebind(SEXP env, SEXP name, SEXP value) {
  SEXP sym = Rf_installTrChar(STRING_ELT(name, 0));
  bool locked = R_BindingIsLocked(sym, env);
  if (locked) R_unLockBinding(sym, env);
  Rf_defineVar(sym, value, env);
  if (locked) R_LockBinding(sym, env);
  return R_NilValue;
}

/* Which elements of a list inherit from the class. */
SEXP ffi_util_inheriting(SEXP list, SEXP class) {
  const char *name = CHAR(STRING_ELT(class, 0));
  R_xlen_t n = Rf_xlength(list), found = 0;
  for (R_xlen_t i = 0; i < n; i++) found += Rf_inherits(VECTOR_ELT(list, i), name);
  SEXP out = PROTECT(Rf_allocVector(REALSXP, found));
  for (R_xlen_t i = 0, k = 0; k < found; i++)
    if (Rf_inherits(VECTOR_ELT(list, i), name)) REAL(out)[k++] = (double)i + 1;
  UNPROTECT(1);
  return out;
}

/* A value that nobody else has yet gets these attributes, itself: R's attributes<- would copy it where a variable refers to it. */
SEXP ffi_util_dress(SEXP x, SEXP attributes) {
  SEXP names = PROTECT(Rf_getAttrib(attributes, R_NamesSymbol));
  SEXP dim = r_list_get(attributes, "dim"); /* dimnames need them */
  if (dim != R_NilValue) Rf_setAttrib(x, R_DimSymbol, dim);
  for (R_xlen_t i = 0; i < XLENGTH(attributes); i++) Rf_setAttrib(x, Rf_installTrChar(STRING_ELT(names, i)), VECTOR_ELT(attributes, i));
  UNPROTECT(1);
  return x;
}

#if R_VERSION < R_Version(4, 6, 0)
/* Before 4.6 R has no other way to ask than two functions that later R's API leaves out: found at run time, so that the object does not
 * name them. */
static bool has_no_value(SEXP sym, SEXP env) {
  static SEXP (*find)(SEXP, SEXP) = NULL, (*value_of)(SEXP) = NULL;
  if (!find) {
    void *f = dlsym(RTLD_DEFAULT, "Rf_findVarInFrame"), *v = dlsym(RTLD_DEFAULT, "PRVALUE");
    memcpy(&find, &f, sizeof f);
    memcpy(&value_of, &v, sizeof v);
  }
  if (!find) return true;
  SEXP x = find(env, sym);
  return x == R_MissingArg || (TYPEOF(x) == PROMSXP && (!value_of || value_of(x) == R_UnboundValue));
}
#endif

/* What sym stands for in env itself: "none", "value", "locked" (a value), "lazy" (no value yet: a promise, an active binding, a missing
 * argument). Asks without forcing it, which get() would do. */
static const char *binding_kind(SEXP sym, SEXP env) {
  if (!R_existsVarInFrame(env, sym)) return "none";
  if (R_BindingIsActive(sym, env)) return "lazy";
#if R_VERSION >= R_Version(4, 6, 0)
  R_BindingType_t type = R_GetBindingType(sym, env);
  bool lazy = type != R_BindingTypeValue && type != R_BindingTypeForced;
#else
  bool lazy = has_no_value(sym, env);
#endif
  return lazy ? "lazy" : R_BindingIsLocked(sym, env) ? "locked" : "value";
}

SEXP ffi_binding_kinds(SEXP names, SEXP env) {
  SEXP out = PROTECT(Rf_allocVector(STRSXP, XLENGTH(names)));
  for (R_xlen_t i = 0; i < XLENGTH(names); i++)
    SET_STRING_ELT(out, i, Rf_mkChar(binding_kind(Rf_installTrChar(STRING_ELT(names, i)), env)));
  UNPROTECT(1);
  return out;
}

#define FILE_MAX ((size_t)1 << 18)

/* The lines of a small text file, at most 256 KiB of it; none where it cannot be read. Through no connection of R's: it has 128. */
SEXP ffi_file_lines(SEXP path) {
  if (TYPEOF(path) != STRSXP || XLENGTH(path) != 1) r_abort_argument("path", Rf_type2char(TYPEOF(path)), "a path");
  int fd = open(R_ExpandFileName(Rf_translateChar(STRING_ELT(path, 0))), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Rf_allocVector(STRSXP, 0);
  size_t n = 0;
  ssize_t got;
  static char text[FILE_MAX];
  while (n < FILE_MAX && ((got = read(fd, text + n, FILE_MAX - n)) > 0 || (got < 0 && errno == EINTR)))
    if (got > 0) n += (size_t)got;
  close(fd);
  R_xlen_t lines = 0;
  for (size_t i = 0; i < n; i++) lines += text[i] == '\n' || i + 1 == n;
  SEXP out = PROTECT(Rf_allocVector(STRSXP, lines));
  size_t from = 0;
  for (R_xlen_t k = 0; k < lines; k++) {
    size_t to = from;
    while (to < n && text[to] != '\n' && text[to] != 0) to++;
    SET_STRING_ELT(out, k, Rf_mkCharLen(text + from, (int)(to - from)));
    while (to < n && text[to] != '\n') to++;
    from = to + 1;
  }
  UNPROTECT(1);
  return out;
}
