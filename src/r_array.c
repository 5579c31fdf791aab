/* r_array.c: see r_array.h: how handles are made.
 *
 * Ownership: the external pointer and its finalizer stand before the segment is made, because an R error in between
 * would lose the mapping. A finalizer gives back this process's own mapping only.
 */
#include "r_array.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "mem_descriptor.h"
#include "mem_fault.h"
#include "mem_filemap.h"
#include "mem_limit.h"
#include "mem_pool.h"
#include "r_util.h"

R_altrep_class_t r_array_class;
bool r_array_in_result;

static void give_back(sm_segment *seg, sm_small *block) {
  if (block) sm_small_unref(block);
  else if (seg) sm_segment_unref(seg);
}

static void array_finalize(SEXP ptr) {
  r_array *a = R_ExternalPtrAddr(ptr);
  if (!a) return;
  R_ClearExternalPtr(ptr);
  a->magic = 0;
  give_back(a->seg, a->block);
  free(a);
}

SEXP r_array_ptr(SEXP x) {
  if (R_altrep_inherits(x, r_array_class)) return R_altrep_data1(x);
  if (TYPEOF(x) != RAWSXP || !ALTREP(x)) return NULL;
  SEXP inner = R_altrep_data1(x); /* R's own wrapper keeps the wrapped vector there */
  return TYPEOF(inner) == RAWSXP && R_altrep_inherits(inner, r_array_class) ? R_altrep_data1(inner) : NULL;
}

bool r_array_ptr_is(SEXP ptr) {
  static const char magic[8] = "SHRDARR";
  if (TYPEOF(ptr) != EXTPTRSXP) return false;
  SEXP tag = R_ExternalPtrTag(ptr);
  return TYPEOF(tag) == RAWSXP && (size_t)XLENGTH(tag) >= sizeof(sm_descriptor) && memcmp(RAW_RO(tag), magic, sizeof magic) == 0;
}

/* ---- attributes of the values ---- */

SEXP r_array_meta(SEXP x) {
  SEXP meta = R_ExternalPtrProtected(r_array_ptr(x));
  return TYPEOF(meta) == VECSXP ? meta : R_NilValue;
}

SEXP r_array_meta_get(SEXP x, const char *name) { return r_list_get(r_array_meta(x), name); }

void r_array_meta_init(SEXP x, SEXP meta) {
  if (TYPEOF(meta) == VECSXP && XLENGTH(meta) > 0) R_SetExternalPtrProtected(r_array_ptr(x), meta);
}

/* ---- making handles ---- */

SEXP r_array_handle(SEXP ptr) {
  static SEXP cls = NULL; /* shared by all handles */
  if (!cls) {
    cls = Rf_mkString("shared_array");
    R_PreserveObject(cls);
    MARK_NOT_MUTABLE(cls);
  }
  PROTECT(ptr);
  SEXP x = PROTECT(R_new_altrep(r_array_class, ptr, R_NilValue));
  Rf_setAttrib(x, R_ClassSymbol, cls);
  UNPROTECT(2);
  return x;
}

void r_array_own(SEXP ptr) { R_RegisterCFinalizerEx(ptr, array_finalize, FALSE); }

SEXP r_array_blank(void) {
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  r_array_own(ptr);
  SEXP x = r_array_handle(ptr);
  UNPROTECT(1);
  return x;
}

static void write_descriptor(SEXP ptr, const r_array *a) {
  sm_descriptor d = {.segment = {a->seg->id[0], a->seg->id[1]},
                     .block = a->block ? a->block->id : 0,
                     .offset = (uint64_t)(a->data - a->seg->payload),
                     .fd = a->seg->fd,
                     .itemsize = a->dtype.itemsize,
                     .code = a->dtype.code,
                     .raw = a->dtype.raw,
                     .vector = a->vector,
                     .readonly = a->readonly,
                     .ndim = (uint32_t)a->ndim,
                     .kind = a->seg->kind};
  sm_descriptor_file file = {a->seg->start, a->seg->nbytes, a->seg->path};
  SEXP tag = Rf_allocVector(RAWSXP, (R_xlen_t)sm_descriptor_size(a->ndim, file.path));
  R_SetExternalPtrTag(ptr, tag);
  sm_descriptor_write(&d, a->dim, &file, RAW(tag));
}

r_array *r_array_make(SEXP ptr, const r_array_spec *spec) {
  r_array *a = calloc(1, sizeof *a + sizeof(int64_t) * (size_t)(spec->ndim > 0 ? spec->ndim : 1));
  if (!a) {
    give_back(spec->seg, spec->block);
    r_abort("sharedmem_memory_error", "cannot allocate a handle");
  }
  sm_segment *seg = spec->block ? spec->block->seg : spec->seg;
  *a = (r_array){.magic = R_ARRAY_MAGIC,
                 .readonly = spec->readonly || seg->readonly,
                 .vector = spec->vector,
                 .fragile = seg->fragile,
                 .dtype = spec->dtype,
                 .ndim = spec->ndim,
                 .length = 1,
                 .dim = (int64_t *)(a + 1),
                 .data = spec->data    ? spec->data
                         : spec->block ? spec->block->data
                                       : seg->payload,
                 .seg = seg,
                 .block = spec->block};
  a->fast = !a->fragile && !(a->block && seg->opened);
  for (int i = 0; i < spec->ndim; i++) a->length *= a->dim[i] = spec->dim[i];
  R_SetExternalPtrAddr(ptr, a);
  write_descriptor(ptr, a);
  return a;
}

/* ---- access ---- */

bool r_array_fragile(const r_array *a) { return a->fragile; }

void r_array_access(const r_array *a, void (*fn)(void *), void *ctx) {
  if (!r_array_fragile(a)) {
    fn(ctx);
    return;
  }
  if (sm_fault_guard(fn, ctx) < 0) r_array_abort_fault(a);
}

void r_array_abort_fault(const r_array *a) {
  int why = a && r_array_fragile(a) ? sm_filemap_why(a->seg) : SM_ESHORT;
  if (why == -ENOSPC)
    r_abort("sharedmem_file_error",
            "the disk behind the shared array's file is full: there is no room for a part that the file leaves out");
  if (why == -EIO) r_abort("sharedmem_file_error", "the file behind the shared array cannot be read or written: %s", sm_error_text(why));
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
