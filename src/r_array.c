/* r_array.c: see r_array.h.
 *
 * Ownership: wrap first, fill later: the external pointer and its finalizer stand before the
 * segment is made. A finalizer gives back this process's own mapping only.
 */
#include "r_array.h"

#include <stdlib.h>
#include <string.h>

#include "r_util.h"

static void array_finalize(SEXP x) {
  sm_array *a = R_ExternalPtrAddr(x);
  if (!a) return;
  R_ClearExternalPtr(x);
  a->magic = 0;
  if (a->seg) sm_segment_unref(a->seg);
  free(a);
}

bool r_array_is(SEXP x) { return TYPEOF(x) == EXTPTRSXP && Rf_inherits(x, "shared_array"); }

sm_array *r_array_get(SEXP x, const char *arg) {
  if (!r_array_is(x)) r_abort_argument(arg, Rf_type2char(TYPEOF(x)), "a shared array");
  sm_array *a = R_ExternalPtrAddr(x);
  if (!a || a->magic != SM_ARRAY_MAGIC) r_abort("sharedmem_unattached_error", "shared array is not attached");
  return a;
}

SEXP r_array_new(sm_dtype dtype, int ndim, const int64_t *dim, bool vector) {
  SEXP x = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(x, array_finalize, FALSE);
  sm_array *a = calloc(1, sizeof *a + sizeof(int64_t) * (size_t)(ndim > 0 ? ndim : 1));
  if (!a) r_abort("sharedmem_memory_error", "cannot allocate a handle");
  R_SetExternalPtrAddr(x, a);
  a->magic = SM_ARRAY_MAGIC;
  a->vector = vector;
  a->dtype = dtype;
  a->ndim = ndim;
  a->dim = (int64_t *)(a + 1);
  a->length = 1;
  for (int i = 0; i < ndim; i++) {
    a->dim[i] = dim[i];
    a->length *= dim[i];
  }
  int rc = sm_segment_new((size_t)a->length * dtype.itemsize, &a->seg);
  if (rc < 0) r_abort("sharedmem_memory_error", "cannot allocate %.0f bytes of shared memory: %s", (double)a->length * dtype.itemsize, sm_error_text(rc));
  a->data = a->seg->payload;
  SEXP cls = PROTECT(Rf_mkString("shared_array"));
  Rf_setAttrib(x, R_ClassSymbol, cls);
  UNPROTECT(2);
  return x;
}

int r_array_travel_fd(SEXP x, pid_t me) {
  if (!r_array_is(x)) return -1;
  sm_array *a = R_ExternalPtrAddr(x);
  return a && a->seg && a->seg->creator == me ? a->seg->fd : -1;
}

SEXP ffi_array_new(SEXP dtype, SEXP dim, SEXP vector) {
  sm_dtype d;
  if (sm_dtype_parse(CHAR(STRING_ELT(dtype, 0)), &d) < 0) r_abort_argument("dtype", CHAR(STRING_ELT(dtype, 0)), "a dtype code");
  int ndim = (int)XLENGTH(dim);
  int64_t ext[64];
  if (ndim > 64) r_abort_argument("shape", "more than 64 extents", "at most 64");
  for (int i = 0; i < ndim; i++) ext[i] = (int64_t)REAL_RO(dim)[i];
  return r_array_new(d, ndim, ext, Rf_asLogical(vector));
}
