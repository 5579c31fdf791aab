/* r_index_view.c: read-only ALTREP vectors over the memory of a shared array.
 *
 * data1   external pointer to a view_info; its protected slot holds the handle, which keeps the memory
 * data2   R_NilValue, or an ordinary vector with a copy of the values, used for everything from then on
 *
 * A view never hands out the shared memory for writing. Where the dtype's bytes are R's, a pointer that might be
 * written to (REAL() and its like ask for no other) leads into a private mapping of the same pages, which
 * becomes a copy page by page as it is written; where there can be no such mapping, into a copy. Where the bytes are not R's, any pointer
 * leads into a copy. Text is copied as a whole at first access, since R takes it for granted that a string stays alive and in place while
 * its vector does.
 */
#include <stdlib.h>
#include <string.h>

#include "mem_private.h"
#include "r_index.h"
#include "r_array_handle.h"
#include "r_util.h"
#include "r_util_vector.h"

#include <R_ext/Rdynload.h>

typedef struct {
  const uint8_t *data; /* the segment's, or the private mapping once there is one; NULL if it came by a stream and led nowhere */
  sm_private own;
  int64_t n;
  sm_dtype dtype;
  sm_rtype type;
  bool direct;          /* the bytes are an R vector's, aligned, and stay there */
  bool fragile;         /* they may vanish (a file): read under the guard, as a whole at first access */
  uint64_t asked_ns;    /* when something that does not sort last asked for the address, */
  const void *asked_at; /* and how deep in the stack */
} view_info;

static r_vector_classes views;

static view_info *info_of(SEXP x) { return R_ExternalPtrAddr(R_altrep_data1(x)); }

static void info_finalize(SEXP p) {
  view_info *v = R_ExternalPtrAddr(p);
  if (v) sm_private_unmap(&v->own);
  free(v);
  R_ClearExternalPtr(p);
}

static void *copy_data(SEXP v) { return TYPEOF(v) == STRSXP ? (void *)(uintptr_t)STRING_PTR_RO(v) : r_vector_ptr(v); }

typedef struct {
  const view_info *v;
  const uint8_t *from;
  int64_t n;
  void *to;
} convert_job;

static void run_convert(void *ctx) {
  convert_job *j = ctx;
  sm_convert_read(j->v->dtype, j->from, j->n, j->v->type, j->to);
}

/* A private vector of n values from `from` on. */
static SEXP read_part(SEXP x, int64_t from, int64_t n) {
  const view_info *v = info_of(x);
  const r_array *a = r_array_get(R_ExternalPtrProtected(R_altrep_data1(x)), "x");
  if (!v->data) r_abort("sharedmem_unattached_error", "shared array is not attached: its memory was not there when this view of it came");
  const uint8_t *p = v->data + (size_t)from * v->dtype.itemsize;
  if (v->type == SM_R_STR) return r_read_run(a, (p - a->data) / v->dtype.itemsize, n, false);
  SEXP ans = PROTECT(Rf_allocVector(TYPEOF(x), (R_xlen_t)n));
  if (n > 0) {
    convert_job job = {v, p, n, copy_data(ans)};
    r_array_access(a, run_convert, &job);
  }
  UNPROTECT(1);
  return ans;
}

static SEXP own_copy(SEXP x) {
  SEXP own = R_altrep_data2(x);
  if (own == R_NilValue) {
    own = read_part(x, 0, info_of(x)->n);
    R_set_altrep_data2(x, own);
    info_of(x)->direct = false;
  }
  return own;
}

static R_xlen_t view_length(SEXP x) { return (R_xlen_t)info_of(x)->n; }

static const void *view_dataptr_or_null(SEXP x) {
  SEXP own = R_altrep_data2(x);
  if (own != R_NilValue) return copy_data(own);
  const view_info *v = info_of(x);
  return v->direct ? v->data : NULL;
}

/* Take a private mapping of the pages; false where a copy serves better. */
static bool make_private(SEXP x) {
  view_info *v = info_of(x);
  if (v->own.base) return true;
  size_t nbytes = (size_t)v->n * v->dtype.itemsize;
  if (!v->direct) return false;
  const r_array *a = r_array_get(R_ExternalPtrProtected(R_altrep_data1(x)), "x");
  void *at;
  if (sm_private_map(a->seg, v->data, nbytes, &v->own, &at) < 0) return false;
  v->data = at;
  return true;
}

/* R's radix sort reads the values once for each of their bytes and writes out of bounds if another process has changed them
 * meanwhile. So order() and its like get a copy, the same one throughout a call: `frame`. The tag of the pointer keeps both. */
static void *sorted_copy(SEXP x, SEXP frame) {
  SEXP ptr = R_altrep_data1(x), kept = R_ExternalPtrTag(ptr);
  if (TYPEOF(kept) != VECSXP || VECTOR_ELT(kept, 0) != frame) {
    kept = PROTECT(Rf_allocVector(VECSXP, 2));
    SET_VECTOR_ELT(kept, 1, read_part(x, 0, info_of(x)->n));
    SET_VECTOR_ELT(kept, 0, frame);
    R_SetExternalPtrTag(ptr, kept);
    UNPROTECT(1);
  }
  return copy_data(VECTOR_ELT(kept, 1));
}

/* C code may ask for the address once an element, and the question who asks takes microseconds. What asks again from the same depth within
 * ASKED_NS is the same loop, because order() evaluates R code for longer than that before it asks. */
#define ASKED_NS 1000

static void *copy_if_sorted(SEXP x) {
  view_info *v = info_of(x);
  const void *place = __builtin_frame_address(0);
  uint64_t now = sm_clock_ns();
  if (place == v->asked_at && now - v->asked_ns < ASKED_NS) {
    v->asked_ns = now;
    return NULL;
  }
  SEXP frame = PROTECT(r_call1("sorting_frame", R_NilValue));
  void *copy = frame == R_NilValue ? NULL : sorted_copy(x, frame);
  v->asked_at = copy ? NULL : place;
  v->asked_ns = sm_clock_ns();
  UNPROTECT(1);
  return copy;
}

static void *view_dataptr(SEXP x, Rboolean writable) {
  bool live = R_altrep_data2(x) == R_NilValue && info_of(x)->direct; /* a private mapping follows, too, where nothing was written */
  void *copy = live && (TYPEOF(x) == REALSXP || TYPEOF(x) == INTSXP) ? copy_if_sorted(x) : NULL;
  if (copy) return copy;
  if (live && (!writable || make_private(x))) return (void *)info_of(x)->data;
  return copy_data(own_copy(x));
}

static SEXP view_duplicate(SEXP x, Rboolean deep) {
  (void)deep;
  SEXP own = R_altrep_data2(x);
  if (own == R_NilValue) return read_part(x, 0, info_of(x)->n);
  SEXP ans = PROTECT(Rf_duplicate(own));
  UNPROTECT(1);
  return ans;
}

static Rboolean view_inspect(SEXP x, int pre, int deep, int pvec, void (*subtree)(SEXP, int, int, int)) {
  (void)pre, (void)deep, (void)pvec, (void)subtree;
  char code[16];
  sm_dtype_format(info_of(x)->dtype, code);
  Rprintf(" shared_view %s%s\n", code, R_altrep_data2(x) != R_NilValue ? " (copied)" : info_of(x)->own.base ? " (private)" : "");
  return TRUE;
}

/* One value, or a stretch: from the copy where there is one. */
#define ELT(name, T, get)                                                                 \
  static T name(SEXP x, R_xlen_t i) {                                                     \
    if (info_of(x)->direct) return ((const T *)(const void *)info_of(x)->data)[i];        \
    SEXP own = R_altrep_data2(x);                                                         \
    if (own == R_NilValue && info_of(x)->fragile) own = own_copy(x);                      \
    if (own != R_NilValue) return get(own, i);                                            \
    const view_info *v = info_of(x);                                                      \
    T out;                                                                                \
    sm_convert_read(v->dtype, v->data + (size_t)i * v->dtype.itemsize, 1, v->type, &out); \
    return out;                                                                           \
  }

#define REGION(name, T, get)                                                             \
  static R_xlen_t name(SEXP x, R_xlen_t i, R_xlen_t n, T *buf) {                         \
    SEXP own = R_altrep_data2(x);                                                        \
    if (own == R_NilValue && info_of(x)->fragile) own = own_copy(x);                     \
    if (own != R_NilValue) return get(own, i, n, buf);                                   \
    const view_info *v = info_of(x);                                                     \
    if (i < 0 || i >= v->n) return 0;                                                    \
    if (n > v->n - i) n = (R_xlen_t)(v->n - i);                                          \
    sm_convert_read(v->dtype, v->data + (size_t)i * v->dtype.itemsize, n, v->type, buf); \
    return n;                                                                            \
  }

ELT(int_elt, int, INTEGER_ELT)
ELT(lgl_elt, int, LOGICAL_ELT)
ELT(real_elt, double, REAL_ELT)
ELT(cplx_elt, Rcomplex, COMPLEX_ELT)
ELT(raw_elt, Rbyte, RAW_ELT)
REGION(int_region, int, INTEGER_GET_REGION)
REGION(lgl_region, int, LOGICAL_GET_REGION)
REGION(real_region, double, REAL_GET_REGION)
REGION(cplx_region, Rcomplex, COMPLEX_GET_REGION)
REGION(raw_region, Rbyte, RAW_GET_REGION)

static SEXP str_elt(SEXP x, R_xlen_t i) { return STRING_ELT(own_copy(x), i); }

static void str_set_elt(SEXP x, R_xlen_t i, SEXP v) { SET_STRING_ELT(own_copy(x), i, v); }

static SEXP view_state(SEXP x);
static SEXP view_unserialize(SEXP cls, SEXP state);

static void common_methods(R_altrep_class_t c) {
  R_set_altrep_Serialized_state_method(c, view_state);
  R_set_altrep_Unserialize_method(c, view_unserialize);
  R_set_altrep_Length_method(c, view_length);
  R_set_altrep_Duplicate_method(c, view_duplicate);
  R_set_altrep_Inspect_method(c, view_inspect);
  R_set_altvec_Dataptr_method(c, view_dataptr);
  R_set_altvec_Dataptr_or_null_method(c, view_dataptr_or_null);
}

void r_view_register(DllInfo *dll) {
  views = r_vector_classes_make("shared_view", dll, common_methods);
  R_set_altinteger_Elt_method(views.intg, int_elt);
  R_set_altinteger_Get_region_method(views.intg, int_region);
  R_set_altlogical_Elt_method(views.lgl, lgl_elt);
  R_set_altlogical_Get_region_method(views.lgl, lgl_region);
  R_set_altreal_Elt_method(views.real, real_elt);
  R_set_altreal_Get_region_method(views.real, real_region);
  R_set_altcomplex_Elt_method(views.cplx, cplx_elt);
  R_set_altcomplex_Get_region_method(views.cplx, cplx_region);
  R_set_altraw_Elt_method(views.raw, raw_elt);
  R_set_altraw_Get_region_method(views.raw, raw_region);
  R_set_altstring_Elt_method(views.str, str_elt);
  R_set_altstring_Set_elt_method(views.str, str_set_elt);
}

const r_array *r_view_array(SEXP v, int64_t *from) {
  if (!ALTREP(v) || TYPEOF(v) == STRSXP || !R_altrep_inherits(v, r_vector_class(&views, TYPEOF(v)))) return NULL;
  if (R_altrep_data2(v) != R_NilValue || info_of(v)->own.base || !info_of(v)->data) return NULL;
  const r_array *a = r_array_get(R_ExternalPtrProtected(R_altrep_data1(v)), "x");
  *from = (info_of(v)->data - a->data) / a->dtype.itemsize;
  return a;
}

static bool aligned(const void *p, sm_rtype t) {
  size_t need = t == SM_R_CPLX ? 8 : sm_rtype_size(t);
  return need != 0 && (uintptr_t)p % need == 0;
}

/* A pointer with an empty view_info. */
static SEXP info_make(SEXP x) {
  SEXP p = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, x));
  R_RegisterCFinalizerEx(p, info_finalize, FALSE);
  view_info *v = calloc(1, sizeof *v);
  if (!v) r_abort("sharedmem_memory_error", "cannot allocate a view");
  R_SetExternalPtrAddr(p, v);
  UNPROTECT(1);
  return p;
}

static SEXP view_make(SEXP x, const r_array *a, int64_t from, int64_t n) {
  SEXP meta = r_array_meta(x);
  if (r_meta_is_integer64(meta)) r_call1("load_bit64", r_list_get(meta, "class"));
  SEXP p = PROTECT(info_make(x));
  view_info *v = R_ExternalPtrAddr(p);
  v->data = a->data + (size_t)from * a->dtype.itemsize;
  v->n = n;
  v->dtype = a->dtype;
  v->type = r_meta_is_integer64(meta) && a->dtype.code == SM_I8 ? SM_R_I64 : sm_rtype_of(a->dtype);
  v->fragile = r_array_fragile(a);
  v->direct = !v->fragile && n > 0 && sm_rtype_same(a->dtype, v->type) && aligned(v->data, v->type);
  SEXP ans = R_new_altrep(r_vector_class(&views, r_sexp_type(v->type)), p, R_NilValue);
  UNPROTECT(1);
  return ans;
}

/* In a stream that leads to another process (R/saved.R): the handle and the stretch, else, and once it has a copy of its own, the values.
 */
static SEXP view_state(SEXP x) {
  int64_t from;
  const r_array *a = r_view_array(x, &from);
  if (!a || r_array_in_result || !Rf_asLogical(r_call1("view_goes_as_handle", R_NilValue))) return NULL;
  SEXP state = PROTECT(Rf_allocVector(VECSXP, 2));
  SET_VECTOR_ELT(state, 0, R_ExternalPtrProtected(R_altrep_data1(x)));
  SEXP stretch = SET_VECTOR_ELT(state, 1, Rf_allocVector(REALSXP, 2));
  REAL(stretch)[0] = (double)from;
  REAL(stretch)[1] = (double)info_of(x)->n;
  UNPROTECT(1);
  return state;
}

/* The view of such a state, which is input; where it leads nowhere, a vector whose every use says why. */
static SEXP view_unserialize(SEXP cls, SEXP state) {
  bool good =
      TYPEOF(state) == VECSXP && XLENGTH(state) == 2 && TYPEOF(VECTOR_ELT(state, 1)) == REALSXP && XLENGTH(VECTOR_ELT(state, 1)) == 2;
  SEXP x = good ? VECTOR_ELT(state, 0) : R_NilValue;
  SEXP ans = PROTECT(good ? r_call2("view_from_state", x, VECTOR_ELT(state, 1)) : R_NilValue);
  if (ans == R_NilValue || !ALTREP(ans) || R_SEXP(r_vector_class(&views, TYPEOF(ans))) != cls) {
    SEXP p = PROTECT(info_make(good && r_array_is(x) ? x : r_array_blank()));
    double n = good ? REAL(VECTOR_ELT(state, 1))[1] : 0;
    R_altrep_class_t own = {.ptr = cls};
    *(view_info *)R_ExternalPtrAddr(p) = (view_info){.n = n > 0 && n < 4503599627370496.0 ? (int64_t)n : 0, .fragile = true};
    ans = R_new_altrep(own, p, R_NilValue);
    UNPROTECT(1);
  }
  UNPROTECT(1);
  return ans;
}

/* The kept attributes, as x[] has them; of a part only names and class. */
static void set_attributes(SEXP ans, SEXP x, SEXP from, SEXP n) {
  SEXP meta = r_array_meta(x), dim = PROTECT(ffi_array_dim(x));
  bool whole = n == R_NilValue;
  if (whole && TYPEOF(dim) == INTSXP) Rf_setAttrib(ans, R_DimSymbol, dim);
  UNPROTECT(1);
  if (meta == R_NilValue) return;
  SEXP names = PROTECT(Rf_getAttrib(meta, R_NamesSymbol));
  for (R_xlen_t k = 0; k < XLENGTH(meta); k++) {
    SEXP name = Rf_installTrChar(STRING_ELT(names, k)), value = VECTOR_ELT(meta, k);
    if (!whole && name == R_DimNamesSymbol) continue;
    if (!whole && name == R_NamesSymbol) value = r_call3("subset_range", value, from, n);
    PROTECT(value);
    Rf_setAttrib(ans, name, value);
    UNPROTECT(1);
  }
  UNPROTECT(1);
}

typedef struct {
  const r_array *a;
  int64_t from, n;
  bool lossy;
} lossy_job;

static void run_lossy(void *ctx) {
  lossy_job *j = ctx;
  j->lossy = sm_convert_lossy(j->a->data + (size_t)j->from * 8, j->n);
}

/* A view converts an i8 element by element, and cannot warn later. */
static void warn_lossy(const r_array *a, int64_t from, int64_t n) {
  lossy_job j = {a, from, 0, false};
  for (int64_t end = from + n; j.from < end && !j.lossy; j.from += j.n) {
    j.n = end - j.from < 1 << 20 ? end - j.from : 1 << 20;
    r_array_access(a, run_lossy, &j);
    R_CheckUserInterrupt();
  }
  if (j.lossy) r_call1("warn_lossy", R_NilValue);
}

/* A view of elements from .. from + n - 1 (0-based); with all attributes if n is NULL. */
SEXP ffi_view_new(SEXP x, SEXP from, SEXP n) {
  const r_array *a = r_array_get(x, "x");
  int64_t at = (int64_t)Rf_asReal(from), count = n == R_NilValue ? a->length : (int64_t)Rf_asReal(n);
  if (at < 0 || count < 0 || at > a->length || count > a->length - at)
    r_abort_argument("from", "a stretch past the end", "within the array");
  SEXP ans = PROTECT(view_make(x, a, at, count));
  if (a->dtype.code == SM_I8 && info_of(ans)->type == SM_R_DBL) warn_lossy(a, at, count);
  set_attributes(ans, x, from, n);
  MARK_NOT_MUTABLE(ans);
  UNPROTECT(1);
  return ans;
}

/* The bytes of an array as a raw vector, for a stream: without a copy, as far as views go. */
SEXP ffi_view_bytes(SEXP x) {
  r_array bytes = *r_array_get(x, "x");
  bytes.length *= bytes.dtype.itemsize;
  bytes.dtype = (sm_dtype){SM_U1, 1, 1};
  return view_make(x, &bytes, 0, bytes.length);
}

/* x's values for a function that only reads them and does not give them back: a view where it costs no copy and there are more bytes than
 * `few`. */
SEXP ffi_array_plain(SEXP x, SEXP few_bytes) {
  if (!r_array_is(x)) return r_call1("ordinary", x);
  const r_array *a = r_array_get(x, "x");
  SEXP no = PROTECT(Rf_ScalarLogical(FALSE));
  bool few = (double)a->length * (double)a->dtype.itemsize <= Rf_asReal(few_bytes);
  SEXP ans = PROTECT(few || r_array_fragile(a) ? ffi_index_get_all(x, no, no) : view_make(x, a, 0, a->length));
  if (!few && !r_array_fragile(a)) {
    if (info_of(ans)->direct) set_attributes(ans, x, R_NilValue, R_NilValue);
    else ans = ffi_index_get_all(x, no, no);
  }
  MARK_NOT_MUTABLE(ans);
  UNPROTECT(2);
  return ans;
}
