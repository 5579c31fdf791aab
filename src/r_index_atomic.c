/* r_index_atomic.c: atomic_add(). */
#include <string.h>

#include "arr_atomic.h"
#include "r_index.h"
#include "r_array_handle.h"
#include "r_util.h"

/* Additions to one stretch of places, under the guard where the memory may vanish. */
typedef struct {
  const r_array *a;
  const r_values *v;
  sm_span span;
  int64_t at; /* how many were made: number of the value that comes next */
  void *out;  /* the new values */
  int rc;
} add_job;

/* Value number k as the dtype has it, with room for the widest. */
static void value_item(const r_values *v, int64_t k, void *item) {
  if (v->source.items) memcpy(item, v->source.items + (size_t)k * v->dtype.itemsize, v->dtype.itemsize);
  else v->source.stage(v->source.ctx, k, 1, item);
}

static int add_one(const add_job *j, int64_t pos) {
  uint8_t *p = j->a->data + (size_t)pos * j->a->dtype.itemsize;
  union {
    int32_t i4;
    int64_t i8;
    double f8;
  } item, sum = {.i8 = 0};
  int rc = 0;
  value_item(j->v, j->at % j->v->source.n, &item);
  switch (j->a->dtype.code) {
  case SM_I4:
    rc = sm_atomic_add_i4(p, item.i4, &sum.i4);
    if (rc == 0) ((int *)j->out)[j->at] = sum.i4;
    return rc;
  case SM_I8:
    rc = sm_atomic_add_i8(p, item.i8, &sum.i8);
    if (rc == 0) ((double *)j->out)[j->at] = (double)sum.i8;
    return rc;
  default:
    sm_atomic_add_f8(p, item.f8, &sum.f8);
    ((double *)j->out)[j->at] = sum.f8;
    return 0;
  }
}

static void add_all(void *ctx) {
  add_job *j = ctx;
  for (int64_t k = 0; k < j->span.n && j->rc == 0; k++) {
    j->rc = add_one(j, j->span.pos ? j->span.pos[k] : j->span.start + k);
    if (j->rc == 0) j->at++;
  }
}

static void check_target(const r_array *a) {
  char code[16];
  sm_dtype_format(a->dtype, code);
  if (a->dtype.code != SM_I4 && a->dtype.code != SM_I8 && a->dtype.code != SM_F8)
    r_abort_argument("x", code, "a shared array of dtype i4, i8 or f8");
  r_array_check_writable(a);
  if ((uintptr_t)a->data % a->dtype.itemsize) r_abort_argument("x", "an array at an odd offset of its file", "aligned to its item size");
}

/* One number to one place. NULL where R's rules must be looked at more closely. */
static SEXP add_scalar(SEXP x, SEXP i, SEXP value) {
  int64_t at;
  SEXP ptr;
  const r_array *a = r_index_fast(x, i, &ptr, &at);
  if (!a || a->readonly || TYPEOF(i) == SYMSXP || R_ExternalPtrProtected(ptr) != R_NilValue || Rf_isObject(value)) return NULL;
  uint8_t *p = a->data + (size_t)at * a->dtype.itemsize;
  if ((uintptr_t)p % a->dtype.itemsize) return NULL;
  double d;
  if (TYPEOF(value) == REALSXP && XLENGTH(value) == 1) d = REAL_ELT(value, 0);
  else if (TYPEOF(value) == INTSXP && XLENGTH(value) == 1 && INTEGER_ELT(value, 0) != NA_INTEGER) d = INTEGER_ELT(value, 0);
  else return NULL;
  int32_t sum4;
  switch (a->dtype.code) {
  case SM_F8: sm_atomic_add_f8(p, d, &d); return Rf_ScalarReal(d);
  case SM_I4:
    if (!(d >= -INT32_MAX && d <= INT32_MAX && d == (double)(int32_t)d) || sm_atomic_add_i4(p, (int32_t)d, &sum4) < 0) return NULL;
    return Rf_ScalarInteger(sum4);
  default: return NULL;
  }
}

SEXP ffi_atomic_add(SEXP x, SEXP i, SEXP value) {
  SEXP fast = add_scalar(x, i, value);
  if (fast) return fast;
  const r_array *a = r_array_get(x, "x");
  check_target(a);
  if (r_array_meta_get(x, "class") != R_NilValue) r_abort_argument("x", "an array with a class", "an array of plain numbers");
  const void *vmax = vmaxget();
  r_values v;
  r_subscripts s;
  sm_plan plan;
  PROTECT(r_values_take(x, a, value, &v));
  PROTECT(r_subscripts_one(x, a, i, true, &s));
  sm_plan_init(&plan, s.axis, 1, R_alloc(sm_plan_buffer(1), 1));
  int64_t n = plan.n, ny = v.source.n;
  if (plan.has_na) r_abort_index("NAs are not allowed in atomic_add()", NA_REAL, R_NilValue, (double)a->length, 0);
  if (n > 0 && ny == 0) r_abort_value("value has length zero", NA_REAL, R_NilValue, a->dtype);
  if (n > 0 && n % ny != 0) r_abort_value("length of i is not a multiple of the length of value", NA_REAL, R_NilValue, a->dtype);
  r_values_check(a, R_NilValue, &v, ny);
  SEXP ans = PROTECT(Rf_allocVector(a->dtype.code == SM_I4 ? INTSXP : REALSXP, (R_xlen_t)n));
  add_job job = {.a = a, .v = &v, .out = a->dtype.code == SM_I4 ? (void *)INTEGER(ans) : (void *)REAL(ans)};
  const r_array *guarded = v.other && r_array_fragile(v.other) ? v.other : a;
  while (job.rc == 0 && (job.span = sm_plan_next(&plan)).n) r_array_access(guarded, add_all, &job);
  if (job.rc < 0)
    r_abort_value("the sum does not fit its dtype; what stands before it was added", (double)job.at + 1, R_NilValue, a->dtype);
  vmaxset(vmax);
  UNPROTECT(3);
  return ans;
}
