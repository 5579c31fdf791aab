/* r_array_copy.c: R vectors and shared arrays copied into new shared arrays.
 *
 * What is larger than a block is written into the segment's file, which backs and fills pages in one go; the
 * mapping is not touched. Values that have another form there are put into it piece by piece.
 */
#include <string.h>

#include "r_array.h"
#include "r_array_handle.h"
#include "r_array_new.h"
#include "r_array_text.h"
#include "r_memory.h"
#include "r_util.h"

#define DIRECT_BYTES ((size_t)32 << 20) /* written between looks for Ctrl-C */
#define STAGE_BYTES ((size_t)256 << 10)
#define LOGICAL_ITEMS 4096

static sm_dtype dtype_of(SEXP a) {
  switch (TYPEOF(a)) {
  case REALSXP: return Rf_inherits(a, "integer64") ? (sm_dtype){SM_I8, 0, 8} : (sm_dtype){SM_F8, 0, 8};
  case INTSXP: return (sm_dtype){SM_I4, 0, 4};
  case LGLSXP: return (sm_dtype){SM_B1, 0, 1};
  case CPLXSXP: return (sm_dtype){SM_C16, 0, 16};
  case RAWSXP: return (sm_dtype){SM_U1, 1, 1};
  case STRSXP: return r_texts_dtype(a);
  }
  r_abort_argument_value("a", a, "an atomic vector");
}

static void fill_strings(SEXP a, R_xlen_t from, R_xlen_t n, uint8_t *to, sm_dtype d) {
  r_texts t = r_texts_of(a, d);
  for (R_xlen_t i = 0; i < n; i++, to += d.itemsize) {
    sm_text text = r_texts_get(&t, from + i);
    sm_text_put(&text, to, d.itemsize);
  }
}

static void fill_logicals(SEXP a, R_xlen_t from, R_xlen_t n, uint8_t *to) {
  int block[LOGICAL_ITEMS];
  for (R_xlen_t at = 0; at < n; at += LOGICAL_ITEMS) {
    R_xlen_t m = n - at < LOGICAL_ITEMS ? n - at : LOGICAL_ITEMS;
    LOGICAL_GET_REGION(a, from + at, m, block);
    for (R_xlen_t i = 0; i < m; i++) to[at + i] = block[i] == NA_LOGICAL ? SM_B1_NA : block[i] != 0;
  }
}

/* n items of a, from item `from` on, as they stand in an array, at `to`. */
static void stage(SEXP a, R_xlen_t from, R_xlen_t n, uint8_t *to, sm_dtype d) {
  switch (TYPEOF(a)) {
  case REALSXP: REAL_GET_REGION(a, from, n, (double *)to); break;
  case INTSXP: INTEGER_GET_REGION(a, from, n, (int *)to); break;
  case CPLXSXP: COMPLEX_GET_REGION(a, from, n, (Rcomplex *)to); break;
  case RAWSXP: RAW_GET_REGION(a, from, n, to); break;
  case LGLSXP: fill_logicals(a, from, n, to); break;
  case STRSXP: fill_strings(a, from, n, to, d); break;
  }
}

/* The vector's own bytes, where they are an array's and are there already; else NULL. */
static const uint8_t *own_bytes(SEXP a) {
  if (TYPEOF(a) == LGLSXP || TYPEOF(a) == STRSXP) return NULL;
  return DATAPTR_OR_NULL(a);
}

static void put(const r_array *to, size_t offset, const void *from, size_t n) {
  int rc = sm_segment_put(to->seg, offset, from, n);
  if (rc < 0) r_abort_memory((double)to->length * to->dtype.itemsize, NA_REAL, sm_error_text(rc));
  R_CheckUserInterrupt();
}

/* Strings wider than a block: the text alone is written, since the rest of a new segment is NUL. */
static void fill_wide(SEXP a, const r_array *to) {
  static const uint8_t na = SM_STR_NA;
  r_texts t = r_texts_of(a, to->dtype);
  for (R_xlen_t i = 0; i < to->length; i++) {
    sm_text text = r_texts_get(&t, i);
    size_t at = (size_t)i * to->dtype.itemsize;
    uint8_t mark[2];
    if (!text.p) put(to, at, &na, 1);
    else if (text.marked) put(to, at, mark, sm_text_mark(&text, mark));
    if (text.p && text.n) put(to, at + (text.marked ? 2 : 0), text.p, text.n);
  }
}

static void fill(SEXP a, const r_array *to) {
  size_t size = to->dtype.itemsize, total = (size_t)to->length * size;
  if (to->block) {
    if (to->length) stage(a, 0, to->length, to->data, to->dtype);
    return;
  }
  const uint8_t *own = own_bytes(a);
  for (size_t at = 0, n; own && at < total; at += n) {
    n = total - at < DIRECT_BYTES ? total - at : DIRECT_BYTES;
    put(to, at, own + at, n);
  }
  if (own) return;
  if (size > STAGE_BYTES) {
    fill_wide(a, to);
    return;
  }
  R_xlen_t most = (R_xlen_t)(STAGE_BYTES / size);
  uint8_t *buffer = (uint8_t *)R_alloc((size_t)most, (int)size);
  for (R_xlen_t at = 0, n; at < to->length; at += n) {
    n = to->length - at < most ? to->length - at : most;
    stage(a, at, n, buffer, to->dtype);
    put(to, (size_t)at * size, buffer, (size_t)n * size);
  }
}

/* a: atomic; meta: named list of the attributes to keep beside dim. */
SEXP ffi_copy_atomic(SEXP a, SEXP meta) {
  SEXP dims = PROTECT(Rf_getAttrib(a, R_DimSymbol));
  bool vector = dims == R_NilValue;
  int64_t dim[R_ARRAY_MAX_NDIM];
  int ndim = vector ? 1 : (int)XLENGTH(dims);
  if (ndim > R_ARRAY_MAX_NDIM) r_abort_argument("a", "an array of more than 64 extents", "one of at most 64");
  for (int i = 0; i < ndim; i++) dim[i] = vector ? (int64_t)XLENGTH(a) : INTEGER_ELT(dims, i);
  SEXP x = PROTECT(r_array_new_bare(dtype_of(a), ndim, dim, vector));
  r_array_meta_init(x, meta);
  fill(a, r_array_get(x, "a"));
  UNPROTECT(2);
  return x;
}

typedef struct {
  uint8_t *to;
  const uint8_t *from;
  size_t n;
} span;

static void copy_span(void *ctx) {
  span *s = ctx;
  memcpy(s->to, s->from, s->n);
}

SEXP ffi_copy_shared(SEXP x) {
  const r_array *from = r_array_get(x, "a");
  SEXP y = PROTECT(r_array_new_bare(from->dtype, from->ndim, from->dim, from->vector));
  r_array_meta_init(y, r_array_meta(x));
  Rf_copyMostAttrib(x, y);
  const r_array *to = r_array_get(y, "a");
  bool staged = !to->block && r_array_fragile(from);
  size_t nbytes = (size_t)from->length * from->dtype.itemsize, step = staged ? STAGE_BYTES : DIRECT_BYTES;
  uint8_t *buffer = staged ? (uint8_t *)R_alloc(STAGE_BYTES, 1) : NULL;
  for (size_t at = 0, n; at < nbytes; at += n) {
    n = nbytes - at < step ? nbytes - at : step;
    span s = {staged ? buffer : to->data + at, from->data + at, n};
    if (staged || to->block) r_array_access(from, copy_span, &s);
    if (!to->block) put(to, at, staged ? buffer : from->data + at, n);
  }
  UNPROTECT(1);
  return y;
}

/* Fill a new array with its bytes. */
SEXP ffi_array_put(SEXP x, SEXP bytes) {
  const r_array *to = r_array_get(x, "x");
  size_t nbytes = (size_t)to->length * to->dtype.itemsize;
  if (TYPEOF(bytes) != RAWSXP || (size_t)XLENGTH(bytes) != nbytes)
    r_abort_argument("bytes", "of another length", "as many as the array has");
  span s = {to->data, nbytes ? RAW_RO(bytes) : NULL, nbytes};
  if (nbytes) r_array_access(to, copy_span, &s);
  return x;
}

/* Map the pages of a new array that is to be filled at once. */
SEXP ffi_array_touch(SEXP x) {
  const r_array *a = r_array_get(x, "x");
  if (!a->block) sm_segment_touch(a->seg);
  return x;
}
