/* r_kernel_reduce.c: sum, prod, min, max, range, any, all, mean of large shared arrays.
 *
 * What is rare (an integer sum that overflows, nothing left to reduce) is left to R by giving NULL, so its
 * warnings and values are R's own.
 */
#include <float.h>
#include <limits.h>
#include <math.h>

#include "kern_prod.h"
#include "kern_reduce.h"
#include "r_kernel.h"
#include "r_array_handle.h"
#include "r_util.h"

static double narrow(long double v) { return v > (long double)DBL_MAX ? R_PosInf : v < -(long double)DBL_MAX ? R_NegInf : (double)v; }

static double missing_double(const sm_tally *t) { return t->na ? NA_REAL : R_NaN; }

static bool is_double(sm_dtype d) { return sm_rtype_of(d) == SM_R_DBL; }

static SEXP reduce_sum(const sm_numbers *v, const sm_work *work, bool mean) {
  sm_sum s;
  r_kernel_check(sm_reduce_sum(v, work, &s), "sum");
  bool missing = !v->skip && (s.tally.na || s.tally.nan);
  if (mean) {
    if (missing) return Rf_ScalarReal(missing_double(&s.tally));
    return s.tally.n == 0 ? Rf_ScalarReal(R_NaN) : Rf_ScalarReal((double)(s.sum / (long double)s.tally.n));
  }
  if (is_double(v->d)) return Rf_ScalarReal(missing ? missing_double(&s.tally) : narrow(s.sum));
  if (missing) return Rf_ScalarInteger(NA_INTEGER);
  return s.whole > INT_MAX || s.whole < -INT_MAX ? R_NilValue : Rf_ScalarInteger((int)s.whole);
}

static SEXP reduce_prod(const sm_numbers *v, const sm_work *work) {
  sm_tally t;
  long double p;
  r_kernel_check(sm_prod(v, work, &t, &p), "prod");
  if (!is_double(v->d) && isnan(p)) return R_NilValue;
  return Rf_ScalarReal(!v->skip && (t.na || t.nan) ? missing_double(&t) : narrow(p));
}

static SEXP reduce_extremes(const sm_numbers *v, const sm_work *work, int what) {
  sm_extremes e;
  r_kernel_check(sm_reduce_extremes(v, work, &e), "min, max");
  if (e.tally.n == 0 && (v->skip || v->n == 0)) return R_NilValue;
  bool missing = !v->skip && (e.tally.na || e.tally.nan);
  double value[2] = {what == R_MAX ? e.hi : e.lo, e.hi};
  int n = what == R_RANGE ? 2 : 1;
  SEXP out = PROTECT(Rf_allocVector(is_double(v->d) ? REALSXP : INTSXP, n));
  for (int i = 0; i < n; i++) {
    if (is_double(v->d)) REAL(out)[i] = missing ? missing_double(&e.tally) : value[i];
    else INTEGER(out)[i] = missing ? NA_INTEGER : (int)value[i];
  }
  UNPROTECT(1);
  return out;
}

static SEXP reduce_logical(const sm_numbers *v, const sm_work *work, bool any) {
  sm_count c;
  r_kernel_check(sm_reduce_count(v, work, &c), "any, all");
  bool decided = any ? c.nonzero > 0 : c.nonzero < c.tally.n;
  if (decided) return Rf_ScalarLogical(any);
  return Rf_ScalarLogical(c.tally.na && !v->skip ? NA_LOGICAL : !any);
}

/* what: an r_summary. NULL: R is to do it. */
SEXP ffi_reduce_run(SEXP x, SEXP what, SEXP na_rm, SEXP np) {
  const void *top = vmaxget();
  r_kernel_view v = r_kernel_look(x, "x");
  sm_numbers of = {v.dtype, v.data, v.n, Rf_asLogical(na_rm) == TRUE};
  int op = Rf_asInteger(what);
  sm_stop stop;
  sm_work work = r_kernel_work(&stop, np, v.fragile);
  SEXP out;
  switch (op) {
  case R_SUM:
  case R_MEAN: out = reduce_sum(&of, &work, op == R_MEAN); break;
  case R_PROD: out = reduce_prod(&of, &work); break;
  case R_ANY:
  case R_ALL: out = reduce_logical(&of, &work, op == R_ANY); break;
  default: out = reduce_extremes(&of, &work, op); break;
  }
  vmaxset(top);
  return out;
}
