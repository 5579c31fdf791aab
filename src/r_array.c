/* r_array.c: see r_array.h.
 *
 * Ownership: wrap first, fill later: the external pointer and its finalizer stand before the
 * segment is made. A finalizer gives back this process's own mapping only.
 */
#include "r_array.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "mem_descriptor.h"
#include "mem_fault.h"
#include "mem_limit.h"
#include "mem_pool.h"
#include "r_util.h"

static void array_finalize(SEXP x) {
  r_array *a = R_ExternalPtrAddr(x);
  if (!a) return;
  R_ClearExternalPtr(x);
  a->magic = 0;
  if (a->block) sm_block_unref(a->block);
  else if (a->seg) sm_segment_unref(a->seg);
  free(a);
}

bool r_array_is(SEXP x) { return TYPEOF(x) == EXTPTRSXP && Rf_inherits(x, "shared_array"); }

/* ---- R attributes ---- */

SEXP r_array_meta(SEXP x) {
  SEXP meta = R_ExternalPtrProtected(x);
  return TYPEOF(meta) == VECSXP ? meta : R_NilValue;
}

SEXP r_array_meta_get(SEXP x, const char *name) { return r_list_get(r_array_meta(x), name); }

void r_array_meta_init(SEXP x, SEXP meta) {
  if (TYPEOF(meta) == VECSXP && XLENGTH(meta) > 0) R_SetExternalPtrProtected(x, meta);
}

/* ---- making handles ---- */

static r_array *array_init(SEXP x, sm_dtype dtype, int ndim, const int64_t *dim, bool vector) {
  r_array *a = calloc(1, sizeof *a + sizeof(int64_t) * (size_t)(ndim > 0 ? ndim : 1));
  if (!a) return NULL;
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
  return a;
}

r_array *r_array_alloc(SEXP x, sm_dtype dtype, int ndim, const int64_t *dim, bool vector) {
  r_array *a = array_init(x, dtype, ndim, dim, vector);
  if (!a) r_abort("sharedmem_memory_error", "cannot allocate a handle");
  return a;
}

r_array *r_array_alloc_over(SEXP x, sm_dtype dtype, int ndim, const int64_t *dim, bool vector, sm_segment *seg) {
  r_array *a = array_init(x, dtype, ndim, dim, vector);
  if (!a) {
    sm_segment_unref(seg);
    r_abort("sharedmem_memory_error", "cannot allocate a handle");
  }
  return a;
}

SEXP r_array_shell(void) {
  static SEXP cls = NULL; /* shared by all handles */
  if (!cls) {
    cls = Rf_mkString("shared_array");
    R_PreserveObject(cls);
    MARK_NOT_MUTABLE(cls);
  }
  SEXP x = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  Rf_setAttrib(x, R_ClassSymbol, cls);
  UNPROTECT(1);
  return x;
}

void r_array_own(SEXP x) { R_RegisterCFinalizerEx(x, array_finalize, FALSE); }

SEXP r_array_handle(void) {
  SEXP x = PROTECT(r_array_shell());
  r_array_own(x);
  UNPROTECT(1);
  return x;
}

void r_array_bind(SEXP x, r_array *a, sm_segment *seg, sm_block *block, uint8_t *data) {
  a->seg = seg;
  a->block = block;
  a->data = data;
  if (seg->readonly) a->readonly = true;
  if (seg->kind == SM_SEGMENT_FILE || (block && seg->opened)) a->magic = SM_ARRAY_CHECKED;
  sm_descriptor d = {.segment = {seg->id[0], seg->id[1]},
                     .block = block ? block->id : 0,
                     .offset = (uint64_t)(data - seg->payload),
                     .fd = seg->fd,
                     .itemsize = a->dtype.itemsize,
                     .code = a->dtype.code,
                     .raw = a->dtype.raw,
                     .vector = a->vector,
                     .readonly = a->readonly,
                     .ndim = (uint32_t)a->ndim,
                     .kind = seg->kind};
  SEXP tag = Rf_allocVector(RAWSXP, (R_xlen_t)sm_descriptor_size(a->ndim));
  R_SetExternalPtrTag(x, tag);
  sm_descriptor_write(&d, a->dim, RAW(tag));
}

/* ---- access ---- */

bool r_array_fragile(const r_array *a) { return a->seg->kind == SM_SEGMENT_FILE; }

void r_array_access(const r_array *a, void (*fn)(void *), void *ctx) {
  if (!r_array_fragile(a)) {
    fn(ctx);
    return;
  }
  if (sm_fault_guard(fn, ctx) < 0) r_array_abort_shrunk();
}

void r_array_abort_shrunk(void) {
  r_abort("sharedmem_file_error", "the file behind the shared array has become shorter: this part of it is no longer there");
}

bool r_array_overlap(const r_array *a, const r_array *b) {
  sm_stretch p = {a->seg, a->data, (size_t)a->length * a->dtype.itemsize}, q = {b->seg, b->data, (size_t)b->length * b->dtype.itemsize};
  return sm_segment_overlap(p, q);
}

void r_array_check_writable(const r_array *a) {
  if (a->readonly) r_abort("sharedmem_value_error", "the shared array is read-only: map the file with mode \"r+\" to write to it");
}

/* ---- entry points ---- */

SEXP ffi_array_is(SEXP x) { return Rf_ScalarLogical(r_array_is(x)); }
