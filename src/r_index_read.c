/* r_index_read.c: shared elements as plain R vectors, and R's attributes for them. */
#include <string.h>

#include <R_ext/Error.h>

#include "mem_heap.h"
#include "r_index.h"
#include "r_array_handle.h"
#include "r_array_text.h"
#include "r_memory_pooled.h"
#include "r_util.h"
#include "r_util_vector.h"

SEXPTYPE r_sexp_type(sm_rtype t) {
  switch (t) {
  case SM_R_LGL: return LGLSXP;
  case SM_R_INT: return INTSXP;
  case SM_R_DBL:
  case SM_R_I64: return REALSXP;
  case SM_R_CPLX: return CPLXSXP;
  case SM_R_RAW: return RAWSXP;
  case SM_R_STR: break;
  }
  return STRSXP;
}

/* A block of items, copied out under the guard where the memory may vanish. */
typedef struct {
  const r_array *a;
  const sm_span *span;
  int64_t from, n;
  uint8_t *items;
} item_block;

static void copy_items(void *ctx) {
  const item_block *b = ctx;
  size_t size = b->a->dtype.itemsize;
  if (b->span->pos) sm_gather(b->a->data, size, b->span->pos + b->from, b->n, b->items);
  else memcpy(b->items, b->a->data + (size_t)(b->span->start + b->from) * size, (size_t)b->n * size);
}

/* Items wider than this are read one by one, no further than their text goes. */
#define WIDE_ITEM 4096

static void read_wide(const r_array *a, sm_plan *p, SEXP ans) {
  R_xlen_t at = 0;
  for (sm_span s = sm_plan_next(p); s.n; s = sm_plan_next(p))
    for (int64_t k = 0; k < s.n; k++, at++) {
      int64_t pos = s.pos ? s.pos[k] : s.start + k;
      SET_STRING_ELT(ans, at, pos == SM_POS_NA ? NA_STRING : r_text_char_live(a, pos));
    }
}

static void read_strings(const r_array *a, sm_plan *p, SEXP ans) {
  R_xlen_t at = 0;
  size_t size = a->dtype.itemsize;
  if (size > WIDE_ITEM) {
    read_wide(a, p, ans);
    return;
  }
  int64_t most = 1 + (int64_t)(65536 / size);
  uint8_t *items = (uint8_t *)R_alloc((size_t)most, (int)size);
  for (sm_span s = sm_plan_next(p); s.n; s = sm_plan_next(p))
    for (int64_t from = 0; from < s.n; from += most) {
      item_block b = {a, &s, from, s.n - from < most ? s.n - from : most, items};
      r_array_access(a, copy_items, &b);
      for (int64_t k = 0; k < b.n; k++, at++) {
        bool na = s.pos && s.pos[from + k] == SM_POS_NA;
        SET_STRING_ELT(ans, at, na ? NA_STRING : r_text_char(items + (size_t)k * size, a->dtype, (double)at + 1));
      }
    }
}

/* What a read needs under the guard. */
typedef struct {
  const r_array *a;
  sm_plan *plan;
  sm_rtype type;
  void *dst;
  bool lossy;
} read_job;

static void run_read(void *ctx) {
  read_job *j = ctx;
  sm_select_read(j->a->dtype, j->a->data, j->plan, j->type, j->dst);
}

/* True in j->lossy if one of the selected i8 items is past 2^53. */
static void run_lossy(void *ctx) {
  read_job *j = ctx;
  sm_plan_rewind(j->plan);
  for (sm_span s = sm_plan_next(j->plan); s.n; s = sm_plan_next(j->plan))
    for (int64_t k = 0; k < s.n; k++) {
      int64_t pos = s.pos ? s.pos[k] : s.start + k;
      if (pos != SM_POS_NA) j->lossy |= sm_convert_lossy(j->a->data + (size_t)pos * 8, 1);
    }
}

/* Doubles past 2^53 - 1 may stand for other whole numbers: then the items themselves are looked at. */
static void warn_lossy(read_job *j, const double *v, int64_t n) {
  bool past = false;
  for (int64_t k = 0; k < n; k++) past |= v[k] > 9007199254740991.0 || v[k] < -9007199254740991.0;
  if (past) r_array_access(j->a, run_lossy, j);
  if (j->lossy) r_call1("warn_lossy", R_NilValue);
}

/* block: a run of a vector, for which pages are kept; what gets extents is R's own, whose elements R finds sooner. */
static SEXP read_plan(const r_array *a, sm_plan *p, bool wide, bool block) {
  sm_rtype t = wide && a->dtype.code == SM_I8 ? SM_R_I64 : sm_rtype_of(a->dtype);
  if (p->n > R_XLEN_T_MAX) r_abort("sharedmem_memory_error", "%.0f elements are more than an R vector holds", (double)p->n);
  SEXPTYPE type = r_sexp_type(t);
  block = block && t != SM_R_STR;
  SEXP ans = PROTECT(block ? r_pooled_read(type, (R_xlen_t)p->n) : Rf_allocVector(type, (R_xlen_t)p->n));
  if (t == SM_R_STR) {
    read_strings(a, p, ans);
  } else if (p->n > 0) {
    read_job j = {a, p, t, r_vector_ptr(ans), false};
    if (!block) sm_heap_want_huge(j.dst, (size_t)p->n * sm_rtype_size(t));
    r_array_access(a, run_read, &j);
    if (a->dtype.code == SM_I8 && t == SM_R_DBL) warn_lossy(&j, j.dst, p->n);
  }
  UNPROTECT(1);
  return ans;
}

SEXP r_select_read(const r_array *a, const r_subscripts *s, bool wide) {
  sm_plan plan;
  int64_t one[SM_BLOCK];
  const void *vmax = vmaxget();
  void *buffer = s->nsub == 1 ? (void *)one : (void *)R_alloc(sm_plan_buffer(s->nsub), 1);
  sm_plan_init(&plan, s->axis, s->nsub, buffer);
  SEXP ans = read_plan(a, &plan, wide, s->nsub == 1 && a->ndim <= 1);
  vmaxset(vmax);
  return ans;
}

SEXP r_read_run(const r_array *a, int64_t from, int64_t n, bool wide) {
  r_subscripts s;
  s.nsub = 1;
  sm_axis_range(&s.axis[0], a->length, from, 1, n);
  return r_select_read(a, &s, wide);
}

SEXP r_read_all(const r_array *a, bool wide) { return r_read_run(a, 0, a->length, wide); }

bool r_meta_is_integer64(SEXP meta) {
  SEXP cls = r_list_get(meta, "class");
  for (R_xlen_t k = 0; TYPEOF(cls) == STRSXP && k < XLENGTH(cls); k++)
    if (strcmp(CHAR(STRING_ELT(cls, k)), "integer64") == 0) return true;
  return false;
}

static SEXP dim_vector(const int64_t *dim, int n) {
  bool large = false;
  for (int k = 0; k < n; k++) large |= dim[k] > INT32_MAX;
  SEXP ans = Rf_allocVector(large ? REALSXP : INTSXP, n);
  for (int k = 0; k < n; k++) {
    if (large) REAL(ans)[k] = (double)dim[k];
    else INTEGER(ans)[k] = (int)dim[k];
  }
  return ans;
}

/* An R vector cannot have an extent past 2^31 - 1: such a read gives a plain vector. */
static void set_dim(SEXP ans, const int64_t *dim, int n) {
  SEXP d = PROTECT(dim_vector(dim, n));
  if (TYPEOF(d) == INTSXP) Rf_setAttrib(ans, R_DimSymbol, d);
  UNPROTECT(1);
}

/* Extents of a result, dropped to those other than 1 where asked. ans is protected by the caller. */
static SEXP shape_result(SEXP ans, SEXP meta, const r_subscripts *s, bool drop) {
  int64_t dim[SM_MAX_DIM];
  int n = 0, kept = 0;
  SEXP dn = PROTECT(r_list_get(meta, "dimnames"));
  for (int k = 0; k < s->nsub; k++)
    if (!drop || dn != R_NilValue || s->axis[k].n != 1) dim[n++] = s->axis[k].n;
  for (int k = 0; k < s->nsub; k++) kept += s->axis[k].n != 1;
  if (dn == R_NilValue) {
    if (!drop || kept > 1) set_dim(ans, dim, n);
  } else {
    set_dim(ans, dim, n);
    SEXP d = PROTECT(dim_vector(dim, n)), sub = PROTECT(r_call3("subset_dimnames", dn, s->resolved, d));
    Rf_setAttrib(ans, R_DimNamesSymbol, sub);
    UNPROTECT(2);
    if (drop) ans = r_call1("drop", ans);
  }
  UNPROTECT(1);
  return ans;
}

/* A subscript over all elements: names, and R's way with one-dimensional arrays. */
static SEXP name_result(SEXP ans, const r_array *a, SEXP meta, SEXP i, const r_subscripts *s, bool drop) {
  bool one_d = !a->vector && a->ndim == 1;
  if (one_d && (!drop || XLENGTH(ans) > 1)) {
    int64_t n = (int64_t)XLENGTH(ans);
    set_dim(ans, &n, 1);
  }
  if (meta == R_NilValue || s->by_matrix) return ans;
  SEXP names = r_list_get(meta, "names"), dn = r_list_get(meta, "dimnames");
  if (one_d && dn != R_NilValue) {
    ans = r_call3("name_one_d", ans, dn, i);
  } else if (names != R_NilValue) {
    SEXP sub = PROTECT(r_call2("subset_names", names, i));
    Rf_setAttrib(ans, R_NamesSymbol, sub);
    UNPROTECT(1);
  }
  return ans;
}

static SEXP add_class(SEXP ans, SEXP meta) { return r_list_get(meta, "class") == R_NilValue ? ans : r_call2("restore_class", ans, meta); }

/* One element, or NULL where R's rules must be looked at more closely. */
static SEXP read_scalar(SEXP x, SEXP i) {
  int64_t at;
  SEXP ptr;
  const r_array *a = r_index_fast(x, i, &ptr, &at);
  if (!a || R_ExternalPtrProtected(ptr) != R_NilValue || Rf_getAttrib(x, R_NamesSymbol) != R_NilValue) return NULL;
  const uint8_t *p = a->data + (size_t)at * a->dtype.itemsize;
  union {
    double d;
    int i;
    Rcomplex z;
    Rbyte r;
  } v;
  if (a->dtype.code == SM_I8) return NULL;
  sm_rtype t = sm_rtype_of(a->dtype);
  if (t != SM_R_STR) sm_convert_read(a->dtype, p, 1, t, &v);
  switch (t) {
  case SM_R_DBL: return Rf_ScalarReal(v.d);
  case SM_R_INT: return Rf_ScalarInteger(v.i);
  case SM_R_LGL: return Rf_ScalarLogical(v.i);
  case SM_R_CPLX: return Rf_ScalarComplex(v.z);
  case SM_R_RAW: return Rf_ScalarRaw(v.r);
  default: return Rf_ScalarString(r_text_char_live(a, at));
  }
}

/* x[]: everything, with all attributes. bare: without any; wide: i8 as integer64 bits. */
SEXP ffi_index_get_all(SEXP x, SEXP bare, SEXP wide) {
  if (!r_array_is(x) && Rf_inherits(x, "shared_array")) return r_call1("ordinary", x);
  const r_array *a = r_array_get(x, "x");
  SEXP meta = r_array_meta(x);
  SEXP ans = PROTECT(r_read_all(a, Rf_asLogical(wide) || r_meta_is_integer64(meta)));
  if (!Rf_asLogical(bare)) {
    if (!a->vector && a->ndim > 0) set_dim(ans, a->dim, a->ndim);
    if (meta != R_NilValue) {
      SEXP names = r_list_get(meta, "names"), dn = r_list_get(meta, "dimnames");
      if (names != R_NilValue) Rf_setAttrib(ans, R_NamesSymbol, names);
      if (dn != R_NilValue) Rf_setAttrib(ans, R_DimNamesSymbol, dn);
      ans = add_class(ans, meta);
    }
  }
  UNPROTECT(1);
  return ans;
}

/* x[[i]] in the plain case; NULL where R code must look closer. */
SEXP ffi_index_get_element(SEXP x, SEXP i) {
  SEXP fast = TYPEOF(i) == SYMSXP ? NULL : read_scalar(x, i);
  return fast ? fast : R_NilValue;
}

/* x[i]; a symbol as i stands for all. */
SEXP ffi_index_get(SEXP x, SEXP i, SEXP drop) {
  SEXP fast = drop == R_NilValue ? read_scalar(x, i) : NULL;
  if (fast) return fast;
  if (!r_array_is(x) && Rf_inherits(x, "shared_array")) return r_call2("ordinary_get", x, i);
  if (TYPEOF(i) == SYMSXP) return ffi_index_get_all(x, Rf_ScalarLogical(FALSE), Rf_ScalarLogical(FALSE));
  const r_array *a = r_array_get(x, "x");
  SEXP meta = r_array_meta(x);
  const void *vmax = vmaxget();
  r_subscripts s;
  i = PROTECT(r_subscripts_one(x, a, i, false, &s));
  SEXP ans = PROTECT(r_select_read(a, &s, r_meta_is_integer64(meta)));
  vmaxset(vmax);
  bool dropped = drop == R_NilValue || Rf_asLogical(drop) != 0;
  ans = PROTECT(name_result(ans, a, meta, i, &s, dropped));
  ans = add_class(ans, meta);
  UNPROTECT(3);
  return ans;
}

/* x[i, j, ...] */
SEXP ffi_index_get_many(SEXP x, SEXP indices, SEXP drop) {
  const r_array *a = r_array_get(x, "x");
  SEXP meta = r_array_meta(x);
  const void *vmax = vmaxget();
  r_subscripts s;
  PROTECT(r_subscripts_many(x, a, indices, &s));
  SEXP ans = PROTECT(r_select_read(a, &s, r_meta_is_integer64(meta)));
  vmaxset(vmax);
  ans = PROTECT(shape_result(ans, meta, &s, Rf_asLogical(drop) != 0));
  ans = add_class(ans, meta);
  UNPROTECT(3);
  return ans;
}
