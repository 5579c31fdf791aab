/* r_kernel_sort.c: argsort() and searchsorted() for R. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "kern_search.h"
#include "kern_sort.h"
#include "mem_heap.h"
#include "r_kernel.h"
#include "r_array_handle.h"
#include "r_util.h"

typedef struct {
  SEXP data, out, na_last;
  sm_argsort_plan plan;
  sm_stop stop;
} argsort_call;

static void argsort_clean(void *arg) { sm_argsort_free(&((argsort_call *)arg)->plan); }

/* Where a shared `out` lies; raises an argument error if it cannot take `length` places of `data`. */
static void *check_out(SEXP out, const r_kernel_view *data, int64_t length, sm_place_type *type) {
  const r_array *a = r_array_get(out, "out");
  char got[80];
  sm_dtype_format(a->dtype, got);
  switch (a->dtype.code) {
  case SM_I4: *type = SM_PLACE_I4; break;
  case SM_I8: *type = SM_PLACE_I8; break;
  case SM_F8: *type = SM_PLACE_F8; break;
  default: r_abort_argument("out", got, "a shared array of dtype i4, i8 or f8");
  }
  if (a->readonly) r_abort_argument("out", "read-only", "a shared array that can be written");
  if (a->length != length) {
    char expected[80];
    snprintf(got, sizeof got, "of length %.0f", (double)a->length);
    snprintf(expected, sizeof expected, "a shared array of length %.0f", (double)length);
    r_abort_argument("out", got, expected);
  }
  if (*type == SM_PLACE_I4 && data->n > INT_MAX) r_abort_argument("out", "i4", "i8 or f8 for so many elements");
  const uint8_t *from = data->data, *to = from ? from + (size_t)data->n * data->dtype.itemsize : from;
  if (from && a->data < to && from < a->data + (size_t)length * a->dtype.itemsize)
    r_abort_argument("out", "the memory of `data`", "other memory than that of `data`");
  return a->data;
}

static SEXP argsort_body(void *arg) {
  argsort_call *c = arg;
  r_kernel_view v = r_kernel_look(c->data, "data");
  int na_last = Rf_asLogical(c->na_last);
  sm_missing missing = na_last == NA_LOGICAL ? SM_MISSING_DROP : na_last ? SM_MISSING_LAST : SM_MISSING_FIRST;
  int64_t length = v.n - (missing == SM_MISSING_DROP ? c->plan.stats.missing : 0);
  sm_place_type type = v.n > INT_MAX ? SM_PLACE_F8 : SM_PLACE_I4;
  SEXP result = c->out;
  void *place;
  if (result != R_NilValue) {
    PROTECT(result);
    place = check_out(result, &v, length, &type);
  } else if (sm_argsort_is_identity(&c->plan)) {
    SEXP n = PROTECT(Rf_ScalarReal((double)v.n));
    SEXP call = PROTECT(Rf_lang2(Rf_install("seq_len"), n));
    result = Rf_eval(call, R_BaseEnv);
    UNPROTECT(2);
    return result;
  } else {
    result = PROTECT(Rf_allocVector(type == SM_PLACE_F8 ? REALSXP : INTSXP, (R_xlen_t)length));
    place = type == SM_PLACE_F8 ? (void *)REAL(result) : (void *)INTEGER(result);
    sm_heap_advise(place, (size_t)length * (type == SM_PLACE_F8 ? 8 : 4));
  }
  r_kernel_check(sm_argsort_run(&c->plan, missing, type, place, &c->stop), "argsort");
  UNPROTECT(1);
  return result;
}

/* Few distinct elements, told by their addresses, or all texts. */
static bool look_elements(argsort_call *c, bool decreasing, int np) {
  if (DATAPTR_OR_NULL(c->data) == NULL) return false;
  const void *const *elements = (const void *const *)STRING_PTR_RO(c->data);
  int rc = sm_argsort_look_pointers(elements, (int64_t)XLENGTH(c->data), decreasing, np, &c->stop, &c->plan);
  r_kernel_check(rc < 0 ? rc : 0, "argsort");
  return rc == 1;
}

static SEXP argsort_few(void *arg) {
  argsort_call *c = arg;
  sm_argsort_rank(&c->plan, r_kernel_texts(&c->plan.words));
  return argsort_body(c);
}

SEXP ffi_argsort_run(SEXP data, SEXP out, SEXP decreasing, SEXP na_last, SEXP np) {
  r_kernel_view v = r_kernel_look(data, "data");
  argsort_call c = {.data = data, .out = out, .na_last = na_last};
  sm_keys k = {.type = r_kernel_key_type(&v, "data"),
               .data = v.data,
               .n = v.n,
               .width = v.dtype.itemsize,
               .decreasing = Rf_asLogical(decreasing) == TRUE};
  const void *top = vmaxget();
  SEXP (*body)(void *) = argsort_body;
  if (v.n >= 1 << 20) sm_heap_keep();
  r_kernel_stop(&c.stop);
  if (k.type == SM_KEY_PTR && look_elements(&c, k.decreasing, Rf_asInteger(np))) {
    body = argsort_few;
  } else {
    if (k.type == SM_KEY_PTR) k.data = r_kernel_strings(data);
    r_kernel_check(sm_argsort_look(&k, Rf_asInteger(np), &c.stop, &c.plan), "argsort");
  }
  SEXP result = r_kernel_clean(body, argsort_clean, &c);
  vmaxset(top);
  return result;
}

static sm_keys keys_of(SEXP x, const r_kernel_view *v, const char *arg) {
  sm_keys k = {.type = r_kernel_key_type(v, arg), .data = v->data, .n = v->n, .width = v->dtype.itemsize};
  if (k.type == SM_KEY_PTR) k.data = r_kernel_strings(x);
  return k;
}

SEXP ffi_search_run(SEXP data, SEXP needle, SEXP right, SEXP np) {
  const void *top = vmaxget();
  r_kernel_view d = r_kernel_look(data, "data"), q = r_kernel_look(needle, "needle");
  sm_keys dk = keys_of(data, &d, "data"), qk = keys_of(needle, &q, "needle");
  if (sm_keys_is_string(&dk) != sm_keys_is_string(&qk))
    r_abort_argument("needle", sm_keys_is_string(&qk) ? "strings" : "numbers", sm_keys_is_string(&dk) ? "strings" : "numbers");
  bool wide = d.n >= INT_MAX;
  SEXP out = PROTECT(Rf_allocVector(wide ? REALSXP : INTSXP, (R_xlen_t)q.n));
  void *place = wide ? (void *)REAL(out) : (void *)INTEGER(out);
  sm_stop stop;
  r_kernel_stop(&stop);
  r_kernel_check(sm_search(&dk, &qk, Rf_asLogical(right) == TRUE, wide ? SM_PLACE_F8 : SM_PLACE_I4, place, Rf_asInteger(np), &stop),
                 "searchsorted");
  vmaxset(top);
  UNPROTECT(1);
  return out;
}
