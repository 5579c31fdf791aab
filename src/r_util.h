/* r_util.h: classed R conditions raised from C, and small helpers of the glue. */
#ifndef R_UTIL_H
#define R_UTIL_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "sm_base.h"
#include "sync_futex.h"

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

/* Call a function of the package's namespace. */
SEXP r_call_in_namespace(SEXP call);
SEXP r_call1(const char *fun, SEXP a);
SEXP r_call2(const char *fun, SEXP a, SEXP b);
SEXP r_call3(const char *fun, SEXP a, SEXP b, SEXP c);

/* Element `name` of a named list, or R_NilValue. */
SEXP r_list_get(SEXP list, const char *name);

/* For the core's stop callbacks: has the user pressed Ctrl-C, or setTimeLimit() run out? Never jumps. */
bool r_interrupt_pending(void *unused);

/* For waits that Ctrl-C and a time limit end. */
extern const sm_watch r_interrupt_watch;

/* Leave as Ctrl-C does, or with the time limit's error, after r_interrupt_pending() has swallowed it. */
void r_interrupt_raise(void);

/* The value of the symbol `expr` in env, or with `visible` of withVisible(expr); leave(arg) runs however that ends. */
SEXP r_eval_section(bool visible, SEXP env, void (*leave)(void *), void *arg);

#endif
