/* r_index_axis.c: from R's index vectors to axes. */
#include "r_index.h"

#include <math.h>
#include <string.h>

#include <R_ext/Altrep.h>

#include "r_util.h"

/* Where a fetch reads from. */
typedef struct {
  SEXP x;
  const int *ip;
  const double *dp;
  const int64_t *wide; /* integer64 */
  R_xlen_t nrow;       /* matrix index */
  int ncol;
  const int64_t *dim;
} index_src;

static void widen_int(const int *v, int64_t n, int64_t *out) {
  for (int64_t k = 0; k < n; k++) out[k] = v[k] == NA_INTEGER ? SM_INDEX_NA : v[k];
}

static void fetch_int(const void *src, int64_t from, int64_t n, int64_t *out) {
  const index_src *s = src;
  int buf[SM_BLOCK];
  if (s->ip) {
    widen_int(s->ip + from, n, out);
    return;
  }
  INTEGER_GET_REGION(s->x, (R_xlen_t)from, (R_xlen_t)n, buf);
  widen_int(buf, n, out);
}

static void fetch_lgl(const void *src, int64_t from, int64_t n, int64_t *out) {
  const index_src *s = src;
  int buf[SM_BLOCK];
  LOGICAL_GET_REGION(s->x, (R_xlen_t)from, (R_xlen_t)n, buf);
  widen_int(buf, n, out);
}

static int64_t whole_number(double v) {
  if (v != v) return SM_INDEX_NA;
  if (v >= 9.2e18) return INT64_MAX;
  if (v <= -9.2e18) return -INT64_MAX;
  return (int64_t)v;
}

static void fetch_dbl(const void *src, int64_t from, int64_t n, int64_t *out) {
  const index_src *s = src;
  double buf[SM_BLOCK];
  const double *v = s->dp ? s->dp + from : buf;
  if (!s->dp) REAL_GET_REGION(s->x, (R_xlen_t)from, (R_xlen_t)n, buf);
  for (int64_t k = 0; k < n; k++) out[k] = whole_number(v[k]);
}

static void fetch_wide(const void *src, int64_t from, int64_t n, int64_t *out) {
  memcpy(out, ((const index_src *)src)->wide + from, (size_t)n * sizeof *out);
}

/* Rows of a matrix index as positions over all elements. Bounds were checked by matrix_check(). */
static void fetch_matrix(const void *src, int64_t from, int64_t n, int64_t *out) {
  const index_src *s = src;
  for (int64_t k = 0; k < n; k++) {
    int64_t at = 1, stride = 1;
    for (int j = 0; j < s->ncol; j++) {
      R_xlen_t cell = (R_xlen_t)j * s->nrow + (R_xlen_t)(from + k);
      int64_t v = s->ip ? (s->ip[cell] == NA_INTEGER ? SM_INDEX_NA : s->ip[cell]) : whole_number(s->dp[cell]);
      if (at <= 0) break; /* the first 0 or NA of a row decides, as in R */
      if (v == SM_INDEX_NA || v == 0) {
        at = v;
      } else {
        at += (v - 1) * stride;
      }
      stride *= s->dim[j];
    }
    out[k] = at;
  }
}

static void matrix_check(const index_src *s) {
  for (R_xlen_t r = 0; r < s->nrow; r++)
    for (int j = 0; j < s->ncol; j++) {
      R_xlen_t cell = (R_xlen_t)j * s->nrow + r;
      int64_t v = s->ip ? (s->ip[cell] == NA_INTEGER ? SM_INDEX_NA : s->ip[cell]) : whole_number(s->dp[cell]);
      if (v == SM_INDEX_NA || v == 0) break; /* it decides, whatever follows in the row */
      if (v < 0)
        r_abort_index("negative values are not allowed in a matrix subscript", (double)r + 1, Rf_ScalarReal((double)v), (double)s->dim[j],
                      j + 1);
      if (v > s->dim[j]) r_abort_index(NULL, (double)r + 1, Rf_ScalarReal((double)v), (double)s->dim[j], j + 1);
    }
}

/* Is it a:b, seq_len(n) or the like, which R keeps as first, last and length? The class is taken from sequences made here. */
static bool is_sequence(SEXP i) {
  static SEXP known_int = NULL, known_real = NULL;
  if (!ALTREP(i)) return false;
  if (!known_int) {
    SEXP one = PROTECT(Rf_ScalarReal(1)), ten = PROTECT(Rf_ScalarReal(10)), far = PROTECT(Rf_ScalarReal(3e9));
    SEXP a1 = PROTECT(Rf_lang3(Rf_install(":"), one, ten)), a2 = PROTECT(Rf_lang3(Rf_install(":"), one, far));
    R_PreserveObject(known_int = Rf_eval(a1, R_BaseEnv));
    R_PreserveObject(known_real = Rf_eval(a2, R_BaseEnv));
    UNPROTECT(5);
  }
  SEXP known = TYPEOF(i) == INTSXP ? known_int : TYPEOF(i) == REALSXP ? known_real : R_NilValue;
  return ALTREP(known) && ALTREP_CLASS(i) == ALTREP_CLASS(known);
}

/* A sequence is counted and not read, unless C code has expanded it and may have written to it. */
static bool take_compact(sm_axis *a, int64_t extent, SEXP i) {
  if (!is_sequence(i) || DATAPTR_OR_NULL(i) != NULL) return false;
  bool is_int = TYPEOF(i) == INTSXP;
  R_xlen_t n = XLENGTH(i);
  if (n == 0) return false;
  double first = is_int ? INTEGER_ELT(i, 0) : REAL_ELT(i, 0), last = is_int ? INTEGER_ELT(i, n - 1) : REAL_ELT(i, n - 1);
  if (!(first >= 1 && first < (double)extent + 1 && last >= 1 && last < (double)extent + 1)) return false;
  sm_axis_range(a, extent, (int64_t)first - 1, last >= first ? 1 : -1, (int64_t)n);
  return true;
}

/* A sequence a, a + 1, ... that is written out: looked through in blocks, at the speed of memory. */
static bool take_run(sm_axis *a, int64_t extent, SEXP i) {
  const int *p = DATAPTR_OR_NULL(i);
  R_xlen_t n = XLENGTH(i);
  if (!p || n < 64 || p[0] < 1 || (int64_t)p[0] + n - 1 > extent || (int64_t)p[n - 1] - p[0] != n - 1) return false;
  unsigned first = (unsigned)p[0];
  for (R_xlen_t at = 0; at < n; at += SM_BLOCK) {
    R_xlen_t end = n - at < SM_BLOCK ? n : at + SM_BLOCK;
    unsigned differs = 0;
    for (R_xlen_t k = at; k < end; k++) differs |= ((unsigned)p[k] - (unsigned)k) ^ first;
    if (differs) return false;
  }
  sm_axis_range(a, extent, first - 1, 1, (int64_t)n);
  return true;
}

SEXP r_private_vector(SEXP v) {
  if (!ALTREP(v)) return v;
  R_xlen_t n = XLENGTH(v), got = 0, m = 1;
  switch (TYPEOF(v)) {
  case INTSXP:
  case REALSXP:
  case LGLSXP:
  case CPLXSXP:
  case RAWSXP: break;
  default: return v;
  }
  SEXP own = PROTECT(Rf_allocVector(TYPEOF(v), n));
  for (; got < n && m > 0; got += m) switch (TYPEOF(v)) {
    case INTSXP: m = INTEGER_GET_REGION(v, got, n - got, INTEGER(own) + got); break;
    case REALSXP: m = REAL_GET_REGION(v, got, n - got, REAL(own) + got); break;
    case LGLSXP: m = LOGICAL_GET_REGION(v, got, n - got, LOGICAL(own) + got); break;
    case CPLXSXP: m = COMPLEX_GET_REGION(v, got, n - got, COMPLEX(own) + got); break;
    default: m = RAW_GET_REGION(v, got, n - got, RAW(own) + got); break;
    }
  Rf_copyMostAttrib(v, own);
  SEXP dim = PROTECT(Rf_getAttrib(v, R_DimSymbol));
  if (dim != R_NilValue) Rf_setAttrib(own, R_DimSymbol, dim);
  UNPROTECT(2);
  return own;
}

/* A subscript is read more than once: bounds are checked in one pass and trusted in the next. An ALTREP vector may lie in
 * memory that others write, so it is copied first. A sequence never does: R expands it into its own heap. */
static SEXP private_subscript(SEXP i) { return is_sequence(i) ? i : r_private_vector(i); }

static index_src *new_src(SEXP i) {
  index_src *s = (index_src *)R_alloc(1, sizeof *s);
  memset(s, 0, sizeof *s);
  s->x = i;
  if (TYPEOF(i) == INTSXP) s->ip = DATAPTR_OR_NULL(i);
  if (TYPEOF(i) == REALSXP) s->dp = DATAPTR_OR_NULL(i);
  return s;
}

static void fault(int rc, const sm_index_fault *f, int64_t extent, int dim) {
  if (rc == SM_EMISUSE)
    r_abort_index("negative subscripts cannot be mixed with positive ones or NA", NA_REAL, R_NilValue, (double)extent, dim);
  r_abort_index(NULL, (double)f->at + 1, Rf_ScalarReal((double)f->value), (double)extent, dim);
}

/* i: logical or number, no character. */
static void take_axis(sm_axis *a, int64_t extent, SEXP i, int dim) {
  sm_index_fault f = {0, 0};
  int rc;
  if (TYPEOF(i) == SYMSXP) {
    sm_axis_range(a, extent, 0, 1, extent);
    return;
  }
  switch (TYPEOF(i)) {
  case NILSXP: sm_axis_range(a, extent, 0, 1, 0); return;
  case LGLSXP: rc = sm_axis_logical(a, extent, fetch_lgl, new_src(i), (int64_t)XLENGTH(i), &f); break;
  case INTSXP:
    if (take_compact(a, extent, i) || take_run(a, extent, i)) return;
    rc = sm_axis_numeric(a, extent, fetch_int, new_src(i), (int64_t)XLENGTH(i), &f);
    break;
  case REALSXP: {
    if (take_compact(a, extent, i)) return;
    index_src *s = new_src(i);
    bool wide = Rf_isObject(i) && Rf_inherits(i, "integer64");
    if (wide) s->wide = (const int64_t *)(const void *)REAL_RO(i);
    rc = sm_axis_numeric(a, extent, wide ? fetch_wide : fetch_dbl, s, (int64_t)XLENGTH(i), &f);
    break;
  }
  default: {
    char text[100];
    snprintf(text, sizeof text, "invalid subscript type '%s'", Rf_type2char(TYPEOF(i)));
    r_abort_index(text, NA_REAL, R_NilValue, (double)extent, dim);
    return;
  }
  }
  if (rc < 0) fault(rc, &f, extent, dim);
  if (rc == 1) {
    size_t n = (size_t)(extent + 7) / 8;
    uint8_t *bits = (uint8_t *)R_alloc(n + 1, 1);
    memset(bits, 0, n + 1);
    sm_axis_except(a, bits);
  }
}

/* A shared array as a subscript stands for its values, a character one for positions among names. */
static SEXP plain_subscript(SEXP i, SEXP names, int dim) {
  if (r_array_is(i)) i = r_call1("shared_values", i);
  if (TYPEOF(i) != STRSXP) return private_subscript(i);
  PROTECT(i);
  SEXP d = PROTECT(Rf_ScalarInteger(dim));
  i = r_call3("match_names", i, names, d);
  UNPROTECT(2);
  return i;
}

static bool is_matrix_index(const r_array *a, SEXP i) {
  if (a->vector || a->ndim < 1 || (TYPEOF(i) != INTSXP && TYPEOF(i) != REALSXP && TYPEOF(i) != STRSXP)) return false;
  SEXP dim = Rf_getAttrib(i, R_DimSymbol);
  return TYPEOF(dim) == INTSXP && XLENGTH(dim) == 2 && INTEGER_RO(dim)[1] == a->ndim;
}

static SEXP take_matrix(SEXP x, const r_array *a, SEXP i, r_subscripts *out) {
  if (TYPEOF(i) == STRSXP) {
    SEXP dn = PROTECT(r_list_get(r_array_meta(x), "dimnames"));
    i = r_call2("match_matrix_names", i, dn);
    UNPROTECT(1);
  }
  PROTECT(i);
  index_src *s = (index_src *)R_alloc(1, sizeof *s);
  memset(s, 0, sizeof *s);
  s->nrow = XLENGTH(i) / a->ndim;
  s->ncol = a->ndim;
  s->dim = a->dim;
  if (TYPEOF(i) == INTSXP) s->ip = INTEGER_RO(i);
  else s->dp = REAL_RO(i);
  matrix_check(s);
  sm_index_fault f = {0, 0};
  int rc = sm_axis_numeric(&out->axis[0], a->length, fetch_matrix, s, (int64_t)s->nrow, &f);
  if (rc < 0) fault(rc, &f, a->length, 0);
  out->by_matrix = true;
  UNPROTECT(1);
  return i;
}

SEXP r_subscripts_one(SEXP x, const r_array *a, SEXP i, bool writing, r_subscripts *out) {
  out->nsub = 1;
  out->by_matrix = false;
  out->resolved = R_NilValue;
  i = r_array_is(i) ? r_call1("shared_values", i) : private_subscript(i);
  PROTECT(i);
  if (TYPEOF(i) != SYMSXP && is_matrix_index(a, i)) {
    i = take_matrix(x, a, i, out);
    UNPROTECT(1);
    return i;
  }
  if (TYPEOF(i) == STRSXP) {
    SEXP meta = r_array_meta(x), names = r_list_get(meta, "names");
    if (names == R_NilValue && !a->vector && a->ndim == 1) {
      SEXP dn = r_list_get(meta, "dimnames");
      if (dn != R_NilValue) names = VECTOR_ELT(dn, 0);
    }
    i = plain_subscript(i, names, writing ? -1 : 0);
  }
  UNPROTECT(1);
  PROTECT(i);
  take_axis(&out->axis[0], a->length, i, 0);
  out->resolved = i;
  UNPROTECT(1);
  return i;
}

SEXP r_subscripts_many(SEXP x, const r_array *a, SEXP indices, r_subscripts *out) {
  int n = (int)XLENGTH(indices);
  if (a->vector || n != a->ndim || n > SM_MAX_DIM)
    r_abort_index("incorrect number of dimensions", NA_REAL, R_NilValue, (double)(a->vector ? 0 : a->ndim), 0);
  out->nsub = n;
  out->by_matrix = false;
  SEXP dn = PROTECT(r_list_get(r_array_meta(x), "dimnames"));
  SEXP resolved = PROTECT(Rf_allocVector(VECSXP, n));
  for (int k = 0; k < n; k++) {
    SEXP i = plain_subscript(VECTOR_ELT(indices, k), dn == R_NilValue ? dn : VECTOR_ELT(dn, k), k + 1);
    SET_VECTOR_ELT(resolved, k, i);
    if (TYPEOF(i) == LGLSXP && XLENGTH(i) > a->dim[k])
      r_abort_index("(subscript) logical subscript too long", (double)XLENGTH(i), R_NilValue, (double)a->dim[k], k + 1);
    take_axis(&out->axis[k], a->dim[k], i, k + 1);
  }
  out->resolved = resolved;
  UNPROTECT(2);
  return resolved;
}
