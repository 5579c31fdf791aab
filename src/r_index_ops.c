/* r_index_ops.c: operators on numbers that lie in a mapped file, and tests such as is.na(), a stretch at a time.
 *
 * An operator of R wants a vector in memory, and a copy of the whole file would cost more than the operator. So R's own operator runs on
 * one stretch after the other, and the values are R's own. It gets a stretch as the value of a call, to which nothing else refers, and so
 * writes its result over it: no memory is touched but the result and two small buffers.
 */
#include <string.h>

#include "mem_heap.h"
#include "r_index.h"
#include "r_util.h"
#include "r_util_vector.h"

#define STRETCH 16384 /* elements: both buffers stay in the cache */
#define LARGE 131072  /* elements from which this pays */

typedef struct {
  SEXP x;
  const r_array *a; /* NULL: an ordinary vector, of length 1 or n */
  SEXPTYPE type;
  bool whole;  /* of n elements */
  SEXP buffer; /* the stretch, where it is */
} operand;

typedef struct {
  operand of[2];
  int64_t n, from;
} stretches;

/* Numbers with no other attributes than dim, dimnames and names? Those of i8 are left out, since they may be rounded and then R warns. */
static bool array_fits(SEXP x, const r_array *a) {
  SEXP meta = r_array_meta(x);
  if (r_list_get(meta, "class") != R_NilValue || a->dtype.code == SM_I8) return false;
  sm_rtype t = sm_rtype_of(a->dtype);
  return t == SM_R_DBL || t == SM_R_INT || t == SM_R_LGL;
}

static bool vector_fits(SEXP x, int64_t n) {
  bool number = TYPEOF(x) == REALSXP || TYPEOF(x) == INTSXP || TYPEOF(x) == LGLSXP;
  return number && !Rf_isObject(x) && Rf_length(Rf_getAttrib(x, R_NamesSymbol)) == 0 && Rf_getAttrib(x, R_DimSymbol) == R_NilValue &&
         (XLENGTH(x) == 1 || XLENGTH(x) == n);
}

/* The second of two arrays adds no attributes to the first one's. */
static bool adds_nothing(SEXP x, const r_array *a, const r_array *first) {
  if (r_array_meta(x) != R_NilValue || a->length != first->length) return false;
  return a->vector || (a->ndim == first->ndim && !first->vector && memcmp(a->dim, first->dim, (size_t)a->ndim * sizeof *a->dim) == 0);
}

static bool look(stretches *s, int nop, SEXP *first) {
  const r_array *lead = NULL;
  bool fragile = false;
  for (int k = 0; k < nop; k++) {
    operand *o = &s->of[k];
    o->a = r_array_is(o->x) ? r_array_get(o->x, "x") : NULL;
    if (!o->a) continue;
    if (!array_fits(o->x, o->a) || (lead && o->x != *first && !adds_nothing(o->x, o->a, lead))) return false;
    if (!lead) lead = o->a, *first = o->x;
    fragile = fragile || r_array_fragile(o->a);
  }
  if (!lead || (nop == 2 && !fragile) || lead->length < LARGE) return false; /* arithmetic on memory needs no stretches */
  s->n = lead->length;
  for (int k = 0; k < nop; k++) {
    operand *o = &s->of[k];
    if (!o->a && !vector_fits(o->x, s->n)) return false;
    o->type = o->a ? r_sexp_type(sm_rtype_of(o->a->dtype)) : (SEXPTYPE)TYPEOF(o->x);
    o->whole = o->a || XLENGTH(o->x) > 1;
  }
  return true;
}

typedef struct {
  const operand *o;
  int64_t from;
} read_job;

static void run_read(void *ctx) {
  read_job *j = ctx;
  const r_array *a = j->o->a;
  sm_convert_read(a->dtype, a->data + (size_t)j->from * a->dtype.itemsize, XLENGTH(j->o->buffer), sm_rtype_of(a->dtype),
                  r_vector_ptr(j->o->buffer));
}

static void read_stretch(const operand *o, int64_t from) {
  R_xlen_t n = XLENGTH(o->buffer);
  if (o->a) {
    read_job job = {o, from};
    r_array_access(o->a, run_read, &job);
  } else if (o->type == REALSXP) {
    REAL_GET_REGION(o->x, (R_xlen_t)from, n, REAL(o->buffer));
  } else if (o->type == INTSXP) {
    INTEGER_GET_REGION(o->x, (R_xlen_t)from, n, INTEGER(o->buffer));
  } else {
    LOGICAL_GET_REGION(o->x, (R_xlen_t)from, n, LOGICAL(o->buffer));
  }
}

/* What an operand of the call below is: the stretch of operand k. */
SEXP ffi_index_stretch(SEXP state, SEXP k) {
  const stretches *s = R_ExternalPtrAddr(state);
  const operand *o = &s->of[Rf_asInteger(k)];
  read_stretch(o, s->from);
  return o->buffer;
}

/* fun(operand) or fun(operand, operand), where each stretch is fetched by a call. */
static SEXP call_of(SEXP fun, const stretches *s, int nop, SEXP state) {
  SEXP args = R_NilValue;
  for (int k = nop - 1; k >= 0; k--) {
    PROTECT(args);
    SEXP which = PROTECT(Rf_ScalarInteger(k));
    SEXP arg = s->of[k].whole ? Rf_lang3(Rf_install("stretch_of"), state, which) : s->of[k].x;
    PROTECT(arg);
    args = Rf_cons(arg, args);
    UNPROTECT(3);
  }
  PROTECT(args);
  SEXP call = Rf_lcons(Rf_installTrChar(STRING_ELT(fun, 0)), args);
  UNPROTECT(1);
  return call;
}

/* One stretch after the other of n elements; the result's attributes are those of the array `first`. */
static SEXP run(SEXP fun, stretches *s, int nop, SEXP first) {
  PROTECT_INDEX at[2];
  for (int k = 0; k < 2; k++) PROTECT_WITH_INDEX(s->of[k].buffer = R_NilValue, &at[k]);
  SEXP state = PROTECT(R_MakeExternalPtr(s, R_NilValue, R_NilValue)), ans = R_NilValue, call = R_NilValue;
  PROTECT_INDEX ans_at, call_at;
  PROTECT_WITH_INDEX(ans, &ans_at);
  PROTECT_WITH_INDEX(call, &call_at);
  for (int64_t size = 0; s->from < s->n; s->from += size) {
    int64_t n = s->n - s->from < STRETCH ? s->n - s->from : STRETCH;
    for (int k = 0; k < nop && n != size; k++)
      if (s->of[k].whole) REPROTECT(s->of[k].buffer = Rf_allocVector(s->of[k].type, (R_xlen_t)n), at[k]);
    if (n != size) REPROTECT(call = call_of(fun, s, nop, state), call_at);
    size = n;
    SEXP part = PROTECT(r_call_in_namespace(call));
    if (ans == R_NilValue) {
      REPROTECT(ans = Rf_allocVector(TYPEOF(part), (R_xlen_t)s->n), ans_at);
      sm_heap_want_huge(r_vector_ptr(ans), (size_t)s->n * r_vector_itemsize(TYPEOF(ans)));
    }
    size_t itemsize = r_vector_itemsize(TYPEOF(ans));
    memcpy((uint8_t *)r_vector_ptr(ans) + (size_t)s->from * itemsize, r_vector_ptr_ro(part), (size_t)n * itemsize);
    UNPROTECT(1);
    R_CheckUserInterrupt();
  }
  SEXP from = PROTECT(Rf_ScalarReal(0)), like = PROTECT(ffi_view_new(first, from, R_NilValue));
  SHALLOW_DUPLICATE_ATTRIB(ans, like);
  R_ClearExternalPtr(state);
  UNPROTECT(7);
  return ans;
}

/* fun of one or two operands, or NULL where R is to do it at once, as of what may warn: %% and %/%, and + - * of integers. */
SEXP ffi_index_by_stretches(SEXP fun, SEXP operands) {
  stretches s = {.n = 0};
  int nop = (int)XLENGTH(operands);
  for (int k = 0; k < nop; k++) s.of[k].x = VECTOR_ELT(operands, k);
  SEXP first = R_NilValue;
  char op = CHAR(STRING_ELT(fun, 0))[0];
  if (op == '%' || !look(&s, nop, &first)) return R_NilValue;
  bool whole = s.of[0].type != REALSXP && s.of[1].type != REALSXP;
  if (whole && strchr("+-*", op)) return R_NilValue;
  SEXP ans = PROTECT(run(fun, &s, nop, first));
  for (int k = 0; k < nop && strchr("+-*/^", op); k++) /* arithmetic keeps what an ordinary vector has, comparison does not */
    if (!s.of[k].a && s.of[k].whole) Rf_copyMostAttrib(s.of[k].x, ans);
  UNPROTECT(1);
  return ans;
}
