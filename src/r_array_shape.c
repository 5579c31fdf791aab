/* r_array_shape.c: shape, dtype and attributes of a handle; new handles over the same memory. */
#include <string.h>

#include "arr_index.h"
#include "r_array_handle.h"
#include "r_util.h"

/* An ordinary vector that has got the class (attributes(y) <- attributes(x)) answers for itself. */
static bool class_alone(SEXP x) { return !r_array_is(x) && Rf_isVector(x); }

SEXP ffi_array_length(SEXP x) {
  int64_t n = class_alone(x) ? (int64_t)XLENGTH(x) : r_array_get(x, "x")->length;
  return n <= INT32_MAX ? Rf_ScalarInteger((int)n) : Rf_ScalarReal((double)n);
}

SEXP ffi_array_dim(SEXP x) {
  if (class_alone(x)) return Rf_getAttrib(x, R_DimSymbol);
  const r_array *a = r_array_get(x, "x");
  if (a->vector || a->ndim == 0) return R_NilValue;
  bool large = false;
  for (int k = 0; k < a->ndim; k++) large |= a->dim[k] > INT32_MAX;
  SEXP ans = Rf_allocVector(large ? REALSXP : INTSXP, a->ndim);
  for (int k = 0; k < a->ndim; k++) {
    if (large) REAL(ans)[k] = (double)a->dim[k];
    else INTEGER(ans)[k] = (int)a->dim[k];
  }
  return ans;
}

/* list(dtype, nbytes, ndim, vector, readonly) */
SEXP ffi_array_about(SEXP x) {
  const r_array *a = r_array_get(x, "x");
  const char *names[] = {"dtype", "nbytes", "ndim", "vector", "readonly", "path", ""};
  char code[16];
  sm_dtype_format(a->dtype, code);
  SEXP ans = PROTECT(Rf_mkNamed(VECSXP, names));
  SET_VECTOR_ELT(ans, 0, Rf_mkString(code));
  SET_VECTOR_ELT(ans, 1, Rf_ScalarReal((double)a->length * a->dtype.itemsize));
  SET_VECTOR_ELT(ans, 2, Rf_ScalarInteger(a->ndim));
  SET_VECTOR_ELT(ans, 3, Rf_ScalarLogical(a->vector));
  SET_VECTOR_ELT(ans, 4, Rf_ScalarLogical(a->readonly));
  if (a->seg->path) SET_VECTOR_ELT(ans, 5, Rf_mkString(a->seg->path));
  UNPROTECT(1);
  return ans;
}

SEXP ffi_array_meta(SEXP x) {
  if (class_alone(x)) return r_call1("ordinary_meta", x);
  r_array_get(x, "x");
  return r_array_meta(x);
}

/* A new handle over the same elements. dim: NULL for a plain vector; meta: named list or NULL. */
SEXP ffi_array_reshape(SEXP x, SEXP dim, SEXP vector, SEXP meta) {
  const r_array *a = r_array_get(x, "x");
  int64_t ext[SM_MAX_DIM];
  int ndim = (int)XLENGTH(dim);
  if (ndim > SM_MAX_DIM) r_abort_argument("dim", "more than 64 extents", "at most 64");
  for (int k = 0; k < ndim; k++) ext[k] = (int64_t)REAL_RO(dim)[k];
  if (Rf_asLogical(vector)) {
    ndim = 1;
    ext[0] = a->length;
  }
  return r_array_alias(x, ndim, ext, Rf_asLogical(vector), meta);
}

SEXP ffi_array_dtype(SEXP x) {
  char code[16];
  sm_dtype_format(r_array_get(x, "x")->dtype, code);
  return Rf_mkString(code);
}

SEXP ffi_array_nbytes(SEXP x) {
  const r_array *a = r_array_get(x, "x");
  return Rf_ScalarReal((double)a->length * a->dtype.itemsize);
}

/* An array's memory for glue that knows no arrays: a pointer that keeps the array; its tag says how many bytes there are. */
SEXP ffi_array_pointer(SEXP x) {
  SEXP ptr = R_MakeExternalPtr(r_array_get(x, "x")->data, PROTECT(ffi_array_nbytes(x)), x);
  UNPROTECT(1);
  return ptr;
}

SEXP ffi_array_shape(SEXP x) {
  const r_array *a = r_array_get(x, "x");
  SEXP shape = PROTECT(Rf_allocVector(REALSXP, a->ndim));
  for (int i = 0; i < a->ndim; i++) REAL(shape)[i] = (double)a->dim[i];
  UNPROTECT(1);
  return shape;
}
