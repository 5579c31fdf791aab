/* r_wire_flat.c: see r_wire_flat.h. */
#include "r_wire_flat.h"

#include <Rversion.h>
#include <string.h>

#include "r_util_vector.h"

typedef struct {
  int32_t type, length;
} flat_head;

typedef struct {
  int32_t nbytes, encoding;
} flat_text;

#define ALL_ATTRIBUTES 16 /* as identical() has it by default */

#if R_VERSION >= R_Version(4, 5, 0)
static bool bare(SEXP x) { return !ANY_ATTRIB(x); }
#else
/* R before 4.5 has no entry point that tells whether x has attributes, so x is compared with a copy of its elements. The vectors for
 * copies of scalars are made once. */
static SEXP like_of(SEXP x) {
  static SEXP kept[RAWSXP + 1];
  int type = TYPEOF(x);
  if (XLENGTH(x) != 1) return Rf_allocVector((SEXPTYPE)type, XLENGTH(x));
  if (!kept[type]) {
    kept[type] = Rf_allocVector((SEXPTYPE)type, 1);
    R_PreserveObject(kept[type]);
  }
  return kept[type];
}

static bool bare(SEXP x) {
  SEXP like = PROTECT(like_of(x));
  if (TYPEOF(x) == STRSXP)
    for (R_xlen_t i = 0; i < XLENGTH(x); i++) SET_STRING_ELT(like, i, STRING_ELT(x, i));
  else if (XLENGTH(x) > 0) memcpy(r_vector_ptr(like), r_vector_ptr_ro(x), r_vector_itemsize(TYPEOF(x)) * (size_t)XLENGTH(x));
  bool same = R_compute_identical(x, like, ALL_ATTRIBUTES);
  UNPROTECT(1);
  return same;
}
#endif

static size_t pack_text(SEXP x, uint8_t *buf) {
  size_t at = sizeof(flat_head);
  for (R_xlen_t i = 0; i < XLENGTH(x); i++) {
    SEXP s = STRING_ELT(x, i);
    flat_text t = {s == NA_STRING ? -1 : LENGTH(s), (int32_t)Rf_getCharCE(s)};
    size_t n = t.nbytes < 0 ? 0 : (size_t)t.nbytes;
    if (n + sizeof t > R_FLAT_MAX - at) return 0;
    memcpy(buf + at, &t, sizeof t);
    memcpy(buf + at + sizeof t, CHAR(s), n);
    at += sizeof t + n;
  }
  return at;
}

size_t r_flat_pack(SEXP x, uint8_t *buf) {
  flat_head h = {TYPEOF(x), 0};
  if (x == R_NilValue) {
    memcpy(buf, &h, sizeof h);
    return sizeof h;
  }
  size_t size = r_vector_itemsize(h.type);
  if ((!size && h.type != STRSXP) || ALTREP(x) || Rf_isObject(x) || XLENGTH(x) > R_FLAT_MAX) return 0;
  h.length = (int32_t)XLENGTH(x);
  if (size * (size_t)h.length > R_FLAT_MAX - sizeof h || Rf_isS4(x) || !bare(x)) return 0;
  memcpy(buf, &h, sizeof h);
  if (!size) return pack_text(x, buf);
  if (h.length > 0) memcpy(buf + sizeof h, r_vector_ptr_ro(x), size * (size_t)h.length);
  return sizeof h + size * (size_t)h.length;
}

static SEXP unpack_text(const uint8_t *p, size_t n, int32_t length) {
  SEXP out = PROTECT(Rf_allocVector(STRSXP, length));
  for (int32_t i = 0; i < length; i++) {
    flat_text t = {0, 0};
    if (n >= sizeof t) memcpy(&t, p, sizeof t);
    if (n < sizeof t || (t.nbytes >= 0 && (size_t)t.nbytes > n - sizeof t)) {
      UNPROTECT(1);
      return R_UnboundValue;
    }
    size_t k = t.nbytes < 0 ? 0 : (size_t)t.nbytes;
    SET_STRING_ELT(out, i, t.nbytes < 0 ? NA_STRING : Rf_mkCharLenCE((const char *)p + sizeof t, t.nbytes, (cetype_t)t.encoding));
    p += sizeof t + k;
    n -= sizeof t + k;
  }
  UNPROTECT(1);
  return out;
}

SEXP r_flat_unpack(const uint8_t *p, size_t n) {
  flat_head h;
  if (n < sizeof h) return R_UnboundValue;
  memcpy(&h, p, sizeof h);
  p += sizeof h;
  n -= sizeof h;
  if (h.type == NILSXP) return R_NilValue;
  if (h.length < 0 || h.length > R_FLAT_MAX) return R_UnboundValue;
  if (h.type == STRSXP) return unpack_text(p, n, h.length);
  size_t size = r_vector_itemsize(h.type);
  if (!size || n != size * (size_t)h.length) return R_UnboundValue;
  SEXP out = Rf_allocVector((SEXPTYPE)h.type, h.length);
  if (n > 0) memcpy(r_vector_ptr(out), p, n);
  return out;
}
