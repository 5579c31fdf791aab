/* r_wire_pooled.c: see r_wire_pooled.h.
 *
 * data1   external pointer to a block
 * data2   the length, a double
 *
 * Ownership: the block, with its memory, is the external pointer's. The finalizer gives it to the pool, or, in a fork, just
 * unmaps it.
 */
#include "r_wire_pooled.h"

#include <stdlib.h>

#include "mem_limit.h"
#include "mem_pool.h"
#include "r_array.h"
#include "r_memory.h"
#include "r_util.h"
#include "r_util_vector.h"

#define POOLED_MIN ((size_t)1 << 20)

static r_vector_classes pooled;

static void block_finalize(SEXP ptr) {
  sm_extent *b = R_ExternalPtrAddr(ptr);
  if (!b) return;
  R_ClearExternalPtr(ptr);
  sm_pool_give(b);
  free(b);
}

static void *data_of(SEXP x) { return ((const sm_extent *)R_ExternalPtrAddr(R_altrep_data1(x)))->p; }

static R_xlen_t vector_length(SEXP x) { return (R_xlen_t)REAL_ELT(R_altrep_data2(x), 0); }
static void *vector_dataptr(SEXP x, Rboolean writable) {
  (void)writable;
  return data_of(x);
}
static const void *vector_dataptr_or_null(SEXP x) { return data_of(x); }

static Rboolean vector_inspect(SEXP x, int pre, int deep, int pvec, void (*subtree)(SEXP, int, int, int)) {
  (void)pre, (void)deep, (void)pvec, (void)subtree;
  Rprintf(" pooled, %.0f bytes\n", (double)((const sm_extent *)R_ExternalPtrAddr(R_altrep_data1(x)))->nbytes);
  return TRUE;
}

static int int_elt(SEXP x, R_xlen_t i) { return ((const int *)data_of(x))[i]; }
static double real_elt(SEXP x, R_xlen_t i) { return ((const double *)data_of(x))[i]; }
static Rcomplex cplx_elt(SEXP x, R_xlen_t i) { return ((const Rcomplex *)data_of(x))[i]; }
static Rbyte raw_elt(SEXP x, R_xlen_t i) { return ((const Rbyte *)data_of(x))[i]; }

static void methods(R_altrep_class_t c) {
  R_set_altrep_Length_method(c, vector_length);
  R_set_altrep_Inspect_method(c, vector_inspect);
  R_set_altvec_Dataptr_method(c, vector_dataptr);
  R_set_altvec_Dataptr_or_null_method(c, vector_dataptr_or_null);
}

void r_pooled_register(DllInfo *dll) {
  pooled = r_vector_classes_make("pooled", dll, methods);
  R_set_altinteger_Elt_method(pooled.intg, int_elt);
  R_set_altreal_Elt_method(pooled.real, real_elt);
  R_set_altlogical_Elt_method(pooled.lgl, int_elt);
  R_set_altcomplex_Elt_method(pooled.cplx, cplx_elt);
  R_set_altraw_Elt_method(pooled.raw, raw_elt);
}

static bool take(sm_extent *b, size_t nbytes) {
  uint64_t available;
  return sm_limit_check(nbytes, &available) == 0 && sm_pool_take(nbytes, b) == 0;
}

SEXP r_pooled_vector(SEXPTYPE type, R_xlen_t n) {
  size_t size = r_vector_itemsize((int)type);
  if ((size_t)n < POOLED_MIN / size) return Rf_allocVector(type, n);
  size_t nbytes = (size_t)n * size;
  r_memory_collect_before(nbytes);
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(ptr, block_finalize, FALSE);
  SEXP length = PROTECT(Rf_ScalarReal((double)n));
  SEXP x = PROTECT(R_new_altrep(r_vector_class(&pooled, (int)type), ptr, length));
  sm_extent *b = calloc(1, sizeof *b);
  if (!b) r_abort("sharedmem_memory_error", "no memory for a vector");
  R_SetExternalPtrAddr(ptr, b);
  if (!take(b, nbytes)) {
    R_gc();
    sm_pool_trim();
    if (!take(b, nbytes)) r_abort_memory((double)nbytes, NA_REAL, "the system has no room for a vector of that size");
  }
  UNPROTECT(3);
  return x;
}
