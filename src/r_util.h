/* r_util.h: classed R conditions raised from C, and small helpers of the glue. */
#ifndef R_UTIL_H
#define R_UTIL_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "sm_base.h"

/* Raise an error of class c(cls, "sharedmem_error", "error", "condition"). Does not return. */
void r_abort(const char *cls, const char *fmt, ...)
#if defined(__GNUC__)
  __attribute__((noreturn, format(printf, 2, 3)))
#endif
  ;

/* The same for a bad argument: "`arg` must be <expected>, not <got>". Class sharedmem_argument_error
 * with fields arg, got, expected. */
void r_abort_argument(const char *arg, const char *got, const char *expected)
#if defined(__GNUC__)
  __attribute__((noreturn))
#endif
  ;

/* The same, `value` (any R object) described by describe_value(). */
void r_abort_argument_value(const char *arg, SEXP value, const char *expected)
#if defined(__GNUC__)
  __attribute__((noreturn))
#endif
  ;

/* Evaluate a call of one of the package's abort_*() functions. Does not return. */
void r_abort_call(SEXP call)
#if defined(__GNUC__)
  __attribute__((noreturn))
#endif
  ;

/* The value of the symbol `expr` in env, or with `visible` of withVisible(expr); leave(arg) runs however that ends. */
SEXP r_eval_section(bool visible, SEXP env, void (*leave)(void *), void *arg);

#endif
