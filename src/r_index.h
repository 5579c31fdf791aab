/* r_index.h: R's index vectors and values against a shared array; shared by the r_index_*.c files. */
#ifndef R_INDEX_H
#define R_INDEX_H

#include "arr_select.h"
#include "r_array_handle.h"

/* One resolved set of subscripts. */
typedef struct {
  int nsub; /* 1: over all elements; else one an extent */
  sm_axis axis[SM_MAX_DIM];
  bool by_matrix; /* one subscript that is a matrix with a column an extent */
  SEXP resolved;  /* list of nsub: the subscripts, character ones as positions; R_NilValue if one subscript stays as it is */
} r_subscripts;

/* Resolve one subscript over all elements. i may be anything a user writes; R_MissingArg and symbols stand for
 * all. Raises sharedmem_index_error. The result is valid until vmaxset(). Returns an object to protect. */
SEXP r_subscripts_one(SEXP x, const r_array *a, SEXP i, bool writing, r_subscripts *out);

/* The same for a list of one subscript an extent. */
SEXP r_subscripts_many(SEXP x, const r_array *a, SEXP indices, r_subscripts *out);

/* An R vector of the selected elements, without attributes. wide: i8 as the bits of integer64. */
SEXP r_select_read(const r_array *a, const r_subscripts *s, bool wide);

/* All elements, without attributes. */
SEXP r_read_all(const r_array *a, bool wide);

/* Elements from .. from + n - 1, without attributes. */
SEXP r_read_run(const r_array *a, int64_t from, int64_t n, bool wide);

/* True if the handle holds integer64 values. */
bool r_meta_is_integer64(SEXP meta);

/* The type of the R vector that holds values of t. */
SEXPTYPE r_sexp_type(sm_rtype t);

/* Values of an assignment, checked against the dtype. */
typedef struct {
  sm_source source;
  SEXP value; /* the R vector behind it */
  sm_dtype dtype;
  sm_rtype type;
  const void *data;     /* NULL for text */
  const r_array *other; /* where the values are another array's items */
} r_values;

/* The array behind a view that still shows its memory, and the first element it shows; NULL for any other object. */
const r_array *r_view_array(SEXP v, int64_t *from);

/* An ordinary vector with the elements of an ALTREP vector of numbers or logical values, class and dim kept: what others may
 * write meanwhile is read once. Any other object as it is. */
SEXP r_private_vector(SEXP v);

/* Turn `value` into a source for x: classes, types and shared arrays. Does not look at single values. Raises
 * sharedmem_value_error for a type that does not go into the dtype. Returns an object to protect. */
SEXP r_values_take(SEXP x, const r_array *a, SEXP value, r_values *out);

/* Raise sharedmem_value_error if one of the first n values does not fit. */
void r_values_check(const r_array *a, SEXP meta, const r_values *v, int64_t n);

/* The element that x[i] names, 0-based, where that can be seen at a glance: x's memory may be touched directly, and i is one positive
 * number, or a symbol (all) for an array of one. Else NULL. The path of every scalar loop. *ptr: the pointer behind x. */
static inline const r_array *r_index_fast(SEXP x, SEXP i, SEXP *ptr, int64_t *at) {
  *ptr = r_array_ptr(x);
  if (!*ptr || Rf_isObject(i)) return NULL;
  const r_array *a = R_ExternalPtrAddr(*ptr);
  if (!a || !a->fast) return NULL;
  double v = 0;
  if (TYPEOF(i) == INTSXP && XLENGTH(i) == 1) v = INTEGER_ELT(i, 0);
  else if (TYPEOF(i) == REALSXP && XLENGTH(i) == 1) v = REAL_ELT(i, 0);
  else if (TYPEOF(i) == SYMSXP && a->length == 1 && (a->vector || a->ndim == 0)) v = 1;
  if (!(v >= 1 && v < (double)a->length + 1)) return NULL;
  *at = (int64_t)v - 1;
  return a;
}

/* Does an assignment in this frame work on the memory itself? */
bool r_index_writes(SEXP frame);

/* Raise the classed error with its fields. position, axis: 1-based, axis 0 for none. */
void r_abort_index(const char *message, double position, SEXP index, double extent, int axis);
void r_abort_value(const char *message, double position, SEXP value, sm_dtype d);

/* Entry points that other files of the glue call too. */
SEXP ffi_array_dim(SEXP x);
SEXP ffi_index_get_all(SEXP x, SEXP bare, SEXP wide);
SEXP ffi_view_new(SEXP x, SEXP from, SEXP n);

#endif
