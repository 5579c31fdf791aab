/* r_array_class.c: what R asks of a handle: the methods of its ALTREP class. */
#include "mem_descriptor.h"
#include "r_array_handle.h"
#include "r_util.h"

static R_xlen_t handle_length(SEXP x) {
  SEXP ptr = R_altrep_data1(x), tag = R_ExternalPtrTag(ptr);
  const r_array *a = R_ExternalPtrAddr(ptr);
  if (a) return (R_xlen_t)a->length;
  sm_descriptor d;
  int64_t dim[SM_DESCRIPTOR_NDIM];
  size_t nbytes;
  sm_descriptor_file file;
  if (!r_array_ptr_is(ptr) || sm_descriptor_read(RAW_RO(tag), (size_t)XLENGTH(tag), &d, dim, &file, &nbytes) < 0 || d.itemsize == 0)
    return 0;
  return (R_xlen_t)(nbytes / d.itemsize);
}

/* R puts the attributes on the copy. */
static SEXP handle_duplicate(SEXP x, Rboolean deep) {
  (void)deep;
  return R_new_altrep(r_array_class, R_altrep_data1(x), R_NilValue);
}

/* C code that asks for elements takes the handle for a raw vector: the error says what to hand over instead. */
static Rbyte handle_elt(SEXP x, R_xlen_t i) {
  (void)x, (void)i;
  r_abort_call(Rf_lang1(Rf_install("abort_elements")));
}

static SEXP handle_extract(SEXP x, SEXP indices, SEXP call) {
  (void)x, (void)indices, (void)call;
  r_abort_call(Rf_lang1(Rf_install("abort_elements")));
}

/* The same, but for identical() and for R's deparsing of calls that hold a handle: these must not fail. */
static void *handle_dataptr(SEXP x, Rboolean writable) {
  (void)writable;
  SEXP frame = PROTECT(r_call_in_namespace(Rf_lang1(Rf_install("elements_asked"))));
  const void *bytes = frame == R_NilValue ? r_array_zeros((size_t)XLENGTH(x)) : r_array_identical(x, frame);
  UNPROTECT(1);
  return (void *)bytes;
}

static const void *handle_dataptr_or_null(SEXP x) {
  (void)x;
  return NULL;
}

static Rboolean handle_inspect(SEXP x, int pre, int deep, int pvec, void (*subtree)(SEXP, int, int, int)) {
  (void)pre, (void)deep, (void)pvec, (void)subtree;
  const r_array *a = R_ExternalPtrAddr(R_altrep_data1(x));
  Rprintf(" shared_array%s\n", a ? "" : " (not attached)");
  return TRUE;
}

/* Values where the user saves (R/saved.R); else the pointer, of which R writes the tag and what it protects. */
static SEXP handle_state(SEXP x) {
  SEXP state = r_call1("handle_state", x);
  return state == R_NilValue ? R_altrep_data1(x) : state;
}

static SEXP handle_unserialize(SEXP cls, SEXP state) {
  (void)cls;
  if (TYPEOF(state) == VECSXP) return r_call1("handle_from_state", state);
  if (r_array_ptr_is(state)) return r_array_handle(state);
  return r_array_handle(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue)); /* its use says that the descriptor is damaged */
}

void r_array_register(DllInfo *dll) {
  r_array_class = R_make_altraw_class("shared_array", "sharedmem", dll);
  R_set_altrep_Length_method(r_array_class, handle_length);
  R_set_altrep_Duplicate_method(r_array_class, handle_duplicate);
  R_set_altrep_Inspect_method(r_array_class, handle_inspect);
  R_set_altrep_Serialized_state_method(r_array_class, handle_state);
  R_set_altrep_Unserialize_method(r_array_class, handle_unserialize);
  R_set_altvec_Dataptr_method(r_array_class, handle_dataptr);
  R_set_altvec_Dataptr_or_null_method(r_array_class, handle_dataptr_or_null);
  R_set_altvec_Extract_subset_method(r_array_class, handle_extract);
  R_set_altraw_Elt_method(r_array_class, handle_elt);
}
