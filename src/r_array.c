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

#define MAX_EXTENT 4503599627370496.0 /* 2^52: exact as a double, and products stay checkable */

static const char *const shape_expected = "whole numbers of at least 0, without NA (at most 64 extents)";

static void array_finalize(SEXP x) {
  sm_array *a = R_ExternalPtrAddr(x);
  if (!a) return;
  R_ClearExternalPtr(x);
  a->magic = 0;
  if (a->block)
    sm_block_unref(a->block);
  else if (a->seg)
    sm_segment_unref(a->seg);
  free(a);
}

bool r_array_is(SEXP x) { return TYPEOF(x) == EXTPTRSXP && Rf_inherits(x, "shared_array"); }

sm_array *r_array_get(SEXP x, const char *arg) {
  if (!r_array_is(x)) r_abort_argument_value(arg, x, "a shared array");
  sm_array *a = TYPEOF(R_ExternalPtrTag(x)) == RAWSXP ? R_ExternalPtrAddr(x) : NULL;
  const char *reason = "its memory was released";
  if (!a) a = r_array_attach(x, &reason);
  bool good = a && (a->magic == SM_ARRAY_MAGIC || a->magic == SM_ARRAY_CHECKED);
  if (!good || (a->block && !sm_block_valid(a->block)))
    r_abort("sharedmem_unattached_error", "shared array is not attached: %s", reason);
  return a;
}

/* ---- R attributes ---- */

SEXP r_array_meta(SEXP x) {
  SEXP meta = R_ExternalPtrProtected(x);
  return TYPEOF(meta) == VECSXP ? meta : R_NilValue;
}

SEXP r_array_meta_get(SEXP x, const char *name) {
  SEXP meta = r_array_meta(x);
  if (meta == R_NilValue) return R_NilValue;
  SEXP names = Rf_getAttrib(meta, R_NamesSymbol);
  if (TYPEOF(names) != STRSXP) return R_NilValue;
  for (R_xlen_t i = 0; i < XLENGTH(names) && i < XLENGTH(meta); i++)
    if (strcmp(CHAR(STRING_ELT(names, i)), name) == 0) return VECTOR_ELT(meta, i);
  return R_NilValue;
}

void r_array_meta_init(SEXP x, SEXP meta) {
  if (TYPEOF(meta) == VECSXP && XLENGTH(meta) > 0) R_SetExternalPtrProtected(x, meta);
}

/* ---- making handles ---- */

static sm_array *array_init(SEXP x, sm_dtype dtype, int ndim, const int64_t *dim, bool vector) {
  sm_array *a = calloc(1, sizeof *a + sizeof(int64_t) * (size_t)(ndim > 0 ? ndim : 1));
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

sm_array *r_array_alloc(SEXP x, sm_dtype dtype, int ndim, const int64_t *dim, bool vector) {
  sm_array *a = array_init(x, dtype, ndim, dim, vector);
  if (!a) r_abort("sharedmem_memory_error", "cannot allocate a handle");
  return a;
}

sm_array *r_array_alloc_over(SEXP x, sm_dtype dtype, int ndim, const int64_t *dim, bool vector, sm_segment *seg) {
  sm_array *a = array_init(x, dtype, ndim, dim, vector);
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

void r_array_bind(SEXP x, sm_array *a, sm_segment *seg, sm_block *block, uint8_t *data) {
  a->seg = seg;
  a->block = block;
  a->data = data;
  if (seg->readonly) a->readonly = true;
  if (seg->kind == SM_SEGMENT_FILE || (block && seg->opened)) a->magic = SM_ARRAY_CHECKED;
  sm_descriptor d = {.segment = {seg->id[0], seg->id[1]}, .block = block ? block->id : 0,
                     .offset = (uint64_t)(data - seg->payload), .fd = seg->fd, .itemsize = a->dtype.itemsize,
                     .code = a->dtype.code, .raw = a->dtype.raw, .vector = a->vector, .readonly = a->readonly,
                     .ndim = (uint32_t)a->ndim, .kind = seg->kind};
  SEXP tag = Rf_allocVector(RAWSXP, (R_xlen_t)sm_descriptor_size(a->ndim));
  R_SetExternalPtrTag(x, tag);
  sm_descriptor_write(&d, a->dim, RAW(tag));
}

/* ---- memory ---- */

void r_abort_memory(double asked, double available, const char *reason) {
  SEXP n = PROTECT(Rf_ScalarReal(asked)), have = PROTECT(Rf_ScalarReal(available));
  SEXP why = PROTECT(Rf_mkString(reason));
  r_abort_call(Rf_lang4(Rf_install("abort_memory"), n, have, why));
}

#define COLLECT_MIN ((size_t)256 << 20)
#define FRESH_NS 400u /* a quarter of what a fresh page costs */

static size_t collect_at = COLLECT_MIN; /* live bytes at which R's collector runs first */

static size_t live_nbytes(void) {
  size_t count, segments, blocks;
  sm_segment_usage(&count, &segments);
  sm_block_usage(&count, &blocks);
  return segments + blocks + sm_pool_live();
}

/* The next time is when what is live now has doubled, or when as much has come as costs about four times the collection that has just
 * been, but not later than half of what the machine still has; when most of that has gone by itself, it is earlier again. */
void r_array_collect_before(size_t nbytes) {
  size_t live = live_nbytes() + nbytes;
  if (live < collect_at / 4 && collect_at > COLLECT_MIN) collect_at = live > COLLECT_MIN / 2 ? 2 * live : COLLECT_MIN;
  if (live <= collect_at) return;
  uint64_t available, start = sm_clock_ns();
  R_gc();
  size_t room = (size_t)((sm_clock_ns() - start) / FRESH_NS) * SM_PAGE;
  live = live_nbytes() + nbytes;
  if (room < live) room = live;
  sm_limit_check(0, &available);
  if (room > available / 2) room = (size_t)(available / 2);
  collect_at = live + room > COLLECT_MIN ? live + room : COLLECT_MIN;
}

static void check_interrupt(void *ctx) {
  (void)ctx;
  R_CheckUserInterrupt();
}

static bool interrupted(void *ctx) {
  (void)ctx;
  return !R_ToplevelExec(check_interrupt, NULL);
}

static int segment_get(size_t nbytes, bool backed, sm_segment **out, uint64_t *available) {
  int rc = sm_limit_check(nbytes, available);
  if (rc == 0) rc = backed ? sm_segment_new_stoppable(nbytes, interrupted, NULL, out) : sm_segment_new_bare(nbytes, out);
  return rc;
}

static void memory_get(SEXP x, sm_array *a, size_t nbytes, bool backed) {
  sm_segment *seg = NULL;
  sm_block *block = NULL;
  uint64_t available = UINT64_MAX;
  r_array_collect_before(nbytes);
  bool small = nbytes <= SM_BLOCK_MAX;
  int rc = small ? sm_block_new(nbytes, &block) : segment_get(nbytes, backed, &seg, &available);
  if (rc == SM_ENOROOM || rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM) {
    R_gc();
    sm_pool_trim();
    rc = small ? sm_block_new(nbytes, &block) : segment_get(nbytes, backed, &seg, &available);
  }
  if (rc == SM_EINTR) {
    raise(SIGINT); /* R notes it, and the next line leaves as Ctrl-C does */
    R_CheckUserInterrupt();
  }
  if (rc < 0)
    r_abort_memory((double)nbytes, available == UINT64_MAX ? NA_REAL : (double)available,
                   rc == -EMFILE ? "this process has no more file descriptors" : sm_error_text(rc));
  r_array_bind(x, a, small ? block->seg : seg, block, small ? block->data : seg->payload);
}

static SEXP array_make(sm_dtype dtype, int ndim, const int64_t *dim, bool vector, bool backed) {
  SEXP x = PROTECT(r_array_handle());
  sm_array *a = r_array_alloc(x, dtype, ndim, dim, vector);
  memory_get(x, a, (size_t)a->length * dtype.itemsize, backed);
  UNPROTECT(1);
  return x;
}

SEXP r_array_new(sm_dtype dtype, int ndim, const int64_t *dim, bool vector) {
  return array_make(dtype, ndim, dim, vector, true);
}

SEXP r_array_new_bare(sm_dtype dtype, int ndim, const int64_t *dim, bool vector) {
  return array_make(dtype, ndim, dim, vector, false);
}

SEXP r_array_alias(SEXP x, int ndim, const int64_t *dim, bool vector, SEXP meta) {
  const sm_array *from = r_array_get(x, "x");
  SEXP y = PROTECT(r_array_handle());
  sm_array *a = r_array_alloc(y, from->dtype, ndim, dim, vector);
  if (a->length != from->length) r_abort_argument("dim", "extents of another product", "extents whose product is the length");
  a->readonly = from->readonly;
  if (from->block)
    sm_block_ref(from->block);
  else
    sm_segment_ref(from->seg);
  r_array_bind(y, a, from->seg, from->block, from->data);
  r_array_meta_init(y, meta);
  UNPROTECT(1);
  return y;
}

/* ---- access ---- */

bool r_array_fragile(const sm_array *a) { return a->seg->kind == SM_SEGMENT_FILE; }

void r_array_access(const sm_array *a, void (*fn)(void *), void *ctx) {
  if (!r_array_fragile(a)) {
    fn(ctx);
    return;
  }
  if (sm_fault_guard(fn, ctx) < 0)
    r_abort("sharedmem_file_error", "the file behind the shared array has become shorter: this part of it is no longer there");
}

void r_array_check_writable(const sm_array *a) {
  if (a->readonly) r_abort("sharedmem_value_error", "the shared array is read-only: map the file with mode \"r+\" to write to it");
}

int r_array_travel_fd(SEXP x, pid_t me) {
  if (!r_array_is(x)) return -1;
  sm_array *a = R_ExternalPtrAddr(x);
  if (!a || !a->seg || a->seg->kind != SM_SEGMENT_MEMORY || a->seg->creator != me) return -1;
  if (a->block) sm_block_keep(a->block);
  return a->seg->fd;
}

/* ---- arguments ---- */

/* Extent i of shape as a double; NaN for what is no number. */
static double shape_extent(SEXP shape, R_xlen_t i) {
  if (TYPEOF(shape) == INTSXP) {
    int v = INTEGER_ELT(shape, i);
    return v == NA_INTEGER ? R_NaN : v;
  }
  double v = REAL_ELT(shape, i);
  if (!Rf_inherits(shape, "integer64")) return v;
  int64_t n;
  memcpy(&n, &v, sizeof n);
  return n < 0 ? R_NaN : (double)n;
}

int r_array_shape_arg(SEXP shape, sm_dtype dtype, int64_t *dim) {
  if (shape == R_NilValue) return 0;
  bool numeric = (TYPEOF(shape) == INTSXP && !Rf_inherits(shape, "factor")) || TYPEOF(shape) == REALSXP;
  if (!numeric || XLENGTH(shape) > R_ARRAY_MAX_NDIM) r_abort_argument_value("shape", shape, shape_expected);
  int ndim = (int)XLENGTH(shape);
  double bytes = dtype.itemsize;
  bool zero = false;
  for (int i = 0; i < ndim; i++) {
    double v = shape_extent(shape, i);
    if (!(v >= 0) || !isfinite(v) || v != floor(v)) r_abort_argument_value("shape", shape, shape_expected);
    if (v == 0) zero = true;
    bytes *= v == 0 ? 1 : v;
    dim[i] = v <= MAX_EXTENT ? (int64_t)v : 0;
  }
  if (bytes > MAX_EXTENT && !zero) r_abort_memory(bytes, NA_REAL, "no machine has that much");
  if (bytes > MAX_EXTENT) r_abort_argument_value("shape", shape, "extents whose product is below 2^52");
  return ndim;
}

sm_dtype r_array_dtype_arg(SEXP dtype) {
  sm_dtype d;
  if (TYPEOF(dtype) != STRSXP || XLENGTH(dtype) != 1 || STRING_ELT(dtype, 0) == NA_STRING ||
      sm_dtype_parse(CHAR(STRING_ELT(dtype, 0)), &d) < 0)
    r_abort_argument_value("dtype", dtype, "one of f8, f4, i1, i2, i4, i8, u1, u2, u4, c16, b1, raw, S<n> or an R type name");
  return d;
}

/* ---- entry points ---- */

SEXP ffi_array_new(SEXP shape, SEXP dtype) {
  int64_t dim[R_ARRAY_MAX_NDIM];
  sm_dtype d = r_array_dtype_arg(dtype);
  int ndim = r_array_shape_arg(shape, d, dim);
  return r_array_new(d, ndim, dim, ndim == 1);
}

SEXP ffi_array_is(SEXP x) { return Rf_ScalarLogical(r_array_is(x)); }

SEXP ffi_array_dtype(SEXP x) {
  char code[16];
  sm_dtype_format(r_array_get(x, "x")->dtype, code);
  return Rf_mkString(code);
}

SEXP ffi_array_nbytes(SEXP x) {
  const sm_array *a = r_array_get(x, "x");
  return Rf_ScalarReal((double)a->length * a->dtype.itemsize);
}

SEXP ffi_array_shape(SEXP x) {
  const sm_array *a = r_array_get(x, "x");
  SEXP shape = PROTECT(Rf_allocVector(REALSXP, a->ndim));
  for (int i = 0; i < a->ndim; i++) REAL(shape)[i] = (double)a->dim[i];
  UNPROTECT(1);
  return shape;
}

/* Bytes of shared memory that this process holds, files not counted. */
SEXP ffi_array_live(void) { return Rf_ScalarReal((double)live_nbytes()); }
