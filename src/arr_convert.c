/* arr_convert.c: see arr_convert.h. */
#include "arr_convert.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define NA_INT INT32_MIN
#define F4_NA 0x7FC007A2u /* quiet NaN that carries 1954, as R's NA does in a double */
#define DBL_NA_WORD 1954u

typedef struct {
  double r, i;
} complex_item;

size_t sm_rtype_size(sm_rtype t) {
  switch (t) {
  case SM_R_LGL:
  case SM_R_INT: return 4;
  case SM_R_DBL:
  case SM_R_I64: return 8;
  case SM_R_CPLX: return 16;
  case SM_R_RAW: return 1;
  case SM_R_STR: break;
  }
  return 0;
}

bool sm_rtype_same(sm_dtype d, sm_rtype t) {
  switch (t) {
  case SM_R_LGL:
  case SM_R_INT: return d.code == SM_I4;
  case SM_R_DBL: return d.code == SM_F8;
  case SM_R_I64: return d.code == SM_I8;
  case SM_R_CPLX: return d.code == SM_C16;
  case SM_R_RAW: return d.code == SM_U1;
  case SM_R_STR: break;
  }
  return false;
}

double sm_na_real(void) {
  uint64_t bits = 0x7FF0000000000000u | DBL_NA_WORD;
  double v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

bool sm_is_na_real(double v) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  return v != v && (uint32_t)bits == DBL_NA_WORD;
}

static double widen_f4(const void *src) {
  uint32_t bits;
  memcpy(&bits, src, sizeof bits);
  if ((bits & 0x7FFFFFFFu) == F4_NA) return sm_na_real();
  float v;
  memcpy(&v, src, sizeof v);
  return (double)v;
}

static void narrow_f4(double v, void *dst) {
  float f = (float)v;
  if (sm_is_na_real(v)) {
    uint32_t bits = F4_NA;
    memcpy(&f, &bits, sizeof f);
  }
  memcpy(dst, &f, sizeof f);
}

/* One loop for each pair of layouts; `expr` uses v, an item of type T. */
#define READ_LOOP(T, D, expr)                          \
  do {                                                 \
    D *out = dst;                                      \
    for (int64_t k = 0; k < n; k++) {                  \
      T v;                                             \
      memcpy(&v, in + (size_t)k * sizeof v, sizeof v); \
      out[k] = (D)(expr);                              \
    }                                                  \
    return;                                            \
  } while (0)

static void read_double(sm_dtype d, const uint8_t *in, int64_t n, double *dst) {
  switch ((sm_dtype_code)d.code) {
  case SM_F4:
    for (int64_t k = 0; k < n; k++) dst[k] = widen_f4(in + (size_t)k * 4);
    return;
  case SM_I1: READ_LOOP(int8_t, double, v);
  case SM_I2: READ_LOOP(int16_t, double, v);
  case SM_I4: READ_LOOP(int32_t, double, v == NA_INT ? sm_na_real() : v);
  case SM_I8: READ_LOOP(int64_t, double, v);
  case SM_U1: READ_LOOP(uint8_t, double, v);
  case SM_U2: READ_LOOP(uint16_t, double, v);
  case SM_U4: READ_LOOP(uint32_t, double, v);
  case SM_B1: READ_LOOP(uint8_t, double, v == SM_B1_NA ? sm_na_real() : v != 0);
  case SM_F8: /* the same type, which is copied as it is */
  case SM_C16:
  case SM_STR: break;
  }
}

static void read_int(sm_dtype d, const uint8_t *in, int64_t n, int32_t *dst) {
  switch ((sm_dtype_code)d.code) {
  case SM_I1: READ_LOOP(int8_t, int32_t, v);
  case SM_I2: READ_LOOP(int16_t, int32_t, v);
  case SM_U1: READ_LOOP(uint8_t, int32_t, v);
  case SM_U2: READ_LOOP(uint16_t, int32_t, v);
  case SM_B1: READ_LOOP(uint8_t, int32_t, v == SM_B1_NA ? NA_INT : v != 0);
  default: break;
  }
}

void sm_convert_read(sm_dtype d, const void *src, int64_t n, sm_rtype t, void *dst) {
  if (n <= 0) return;
  if (sm_rtype_same(d, t)) memcpy(dst, src, (size_t)n * d.itemsize);
  else if (t == SM_R_DBL) read_double(d, src, n, dst);
  else read_int(d, src, n, dst);
}

void sm_convert_na(sm_rtype t, int64_t n, void *dst) {
  switch (t) {
  case SM_R_LGL:
  case SM_R_INT:
    for (int64_t k = 0; k < n; k++) ((int32_t *)dst)[k] = NA_INT;
    return;
  case SM_R_DBL:
    for (int64_t k = 0; k < n; k++) ((double *)dst)[k] = sm_na_real();
    return;
  case SM_R_I64:
    for (int64_t k = 0; k < n; k++) ((int64_t *)dst)[k] = INT64_MIN;
    return;
  case SM_R_CPLX:
    for (int64_t k = 0; k < n; k++) ((complex_item *)dst)[k] = (complex_item){sm_na_real(), sm_na_real()};
    return;
  case SM_R_RAW: memset(dst, 0, (size_t)n); return;
  case SM_R_STR: return;
  }
}

bool sm_convert_allowed(sm_dtype d, sm_rtype t) {
  switch (t) {
  case SM_R_LGL:
  case SM_R_INT:
  case SM_R_DBL: return d.code != SM_STR && !d.raw;
  case SM_R_I64: return d.code != SM_STR && d.code != SM_C16 && !d.raw;
  case SM_R_CPLX: return d.code == SM_C16;
  case SM_R_RAW: return d.code == SM_U1;
  case SM_R_STR: return d.code == SM_STR;
  }
  return false;
}

/* The whole numbers a dtype holds; false for f8 f4 c16 S<n>. i4 leaves INT32_MIN out: it is NA. */
static bool whole_range(sm_dtype d, int64_t *lo, int64_t *hi) {
  const sm_dtype_info *row = sm_dtype_info_of(d);
  *lo = row->lo;
  *hi = row->hi;
  return *lo <= *hi;
}

static bool has_na(sm_dtype d) { return sm_dtype_info_of(d)->has_na; }

static int64_t check_int(sm_dtype d, const int32_t *v, int64_t n, bool na64) {
  int64_t lo, hi;
  if (d.code == SM_I4 || !whole_range(d, &lo, &hi)) return -1;
  bool na = has_na(d) || (d.code == SM_I8 && na64);
  for (int64_t k = 0; k < n; k++)
    if (v[k] == NA_INT ? !na : v[k] < lo || v[k] > hi) return k;
  return -1;
}

static int64_t check_double(sm_dtype d, const double *v, int64_t n, bool na64) {
  if (d.code == SM_F4) {
    for (int64_t k = 0; k < n; k++)
      if (isfinite(v[k]) && fabs(v[k]) > FLT_MAX && isinf((float)v[k])) return k;
    return -1;
  }
  int64_t lo, hi;
  if (!whole_range(d, &lo, &hi)) return -1;
  bool na = has_na(d) || (d.code == SM_I8 && na64);
  /* 2^63 is no int64_t, and (double)INT64_MAX is 2^63: hence the strict bound above; -2^63 is NA in integer64, hence the next double */
  double low = d.code == SM_I8 && na64 ? nextafter((double)lo, 0) : (double)lo,
         above = d.code == SM_I8 ? 9223372036854775808.0 : (double)hi + 1;
  for (int64_t k = 0; k < n; k++)
    if (!(v[k] >= low && v[k] < above && v[k] == trunc(v[k])) && !(na && sm_is_na_real(v[k]))) return k;
  return -1;
}

static int64_t check_int64(sm_dtype d, const int64_t *v, int64_t n, bool na64) {
  int64_t lo, hi;
  const int64_t exact = INT64_C(1) << 53;
  bool whole = whole_range(d, &lo, &hi);
  for (int64_t k = 0; k < n; k++) {
    if (v[k] == INT64_MIN) {
      if (whole && !has_na(d) && !(d.code == SM_I8 && na64)) return k;
    } else if (whole ? v[k] < lo || v[k] > hi : v[k] < -exact || v[k] > exact) {
      return k;
    }
  }
  return -1;
}

int64_t sm_convert_check(sm_dtype d, sm_rtype t, const void *src, int64_t n, bool na64) {
  if (n <= 0) return -1;
  if (!sm_convert_allowed(d, t)) return 0;
  switch (t) {
  case SM_R_LGL:
  case SM_R_INT: return check_int(d, src, n, na64);
  case SM_R_DBL: return check_double(d, src, n, na64);
  case SM_R_I64: return check_int64(d, src, n, na64);
  default: return -1;
  }
}

#define WRITE_LOOP(S, T, expr)                                   \
  do {                                                           \
    const S *in = src;                                           \
    for (int64_t k = 0; k < n; k++) {                            \
      S v = in[k];                                               \
      T item = (T)(expr);                                        \
      memcpy(out + (size_t)k * sizeof item, &item, sizeof item); \
    }                                                            \
    return;                                                      \
  } while (0)

/* ISNA: v is NA; AS_DOUBLE: v as a double */
#define WRITE_ALL(S, ISNA, AS_DOUBLE)                                \
  switch ((sm_dtype_code)d.code) {                                   \
  case SM_F8: WRITE_LOOP(S, double, AS_DOUBLE);                      \
  case SM_F4: {                                                      \
    const S *in = src;                                               \
    for (int64_t k = 0; k < n; k++) {                                \
      S v = in[k];                                                   \
      narrow_f4(AS_DOUBLE, out + (size_t)k * 4);                     \
    }                                                                \
    return;                                                          \
  }                                                                  \
  case SM_I1: WRITE_LOOP(S, int8_t, v);                              \
  case SM_I2: WRITE_LOOP(S, int16_t, v);                             \
  case SM_I4: WRITE_LOOP(S, int32_t, ISNA ? NA_INT : (int32_t)v);    \
  case SM_I8: WRITE_LOOP(S, int64_t, ISNA ? INT64_MIN : (int64_t)v); \
  case SM_U1: WRITE_LOOP(S, uint8_t, v);                             \
  case SM_U2: WRITE_LOOP(S, uint16_t, v);                            \
  case SM_U4: WRITE_LOOP(S, uint32_t, v);                            \
  case SM_B1: WRITE_LOOP(S, uint8_t, ISNA ? SM_B1_NA : v != 0);      \
  case SM_C16: {                                                     \
    const S *in = src;                                               \
    for (int64_t k = 0; k < n; k++) {                                \
      S v = in[k];                                                   \
      complex_item item = {AS_DOUBLE, 0};                            \
      memcpy(out + (size_t)k * sizeof item, &item, sizeof item);     \
    }                                                                \
    return;                                                          \
  }                                                                  \
  case SM_STR: return;                                               \
  }

static void write_int(sm_dtype d, const void *src, int64_t n, uint8_t *out) {
  WRITE_ALL(int32_t, v == NA_INT, v == NA_INT ? sm_na_real() : (double)v)
}

static void write_double(sm_dtype d, const void *src, int64_t n, uint8_t *out) { WRITE_ALL(double, v != v, v) }

static void write_int64(sm_dtype d, const void *src, int64_t n, uint8_t *out) {
  WRITE_ALL(int64_t, v == INT64_MIN, v == INT64_MIN ? sm_na_real() : (double)v)
}

void sm_convert_write(sm_dtype d, sm_rtype t, const void *src, int64_t n, void *dst) {
  if (n <= 0) return;
  if (sm_rtype_same(d, t)) {
    memcpy(dst, src, (size_t)n * d.itemsize);
    return;
  }
  switch (t) {
  case SM_R_LGL:
  case SM_R_INT: write_int(d, src, n, dst); return;
  case SM_R_DBL: write_double(d, src, n, dst); return;
  case SM_R_I64: write_int64(d, src, n, dst); return;
  default: return;
  }
}

bool sm_convert_lossy(const void *src, int64_t n) {
  const int64_t exact = INT64_C(1) << 53;
  for (int64_t k = 0; k < n; k++) {
    int64_t v;
    memcpy(&v, (const uint8_t *)src + (size_t)k * 8, 8);
    if (v > exact || v < -exact) return true;
  }
  return false;
}

const double *sm_convert_doubles(sm_dtype d, const void *src, int64_t n, double *buffer) {
  if (d.code == SM_F8 && (uintptr_t)src % sizeof(double) == 0) return src;
  sm_convert_read(d, src, n, SM_R_DBL, buffer);
  return buffer;
}
