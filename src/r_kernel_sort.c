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
  r_kernel_view view;
  sm_keys keys;
  sm_work work;
  sm_argsort_plan plan;
  sm_stop stop;
  int rc;
} argsort_call;

static void argsort_clean(void *arg) { sm_argsort_free(&((argsort_call *)arg)->plan); }

/* A shared `out` that can take places of n elements; raises an argument error. */
static const r_array *check_out(SEXP out, int64_t n, sm_place_type *type) {
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
  if ((uintptr_t)a->data % a->dtype.itemsize) r_abort_argument("out", "an array at an odd offset of its file", "aligned to its item size");
  if (*type == SM_PLACE_I4 && n > INT_MAX) r_abort_argument("out", "i4", "i8 or f8 for so many elements");
  return a;
}

static void check_length(const r_array *a, int64_t length) {
  char got[80], expected[80];
  if (a->length == length) return;
  snprintf(got, sizeof got, "of length %.0f", (double)a->length);
  snprintf(expected, sizeof expected, "a shared array of length %.0f", (double)length);
  r_abort_argument("out", got, expected);
}

static SEXP argsort_body(void *arg) {
  argsort_call *c = arg;
  int64_t n = c->view.n;
  int na_last = Rf_asLogical(c->na_last);
  sm_missing missing = na_last == NA_LOGICAL ? SM_MISSING_DROP : na_last ? SM_MISSING_LAST : SM_MISSING_FIRST;
  int64_t length = n - (missing == SM_MISSING_DROP ? c->plan.stats.missing : 0);
  sm_places to = {n > INT_MAX ? SM_PLACE_F8 : SM_PLACE_I4, NULL};
  SEXP result = c->out;
  if (result != R_NilValue) {
    PROTECT(result);
    const r_array *a = check_out(result, n, &to.type);
    check_length(a, length);
    to.at = a->data;
  } else if (sm_argsort_is_identity(&c->plan)) {
    SEXP number = PROTECT(Rf_ScalarReal((double)n));
    SEXP call = PROTECT(Rf_lang2(Rf_install("seq_len"), number));
    result = Rf_eval(call, R_BaseEnv);
    UNPROTECT(2);
    return result;
  } else {
    result = PROTECT(Rf_allocVector(to.type == SM_PLACE_F8 ? REALSXP : INTSXP, (R_xlen_t)length));
    to.at = to.type == SM_PLACE_F8 ? (void *)REAL(result) : (void *)INTEGER(result);
    sm_heap_want_huge(to.at, (size_t)length * (to.type == SM_PLACE_F8 ? 8 : 4));
  }
  c->rc = sm_argsort_run(&c->plan, missing, to);
  UNPROTECT(1);
  return result;
}

static SEXP argsort_few(void *arg) {
  argsort_call *c = arg;
  c->rc = sm_argsort_rank(&c->plan, r_kernel_texts(&c->plan.dict));
  return c->rc < 0 ? R_NilValue : argsort_body(c);
}

/* Sort once; c->rc is SM_ECHANGED if the data changed meanwhile. */
static SEXP argsort_once(argsort_call *c) {
  int rc = 0;
  c->rc = 0;
  c->keys.data = c->view.data;
  if (c->keys.type == SM_KEY_PTR && DATAPTR_OR_NULL(c->data) != NULL) { /* few distinct elements are told by their addresses */
    c->keys.data = STRING_PTR_RO(c->data);
    rc = sm_argsort_look_pointers(&c->keys, &c->work, &c->plan);
  }
  if (rc == 1) return r_kernel_clean(argsort_few, argsort_clean, c);
  if (rc == 0 && c->keys.type == SM_KEY_PTR) c->keys.data = r_kernel_strings(c->data);
  if (rc == 0) rc = sm_argsort_look(&c->keys, &c->work, &c->plan);
  c->rc = rc;
  return rc < 0 ? R_NilValue : r_kernel_clean(argsort_body, argsort_clean, c);
}

/* True if writing to out[] could change the data while they are sorted. */
static bool out_is_data(SEXP out, SEXP data) {
  if (out == R_NilValue) return false;
  return r_array_is(data) ? r_array_overlap(r_array_get(out, "out"), r_array_get(data, "data")) : ALTREP(data);
}

/* Live data are sorted where they lie. Only if they are seen to have changed meanwhile, or if out is among them, is a copy
 * sorted. */
SEXP ffi_argsort_run(SEXP data, SEXP out, SEXP decreasing, SEXP na_last, SEXP np) {
  const void *top = vmaxget();
  argsort_call c = {.data = data, .out = out, .na_last = na_last, .view = r_kernel_look(data, "data")};
  sm_place_type type;
  bool fragile = out != R_NilValue && r_array_fragile(check_out(out, c.view.n, &type));
  c.keys = (sm_keys){.type = r_kernel_key_type(&c.view, "data"),
                     .n = c.view.n,
                     .width = c.view.dtype.itemsize,
                     .decreasing = Rf_asLogical(decreasing) == TRUE};
  r_kernel_align(&c.view, data);
  if (c.keys.type != SM_KEY_PTR && out_is_data(out, data)) r_kernel_own(&c.view, data);
  c.work = r_kernel_work(&c.stop, np, fragile || c.view.fragile);
  SEXP result = PROTECT(argsort_once(&c));
  if (c.rc == SM_ECHANGED && c.keys.type != SM_KEY_PTR) {
    r_kernel_own(&c.view, data);
    c.work = r_kernel_work(&c.stop, np, fragile);
    UNPROTECT(1);
    result = PROTECT(argsort_once(&c));
  }
  r_kernel_check(c.rc, "argsort");
  vmaxset(top);
  UNPROTECT(1);
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
  r_kernel_align(&d, data);
  r_kernel_align(&q, needle);
  sm_keys dk = keys_of(data, &d, "data"), qk = keys_of(needle, &q, "needle");
  if (sm_keys_is_string(&dk) != sm_keys_is_string(&qk))
    r_abort_argument("needle", sm_keys_is_string(&qk) ? "strings" : "numbers", sm_keys_is_string(&dk) ? "strings" : "numbers");
  bool wide = d.n >= INT_MAX;
  SEXP out = PROTECT(Rf_allocVector(wide ? REALSXP : INTSXP, (R_xlen_t)q.n));
  sm_places to = {wide ? SM_PLACE_F8 : SM_PLACE_I4, wide ? (void *)REAL(out) : (void *)INTEGER(out)};
  sm_stop stop;
  sm_work work = r_kernel_work(&stop, np, d.fragile || q.fragile);
  r_kernel_check(sm_search(&dk, &qk, Rf_asLogical(right) == TRUE, to, &work), "searchsorted");
  vmaxset(top);
  UNPROTECT(1);
  return out;
}
