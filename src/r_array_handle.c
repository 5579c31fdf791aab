/* r_array_handle.c: handles that come by serialize() or leave for another process. See r_array.h.
 *
 * R keeps an external pointer's tag, protected value and attributes and loses its address. The tag, a raw
 * vector, is a sm_descriptor; everything in it, and in the R attributes beside it, is input.
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
static bool meta_fits(SEXP x, int ndim, const int64_t *dim, int64_t length) {
  SEXP names = r_array_meta_get(x, "names"), dimnames = r_array_meta_get(x, "dimnames");
  if (names != R_NilValue && (TYPEOF(names) != STRSXP || XLENGTH(names) != length)) return false;
  if (dimnames == R_NilValue) return true;
  if (TYPEOF(dimnames) != VECSXP || XLENGTH(dimnames) != ndim) return false;
  for (int i = 0; i < ndim; i++) {
    SEXP d = VECTOR_ELT(dimnames, i);
    if (d != R_NilValue && (TYPEOF(d) != STRSXP || XLENGTH(d) != dim[i])) return false;
  }
  return true;
}

static r_array *attach_as(SEXP x, const sm_descriptor *d, const int64_t *dim, size_t nbytes, const char **reason) {
  sm_dtype dtype;
  sm_segment *seg;
  sm_block *block;
  *reason = "its descriptor is damaged";
  if (dtype_from(d, &dtype) < 0) return NULL;
  int64_t length = (int64_t)(nbytes / d->itemsize);
  if (!meta_valid(R_ExternalPtrProtected(x)) || !meta_fits(x, (int)d->ndim, dim, length)) return NULL;
  if (sm_descriptor_attach(d, nbytes, &seg, &block, reason) < 0) return NULL;
  r_array *a = calloc(1, sizeof *a + sizeof *dim * (d->ndim ? d->ndim : 1));
  if (!a) {
    if (block) sm_block_unref(block);
    else sm_segment_unref(seg);
    *reason = "no memory for a handle";
    return NULL;
  }
  a->magic = SM_ARRAY_MAGIC;
  a->readonly = d->readonly != 0;
  a->vector = d->vector != 0;
  a->dtype = dtype;
  a->ndim = (int)d->ndim;
  a->length = length;
  a->dim = (int64_t *)(a + 1);
  if (d->ndim) memcpy(a->dim, dim, sizeof *dim * d->ndim);
  a->seg = block ? block->seg : seg;
  a->block = block;
  return a;
}

static r_array *attach(SEXP x, const char **reason) {
  SEXP tag = R_ExternalPtrTag(x);
  sm_descriptor d;
  int64_t dim[SM_DESCRIPTOR_NDIM];
  size_t nbytes;
  *reason = "its descriptor is damaged";
  if (TYPEOF(tag) != RAWSXP || sm_descriptor_read(RAW_RO(tag), (size_t)XLENGTH(tag), &d, dim, &nbytes) < 0) return NULL;
  PROTECT(x);
  r_array *a = attach_as(x, &d, dim, nbytes, reason);
  if (a) {
    R_SetExternalPtrAddr(x, a);
    r_array_own(x);
    r_array_bind(x, a, a->seg, a->block, a->seg->payload + d.offset);
  }
  UNPROTECT(1);
  return a;
}

r_array *r_array_get(SEXP x, const char *arg) {
  if (!r_array_is(x)) r_abort_argument_value(arg, x, "a shared array");
  r_array *a = TYPEOF(R_ExternalPtrTag(x)) == RAWSXP ? R_ExternalPtrAddr(x) : NULL;
  const char *reason = "its memory was released";
  if (!a) a = attach(x, &reason);
  bool good = a && (a->magic == SM_ARRAY_MAGIC || a->magic == SM_ARRAY_CHECKED);
  if (!good || (a->block && !sm_block_valid(a->block))) r_abort("sharedmem_unattached_error", "shared array is not attached: %s", reason);
  return a;
}

SEXP r_array_alias(SEXP x, int ndim, const int64_t *dim, bool vector, SEXP meta) {
  const r_array *from = r_array_get(x, "x");
  SEXP y = PROTECT(r_array_handle());
  r_array *a = r_array_alloc(y, from->dtype, ndim, dim, vector);
  if (a->length != from->length) r_abort_argument("dim", "extents of another product", "extents whose product is the length");
  a->readonly = from->readonly;
  if (from->block) sm_block_ref(from->block);
  else sm_segment_ref(from->seg);
  r_array_bind(y, a, from->seg, from->block, from->data);
  r_array_meta_init(y, meta);
  UNPROTECT(1);
  return y;
}

int r_array_travel_fd(SEXP x, pid_t me) {
  if (!r_array_is(x)) return -1;
  r_array *a = R_ExternalPtrAddr(x);
  if (!a || !a->seg || a->seg->kind != SM_SEGMENT_MEMORY || a->seg->creator != me) return -1;
  if (a->block) sm_block_keep(a->block);
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

SEXP r_array_name(SEXP x) {
  if (!r_array_is(x) || !R_ExternalPtrAddr(x) || TYPEOF(R_ExternalPtrTag(x)) != RAWSXP) return R_NilValue;
  const void *top = vmaxget();
  SEXP meta = r_array_meta(x);
  SEXP name = PROTECT(Rf_allocVector(STRSXP, 2));
  SET_STRING_ELT(name, 0, hex_from(R_ExternalPtrTag(x)));
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
  SEXP x = PROTECT(r_array_shell());
  SEXP tag = PROTECT(hex_to(STRING_ELT(name, 0)));
  SEXP meta = PROTECT(hex_to(STRING_ELT(name, 1)));
  R_SetExternalPtrTag(x, tag);
  if (TYPEOF(meta) == RAWSXP && XLENGTH(meta) > 0) {
    SEXP call = PROTECT(Rf_lang2(Rf_install("unserialize"), meta));
    R_SetExternalPtrProtected(x, Rf_eval(call, R_BaseEnv));
    UNPROTECT(1);
  }
  const char *reason;
  r_array *a = attach(x, &reason); /* if it cannot be, its use says why */
  if (a && !a->block) r_memory_collect_before(0);
  UNPROTECT(3);
  return x;
}
