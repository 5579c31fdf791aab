/* r_array_copy.c: R vectors and shared arrays copied into new shared arrays.
 *
 * What is larger than a block is written into the segment's file, which backs and fills pages in one go; the
 * mapping is not touched. Values that have another form there are put into it piece by piece.
 */
#include <string.h>

#include "r_array.h"
#include "r_array_handle.h"
#include "r_array_new.h"
#include "r_memory.h"
#include "r_util.h"

#define DIRECT_BYTES ((size_t)32 << 20) /* written between looks for Ctrl-C */
#define STAGE_BYTES ((size_t)256 << 10)
#define LOGICAL_ITEMS 4096

static sm_dtype string_dtype(SEXP a) {
  size_t longest = 1;
  const void *top = vmaxget();
  for (R_xlen_t i = 0; i < XLENGTH(a); i++) {
    SEXP s = STRING_ELT(a, i);
    if (s == NA_STRING) continue;
    size_t n = strlen(Rf_translateCharUTF8(s));
    if (n > longest) longest = n;
    vmaxset(top);
  }
  return (sm_dtype){SM_STR, 0, (uint32_t)longest};
}

static sm_dtype dtype_of(SEXP a) {
  switch (TYPEOF(a)) {
  case REALSXP: return Rf_inherits(a, "integer64") ? (sm_dtype){SM_I8, 0, 8} : (sm_dtype){SM_F8, 0, 8};
  case INTSXP: return (sm_dtype){SM_I4, 0, 4};
  case LGLSXP: return (sm_dtype){SM_B1, 0, 1};
  case CPLXSXP: return (sm_dtype){SM_C16, 0, 16};
  case RAWSXP: return (sm_dtype){SM_U1, 1, 1};
  case STRSXP: return string_dtype(a);
  }
  r_abort_argument_value("a", a, "an atomic vector");
}

static void fill_strings(SEXP a, R_xlen_t from, R_xlen_t n, uint8_t *to, uint32_t width) {
  const void *top = vmaxget();
  for (R_xlen_t i = 0; i < n; i++, to += width) {
    SEXP s = STRING_ELT(a, from + i);
    if (s == NA_STRING) {
      *to = SM_STR_NA;
      memset(to + 1, 0, width - 1);
      continue;
    }
    const char *text = Rf_translateCharUTF8(s);
    size_t size = strlen(text) < width ? strlen(text) : width;
    memcpy(to, text, size);
    memset(to + size, 0, width - size);
    vmaxset(top);
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
static void stage(SEXP a, R_xlen_t from, R_xlen_t n, uint8_t *to, uint32_t itemsize) {
  switch (TYPEOF(a)) {
  case REALSXP: REAL_GET_REGION(a, from, n, (double *)to); break;
  case INTSXP: INTEGER_GET_REGION(a, from, n, (int *)to); break;
  case CPLXSXP: COMPLEX_GET_REGION(a, from, n, (Rcomplex *)to); break;
  case RAWSXP: RAW_GET_REGION(a, from, n, to); break;
  case LGLSXP: fill_logicals(a, from, n, to); break;
  case STRSXP: fill_strings(a, from, n, to, itemsize); break;
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

static void fill(SEXP a, const r_array *to) {
  size_t size = to->dtype.itemsize, total = (size_t)to->length * size;
  if (to->block) {
    if (to->length) stage(a, 0, to->length, to->data, to->dtype.itemsize);
    return;
  }
  const uint8_t *own = own_bytes(a);
  for (size_t at = 0, n; own && at < total; at += n) {
    n = total - at < DIRECT_BYTES ? total - at : DIRECT_BYTES;
    put(to, at, own + at, n);
  }
  if (own) return;
  R_xlen_t most = size < STAGE_BYTES ? (R_xlen_t)(STAGE_BYTES / size) : 1;
  uint8_t *buffer = (uint8_t *)R_alloc((size_t)most, (int)size);
  for (R_xlen_t at = 0, n; at < to->length; at += n) {
    n = to->length - at < most ? to->length - at : most;
    stage(a, at, n, buffer, to->dtype.itemsize);
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

/* Map the pages of a new array that is to be filled at once. */
SEXP ffi_array_touch(SEXP x) {
  const r_array *a = r_array_get(x, "x");
  if (!a->block) sm_segment_touch(a->seg);
  return x;
}
