/* r_array_handle.c: handles that come by serialize() or leave for another process. See r_array.h.
 *
 * R keeps an external pointer's tag and protected value and loses its address. The tag, a raw
 * vector, is a sm_descriptor; everything in it, and in the attributes beside it, is input.
 */
#include "r_array_handle.h"

#include <stdlib.h>
#include <string.h>

#include "mem_descriptor.h"
#include "r_memory.h"
#include "r_util.h"

static int dtype_from(const sm_descriptor *d, sm_dtype *dtype) {
  *dtype = (sm_dtype){d->code, d->raw, d->itemsize};
  return sm_dtype_valid(*dtype) ? 0 : SM_EFORMAT;
}

/* The R attributes of a handle from outside: a list of known names, or nothing. */
static bool meta_valid(SEXP meta) {
  static const char *const known[] = {"names", "dimnames", "class", "levels", "units", "tzone"};
  if (meta == R_NilValue) return true;
  if (TYPEOF(meta) != VECSXP) return false;
  SEXP names = Rf_getAttrib(meta, R_NamesSymbol);
  if (TYPEOF(names) != STRSXP || XLENGTH(names) != XLENGTH(meta)) return false;
  for (R_xlen_t i = 0; i < XLENGTH(meta); i++) {
    size_t k = 0, n = sizeof known / sizeof known[0];
    while (k < n && strcmp(CHAR(STRING_ELT(names, i)), known[k]) != 0) k++;
    if (k == n || (k != 1 && TYPEOF(VECTOR_ELT(meta, i)) != STRSXP)) return false;
  }
  return true;
}

/* Names and dimnames fit the shape? */
static bool meta_fits(SEXP meta, int ndim, const int64_t *dim, int64_t length) {
  SEXP names = r_list_get(meta, "names"), dimnames = r_list_get(meta, "dimnames");
  if (names != R_NilValue && (TYPEOF(names) != STRSXP || XLENGTH(names) != length)) return false;
  if (dimnames == R_NilValue) return true;
  if (TYPEOF(dimnames) != VECSXP || XLENGTH(dimnames) != ndim) return false;
  for (int i = 0; i < ndim; i++) {
    SEXP d = VECTOR_ELT(dimnames, i);
    if (d != R_NilValue && (TYPEOF(d) != STRSXP || XLENGTH(d) != dim[i])) return false;
  }
  return true;
}

static r_array *attach(SEXP ptr, const char **reason) {
  SEXP tag = R_ExternalPtrTag(ptr), meta = R_ExternalPtrProtected(ptr);
  sm_descriptor d;
  sm_descriptor_file file;
  int64_t dim[SM_DESCRIPTOR_NDIM];
  size_t nbytes;
  r_array_spec spec = {.dim = dim};
  *reason = "its descriptor is damaged";
  if (!r_array_ptr_is(ptr) || sm_descriptor_read(RAW_RO(tag), (size_t)XLENGTH(tag), &d, dim, &file, &nbytes) < 0) return NULL;
  if (dtype_from(&d, &spec.dtype) < 0) return NULL;
  if (!meta_valid(meta) || !meta_fits(meta, (int)d.ndim, dim, (int64_t)(nbytes / d.itemsize))) return NULL;
  PROTECT(ptr);
  r_array_own(ptr);
  r_array *a = NULL;
  if (sm_descriptor_attach(&d, &file, nbytes, &spec.seg, &spec.block, reason) == 0) {
    spec.ndim = (int)d.ndim;
    spec.vector = d.vector != 0;
    spec.readonly = d.readonly != 0;
    spec.data = (spec.block ? spec.block->seg : spec.seg)->payload + d.offset;
    a = r_array_make(ptr, &spec);
  }
  UNPROTECT(1);
  return a;
}

static SEXP alias_ptr(const r_array *from, int ndim, const int64_t *dim, bool vector, SEXP meta) {
  int64_t length = 1;
  for (int i = 0; i < ndim; i++) length *= dim[i];
  if (length != from->length) r_abort_argument("dim", "extents of another product", "extents whose product is the length");
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, TYPEOF(meta) == VECSXP && XLENGTH(meta) > 0 ? meta : R_NilValue));
  r_array_own(ptr);
  if (from->block) sm_small_ref(from->block);
  else sm_segment_ref(from->seg);
  r_array_make(ptr, &(r_array_spec){from->dtype, ndim, dim, vector, from->readonly, from->seg, from->block, from->data});
  UNPROTECT(1);
  return ptr;
}

/* The attributes of a class that R may have set on a handle itself (attr(x, "tzone") <- "UTC"). */
#define CLASS_ATTRIBUTES 3

static SEXP class_attribute(int k) {
  static const char *const name[CLASS_ATTRIBUTES] = {"levels", "units", "tzone"};
  static SEXP symbol[CLASS_ATTRIBUTES];
  if (!symbol[k]) symbol[k] = Rf_install(name[k]);
  return symbol[k];
}

static bool class_changed(SEXP x) {
  for (int k = 0; k < CLASS_ATTRIBUTES; k++)
    if (Rf_getAttrib(x, class_attribute(k)) != R_NilValue) return r_array_meta_get(x, "class") != R_NilValue;
  return false;
}

/* `meta` with those attributes, which leave the handle. */
static SEXP adopt_class(SEXP x, SEXP meta) {
  for (int k = 0; k < CLASS_ATTRIBUTES; k++) {
    SEXP symbol = class_attribute(k), value = Rf_getAttrib(x, symbol);
    if (value == R_NilValue) continue;
    PROTECT(meta);
    PROTECT(value);
    meta = r_call3("adopted_attribute", meta, PROTECT(Rf_ScalarString(PRINTNAME(symbol))), value);
    PROTECT(meta);
    Rf_setAttrib(x, symbol, R_NilValue);
    UNPROTECT(4);
  }
  return meta;
}

/* Move dim, dimnames, names and attributes of a class that R has set on handle x itself into a pointer of its own. */
static r_array *adopt_shape(SEXP x, r_array *a) {
  SEXP dims = PROTECT(Rf_getAttrib(x, R_DimSymbol)), names = PROTECT(Rf_getAttrib(x, R_NamesSymbol));
  bool classed = class_changed(x);
  if (dims != R_NilValue || names != R_NilValue || classed) {
    int64_t dim[R_ARRAY_MAX_NDIM];
    bool shaped = TYPEOF(dims) == INTSXP && XLENGTH(dims) <= R_ARRAY_MAX_NDIM;
    int ndim = shaped ? (int)XLENGTH(dims) : a->ndim;
    for (int i = 0; i < ndim; i++) dim[i] = shaped ? INTEGER_ELT(dims, i) : a->dim[i];
    SEXP dimnames = PROTECT(Rf_getAttrib(x, R_DimNamesSymbol)), meta = r_array_meta(x);
    if (shaped || names != R_NilValue)
      meta = r_call3("adopted_meta", meta, shaped ? R_NilValue : names, shaped ? dimnames : Rf_ScalarLogical(FALSE));
    PROTECT(meta);
    if (classed) meta = adopt_class(x, meta);
    PROTECT(meta);
    SEXP ptr = PROTECT(alias_ptr(a, ndim, dim, a->vector && !shaped, meta));
    SEXP whole = R_altrep_data1(x) == r_array_ptr(x) ? ptr : r_array_handle(ptr); /* else x is R's wrapper of a handle */
    PROTECT(whole);
    Rf_setAttrib(x, R_DimSymbol, R_NilValue);
    Rf_setAttrib(x, R_NamesSymbol, R_NilValue);
    R_set_altrep_data1(x, whole);
    a = R_ExternalPtrAddr(ptr);
    UNPROTECT(5);
  }
  UNPROTECT(2);
  return a;
}

r_array *r_array_get(SEXP x, const char *arg) {
  SEXP ptr = r_array_ptr(x);
  if (!ptr) r_abort_argument_value(arg, x, "a shared array");
  r_array *a = R_ExternalPtrAddr(ptr);
  const char *reason = "its memory was released";
  if (!a) a = attach(ptr, &reason);
  bool good = a && a->magic == R_ARRAY_MAGIC;
  if (!good || (a->block && !sm_small_valid(a->block))) r_abort("sharedmem_unattached_error", "shared array is not attached: %s", reason);
  return adopt_shape(x, a);
}

SEXP r_array_alias(SEXP x, int ndim, const int64_t *dim, bool vector, SEXP meta) {
  SEXP ptr = PROTECT(alias_ptr(r_array_get(x, "x"), ndim, dim, vector, meta));
  SEXP y = PROTECT(r_array_handle(ptr));
  Rf_copyMostAttrib(x, y);
  UNPROTECT(2);
  return y;
}

int r_array_travel_fd(SEXP ptr) {
  if (!r_array_ptr_is(ptr)) return -1;
  r_array *a = R_ExternalPtrAddr(ptr);
  if (!a || !a->seg || a->seg->kind != SM_SEGMENT_MEMORY) return -1;
  if (a->block) sm_small_keep(a->block);
  return a->seg->fd;
}

/* ---- names in a stream ---- */

static SEXP hex_from(SEXP raw) {
  static const char digit[] = "0123456789abcdef";
  R_xlen_t n = XLENGTH(raw);
  const uint8_t *p = RAW_RO(raw);
  char *text = R_alloc((size_t)n * 2 + 1, 1);
  for (R_xlen_t i = 0; i < n; i++) {
    text[2 * i] = digit[p[i] >> 4];
    text[2 * i + 1] = digit[p[i] & 15];
  }
  return Rf_mkCharLenCE(text, (int)(2 * n), CE_UTF8);
}

static int nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* R_NilValue for text that is no hex. */
static SEXP hex_to(SEXP text) {
  const char *p = CHAR(text);
  R_xlen_t n = (R_xlen_t)strlen(p) / 2;
  SEXP raw = PROTECT(Rf_allocVector(RAWSXP, n));
  bool good = strlen(p) % 2 == 0;
  for (R_xlen_t i = 0; good && i < n; i++) {
    int high = nibble(p[2 * i]), low = nibble(p[2 * i + 1]);
    good = high >= 0 && low >= 0;
    RAW(raw)[i] = (Rbyte)((unsigned)high << 4 | (unsigned)low);
  }
  UNPROTECT(1);
  return good ? raw : R_NilValue;
}

SEXP r_array_name(SEXP ptr) {
  if (!r_array_ptr_is(ptr) || !R_ExternalPtrAddr(ptr)) return R_NilValue;
  const void *top = vmaxget();
  SEXP meta = R_ExternalPtrProtected(ptr);
  SEXP name = PROTECT(Rf_allocVector(STRSXP, 2));
  SET_STRING_ELT(name, 0, hex_from(R_ExternalPtrTag(ptr)));
  SET_STRING_ELT(name, 1, R_BlankString);
  if (meta != R_NilValue) {
    SEXP call = PROTECT(Rf_lang4(Rf_install("serialize"), meta, R_NilValue, Rf_ScalarLogical(FALSE)));
    SEXP raw = PROTECT(Rf_eval(call, R_BaseEnv));
    SET_STRING_ELT(name, 1, hex_from(raw));
    UNPROTECT(2);
  }
  vmaxset(top);
  UNPROTECT(1);
  return name;
}

SEXP r_array_from_name(SEXP name) {
  if (TYPEOF(name) != STRSXP || XLENGTH(name) != 2) r_abort("sharedmem_unattached_error", "not the name of a shared array");
  SEXP tag = PROTECT(hex_to(STRING_ELT(name, 0)));
  SEXP meta = PROTECT(hex_to(STRING_ELT(name, 1)));
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, tag, R_NilValue));
  if (TYPEOF(meta) == RAWSXP && XLENGTH(meta) > 0) {
    SEXP call = PROTECT(Rf_lang2(Rf_install("unserialize"), meta));
    R_SetExternalPtrProtected(ptr, Rf_eval(call, R_BaseEnv));
    UNPROTECT(1);
  }
  const char *reason;
  r_array *a = attach(ptr, &reason); /* if it cannot be, its use says why */
  if (a && !a->block) r_memory_collect_before(0);
  UNPROTECT(3);
  return ptr;
}
