/* r_kernel_arith.c: operators and functions over large shared arrays, into ordinary R vectors. */
#include <string.h>

#include "kern_map.h"
#include "mem_heap.h"
#include "r_kernel.h"
#include "r_array_handle.h"
#include "r_util.h"

/* The fresh result, its pages not touched yet. */
static SEXP result_new(SEXPTYPE type, int64_t n, void **at) {
  SEXP out = PROTECT(Rf_allocVector(type, (R_xlen_t)n));
  *at = type == REALSXP ? (void *)REAL(out) : type == LGLSXP ? (void *)LOGICAL(out) : (void *)INTEGER(out);
  sm_heap_want_huge(*at, (size_t)n * (type == REALSXP ? 8 : 4));
  UNPROTECT(1);
  return out;
}

static bool fragile(SEXP x) { return r_array_is(x) && r_array_fragile(r_array_get(x, "x")); }

/* op: number of the operator, as in sm_op. NULL: R is to do it. */
SEXP ffi_arith_combine(SEXP op, SEXP e1, SEXP e2, SEXP np) {
  if (fragile(e1) || fragile(e2)) return R_NilValue;
  const void *top = vmaxget();
  r_kernel_view a = r_kernel_look(e1, "e1"), b = r_kernel_look(e2, "e2");
  int64_t n = a.n > b.n ? a.n : b.n;
  if ((a.n != n && a.n != 1) || (b.n != n && b.n != 1)) r_abort_argument("e2", "of another length", "as long as `e1`, or one number");
  sm_op o = (sm_op)Rf_asInteger(op);
  bool integer = sm_map_is_integer(a.dtype) && sm_map_is_integer(b.dtype) && o != SM_OP_DIV;
  void *at;
  SEXP out = PROTECT(result_new(o >= SM_OP_EQ ? LGLSXP : integer ? INTSXP : REALSXP, n, &at));
  sm_stop stop;
  bool warn = false;
  r_kernel_stop(&stop);
  r_kernel_check(
      sm_map_op(o, (sm_operand){a.dtype, a.data, a.n != n}, (sm_operand){b.dtype, b.data, b.n != n}, n, at, Rf_asInteger(np), &stop, &warn),
      "arithmetic");
  vmaxset(top);
  if (warn) Rf_warningcall(R_NilValue, "NAs produced by integer overflow");
  UNPROTECT(1);
  return out;
}

/* fn: number of the function, as in sm_fn. NULL: R is to do it. */
SEXP ffi_arith_apply(SEXP fn, SEXP x, SEXP np) {
  if (fragile(x)) return R_NilValue;
  const void *top = vmaxget();
  r_kernel_view a = r_kernel_look(x, "x");
  sm_fn f = (sm_fn)Rf_asInteger(fn);
  bool integer = sm_map_is_integer(a.dtype) && (f == SM_FN_ABS || f == SM_FN_NEGATE);
  void *at;
  SEXP out = PROTECT(result_new(integer ? INTSXP : REALSXP, a.n, &at));
  sm_stop stop;
  bool warn = false;
  r_kernel_stop(&stop);
  r_kernel_check(sm_map_fn(f, (sm_operand){a.dtype, a.data, false}, a.n, at, Rf_asInteger(np), &stop, &warn), "arithmetic");
  vmaxset(top);
  if (warn) Rf_warningcall(R_NilValue, "NaNs produced");
  UNPROTECT(1);
  return out;
}
