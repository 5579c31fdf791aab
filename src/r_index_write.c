/* r_index_write.c: assignment into a shared array. Everything is checked before anything is written. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "r_index.h"
#include "r_array_handle.h"
#include "r_array_text.h"
#include "r_util.h"
#include "r_util_vector.h"

static sm_rtype value_type(SEXP v) {
  return TYPEOF(v) == REALSXP && Rf_isObject(v) && Rf_inherits(v, "integer64") ? SM_R_I64 : r_vector_rtype(TYPEOF(v));
}

static void stage_numbers(const void *ctx, int64_t from, int64_t n, void *out) {
  const r_values *v = ctx;
  sm_convert_write(v->dtype, v->type, (const uint8_t *)v->data + (size_t)from * sm_rtype_size(v->type), n, out);
}

static void abort_type(const r_array *a, SEXP value) {
  char code[16], text[160];
  sm_dtype_format(a->dtype, code);
  snprintf(text, sizeof text, "values of type '%s' do not go into an array of dtype %s", Rf_type2char(TYPEOF(value)), code);
  r_abort_value(text, 1, R_NilValue, a->dtype);
}

/* True if n elements of b from `from` on may go into a as they lie. */
static bool goes_as_it_lies(const r_array *a, const r_array *b, int64_t from, int64_t n) {
  if (b->dtype.code != a->dtype.code || b->dtype.raw != a->dtype.raw || b->dtype.itemsize != a->dtype.itemsize) return false;
  sm_stretch p = {a->seg, a->data, (size_t)a->length * a->dtype.itemsize};
  sm_stretch q = {b->seg, b->data + (size_t)from * b->dtype.itemsize, (size_t)n * b->dtype.itemsize};
  return !sm_segment_overlap(p, q);
}

/* Shared values without attributes, in terms of memory, if they may be read while x is written: by a handle or a view. */
static bool take_shared(SEXP x, const r_array *a, SEXP value, r_values *out) {
  int64_t from = 0;
  bool handle = r_array_is(value);
  const r_array *b = handle ? r_array_get(value, "value") : Rf_isObject(value) ? NULL : r_view_array(value, &from);
  if (!b || r_array_meta(x) != R_NilValue || (handle && r_array_meta(value) != R_NilValue)) return false;
  int64_t n = handle ? b->length : (int64_t)XLENGTH(value);
  if (!goes_as_it_lies(a, b, from, n)) return false;
  out->other = b;
  out->source = (sm_source){n, b->data + (size_t)from * b->dtype.itemsize, NULL, NULL};
  out->value = value;
  return true;
}

/* As complex numbers that an assignment makes of them: of a missing value as.complex() and c() make others in R 4.4 and 4.5. */
static SEXP as_complex(SEXP value) {
  bool missing = false;
  for (R_xlen_t k = 0; k < XLENGTH(value) && !missing; k++)
    missing = TYPEOF(value) == REALSXP  ? ISNAN(REAL_ELT(value, k))
              : TYPEOF(value) == INTSXP ? INTEGER_ELT(value, k) == NA_INTEGER
                                        : LOGICAL_ELT(value, k) == NA_LOGICAL;
  return missing ? r_call1("complex_assigned", value) : Rf_coerceVector(value, CPLXSXP);
}

/* Values are checked in one pass and written in another: those that others may write meanwhile are copied first. */
SEXP r_values_take(SEXP x, const r_array *a, SEXP value, r_values *out) {
  SEXP meta = r_array_meta(x);
  memset(out, 0, sizeof *out);
  out->dtype = a->dtype;
  if (take_shared(x, a, value, out)) return value;
  value = r_array_is(value) ? r_call1("shared_values", value) : r_private_vector(value);
  PROTECT(value);
  if (r_list_get(meta, "class") != R_NilValue) value = r_call2("prepare_value", meta, value);
  UNPROTECT(1);
  PROTECT(value);
  if (Rf_isVectorAtomic(value) && TYPEOF(value) != RAWSXP) { /* text and complex numbers as R itself coerces to them */
    bool wide = Rf_inherits(value, "integer64");
    if (a->dtype.code == SM_STR && wide) value = r_call1("as.character", value);
    else if (a->dtype.code == SM_STR && TYPEOF(value) != STRSXP) value = Rf_coerceVector(value, STRSXP);
    else if (a->dtype.code == SM_C16 && !wide && TYPEOF(value) != CPLXSXP && TYPEOF(value) != STRSXP) value = as_complex(value);
  }
  UNPROTECT(1);
  PROTECT(value);
  out->value = value;
  out->type = value_type(value);
  if (TYPEOF(value) == NILSXP) {
    UNPROTECT(1);
    return value;
  }
  if (!sm_convert_allowed(a->dtype, out->type)) abort_type(a, value);
  out->source.n = (int64_t)XLENGTH(value);
  out->source.ctx = out;
  out->source.stage = stage_numbers;
  out->data = r_vector_ptr_ro(value);
  if (out->type != SM_R_STR && sm_rtype_same(a->dtype, out->type)) out->source.items = out->data;
  UNPROTECT(1);
  return value;
}

static int64_t check_strings(const r_array *a, SEXP v, int64_t n) {
  r_texts t = r_texts_of(v, a->dtype);
  for (int64_t k = 0; k < n; k++) {
    sm_text text = r_texts_get(&t, k);
    if (sm_text_size(&text) > a->dtype.itemsize) return k;
  }
  return -1;
}

void r_values_check(const r_array *a, SEXP meta, const r_values *v, int64_t n) {
  if (v->other || n == 0) return;
  int64_t bad =
      v->type == SM_R_STR ? check_strings(a, v->value, n) : sm_convert_check(a->dtype, v->type, v->data, n, r_meta_is_integer64(meta));
  if (bad < 0) return;
  SEXP item = R_NilValue;
  char text[120] = "";
  switch (v->type) {
  case SM_R_LGL: item = Rf_ScalarLogical(LOGICAL_ELT(v->value, bad)); break;
  case SM_R_INT: item = Rf_ScalarInteger(INTEGER_ELT(v->value, bad)); break;
  case SM_R_DBL: item = Rf_ScalarReal(REAL_ELT(v->value, bad)); break;
  case SM_R_I64: {
    int64_t w;
    memcpy(&w, (const uint8_t *)v->data + (size_t)bad * 8, 8);
    item = w == INT64_MIN ? Rf_ScalarReal(NA_REAL) : Rf_ScalarReal((double)w);
    if (w != INT64_MIN && (int64_t)(double)w != w) { /* a double would name another value */
      char code[16];
      sm_dtype_format(a->dtype, code);
      snprintf(text, sizeof text, "value %" PRId64 " at position %.0f does not fit dtype %s; nothing was written", w, (double)bad + 1,
               code);
    }
    break;
  }
  case SM_R_STR: item = Rf_ScalarString(STRING_ELT(v->value, bad)); break;
  default: break;
  }
  r_abort_value(text[0] ? text : NULL, (double)bad + 1, item, a->dtype);
}

/* What a write needs under the guard. */
typedef struct {
  const r_array *a;
  sm_plan *plan;
  const sm_source *source;
  void *scratch;
} write_job;

static void run_write(void *ctx) {
  write_job *j = ctx;
  sm_select_write(j->a->dtype, j->a->data, j->plan, j->source, j->scratch);
}

/* Strings on their way to their places. Looking at them needs R, which the guard does not allow. */
typedef struct {
  const r_array *a;
  int n;
  int64_t pos[256];
  sm_text text[256];
} text_block;

static void put_texts(void *ctx) {
  const text_block *b = ctx;
  size_t width = b->a->dtype.itemsize;
  for (int k = 0; k < b->n; k++) sm_text_put(&b->text[k], b->a->data + (size_t)b->pos[k] * width, width);
}

static void write_texts(const r_array *a, sm_plan *p, const r_values *v) {
  r_texts t = r_texts_of(v->value, a->dtype);
  text_block b = {.a = a};
  sm_text first = r_texts_get(&t, 0);
  int64_t at = 0, ny = v->source.n;
  for (sm_span s = sm_plan_next(p); s.n; s = sm_plan_next(p))
    for (int64_t k = 0; k < s.n; k++, at = at + 1 == ny ? 0 : at + 1) {
      int64_t pos = s.pos ? s.pos[k] : s.start + k;
      if (pos == SM_POS_NA) continue;
      b.pos[b.n] = pos;
      b.text[b.n++] = ny == 1 ? first : r_texts_get(&t, at);
      if (b.n < 256) continue;
      r_array_access(a, put_texts, &b);
      b.n = 0;
    }
  r_array_access(a, put_texts, &b);
}

static void assign(SEXP x, const r_array *a, const r_subscripts *s, r_values *v) {
  sm_plan plan;
  const void *vmax = vmaxget();
  sm_plan_init(&plan, s->axis, s->nsub, R_alloc(sm_plan_buffer(s->nsub), 1));
  int64_t n = plan.n, ny = v->source.n;
  if (plan.has_na && ny > 1) r_abort_index("NAs are not allowed in subscripted assignments", NA_REAL, R_NilValue, NA_REAL, 0);
  if (n == 0) return;
  if (ny == 0) r_abort_value("replacement has length zero", NA_REAL, R_NilValue, a->dtype);
  bool uneven = n % ny != 0;
  if (uneven && s->nsub > 1)
    r_abort_value("number of items to replace is not a multiple of replacement length", NA_REAL, R_NilValue, a->dtype);
  r_values_check(a, r_array_meta(x), v, ny < n ? ny : n);
  if (v->type == SM_R_STR) {
    write_texts(a, &plan, v);
  } else {
    void *scratch = v->source.items ? NULL : (void *)R_alloc(SM_BLOCK, (int)a->dtype.itemsize);
    write_job job = {a, &plan, &v->source, scratch};
    if (v->other && r_array_fragile(v->other)) r_array_access(v->other, run_write, &job);
    else r_array_access(a, run_write, &job);
  }
  vmaxset(vmax);
  if (uneven) Rf_warningcall(R_NilValue, "number of items to replace is not a multiple of replacement length");
}

static const r_array *writable(SEXP x) {
  const r_array *a = r_array_get(x, "x");
  r_array_check_writable(a);
  return a;
}

/* One number to one place. False where R's rules must be looked at more closely. */
static bool write_scalar(SEXP x, SEXP i, SEXP value) {
  int64_t at;
  SEXP ptr;
  const r_array *a = r_index_fast(x, i, &ptr, &at);
  if (!a || a->readonly || a->dtype.code == SM_C16 || R_ExternalPtrProtected(ptr) != R_NilValue || Rf_isObject(value)) return false;
  union {
    double d;
    int i;
  } v;
  sm_rtype t;
  if (TYPEOF(value) == REALSXP && XLENGTH(value) == 1) {
    v.d = REAL_ELT(value, 0);
    t = SM_R_DBL;
  } else if (TYPEOF(value) == INTSXP && XLENGTH(value) == 1) {
    v.i = INTEGER_ELT(value, 0);
    t = SM_R_INT;
  } else if (TYPEOF(value) == LGLSXP && XLENGTH(value) == 1) {
    v.i = LOGICAL_ELT(value, 0);
    t = SM_R_LGL;
  } else {
    return false;
  }
  if (sm_convert_check(a->dtype, t, &v, 1, false) >= 0) return false;
  sm_convert_write(a->dtype, t, &v, 1, a->data + (size_t)at * a->dtype.itemsize);
  return true;
}

/* x[[i]] <- value in `frame`, in the plain case; FALSE, and nothing done, where R code must look closer. */
SEXP ffi_index_set_element(SEXP x, SEXP i, SEXP value, SEXP frame) {
  return Rf_ScalarLogical(TYPEOF(i) != SYMSXP && r_array_is(x) && r_index_writes(frame) && write_scalar(x, i, value));
}

/* x[i] <- value in `frame`, NULL: wherever; a symbol as i stands for all. */
SEXP ffi_index_set(SEXP x, SEXP i, SEXP value, SEXP frame) {
  if (!r_array_is(x) || !r_index_writes(frame)) return r_call3("assign_copy_one", x, i, value);
  if (write_scalar(x, i, value)) return x;
  const r_array *a = writable(x);
  const void *vmax = vmaxget();
  r_subscripts s;
  r_values v;
  PROTECT(r_values_take(x, a, value, &v));
  PROTECT(r_subscripts_one(x, a, i, true, &s));
  assign(x, a, &s, &v);
  vmaxset(vmax);
  UNPROTECT(2);
  return x;
}

/* x[i, j, ...] <- value */
SEXP ffi_index_set_many(SEXP x, SEXP indices, SEXP value) {
  const r_array *a = writable(x);
  const void *vmax = vmaxget();
  r_subscripts s;
  r_values v;
  PROTECT(r_values_take(x, a, value, &v));
  PROTECT(r_subscripts_many(x, a, indices, &s));
  assign(x, a, &s, &v);
  vmaxset(vmax);
  UNPROTECT(2);
  return x;
}
