/* r_copy.c: R vectors and shared arrays copied into new shared arrays, without a copy between. */
#include <string.h>

#include "r_array.h"
#include "r_util.h"

#define COPY_ITEMS ((R_xlen_t)1 << 20) /* between looks for Ctrl-C */
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
      continue;
    }
    const char *text = Rf_translateCharUTF8(s);
    size_t size = strlen(text);
    memcpy(to, text, size < width ? size : width);
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

static void fill(SEXP a, R_xlen_t from, R_xlen_t n, uint8_t *to, uint32_t itemsize) {
  to += (size_t)from * itemsize;
  switch (TYPEOF(a)) {
  case REALSXP: REAL_GET_REGION(a, from, n, (double *)to); break;
  case INTSXP: INTEGER_GET_REGION(a, from, n, (int *)to); break;
  case CPLXSXP: COMPLEX_GET_REGION(a, from, n, (Rcomplex *)to); break;
  case RAWSXP: RAW_GET_REGION(a, from, n, to); break;
  case LGLSXP: fill_logicals(a, from, n, to); break;
  case STRSXP: fill_strings(a, from, n, to, itemsize); break;
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
  SEXP x = PROTECT(r_array_new(dtype_of(a), ndim, dim, vector));
  r_array_meta_init(x, meta);
  const sm_array *to = r_array_get(x, "a");
  if (!to->block) sm_segment_touch(to->seg);
  for (R_xlen_t at = 0, n = XLENGTH(a); at < n; at += COPY_ITEMS) {
    fill(a, at, n - at < COPY_ITEMS ? n - at : COPY_ITEMS, to->data, to->dtype.itemsize);
    R_CheckUserInterrupt();
  }
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
  const sm_array *from = r_array_get(x, "a");
  SEXP y = PROTECT(r_array_new(from->dtype, from->ndim, from->dim, from->vector));
  r_array_meta_init(y, r_array_meta(x));
  const sm_array *to = r_array_get(y, "a");
  if (!to->block) sm_segment_touch(to->seg);
  size_t nbytes = (size_t)from->length * from->dtype.itemsize, step = (size_t)64 << 20;
  for (size_t at = 0; at < nbytes; at += step) {
    span s = {to->data + at, from->data + at, nbytes - at < step ? nbytes - at : step};
    r_array_access(from, copy_span, &s);
    R_CheckUserInterrupt();
  }
  UNPROTECT(1);
  return y;
}

/* Map the pages of a new array that is to be filled at once. */
SEXP ffi_array_touch(SEXP x) {
  const sm_array *a = r_array_get(x, "x");
  if (!a->block) sm_segment_touch(a->seg);
  return x;
}
