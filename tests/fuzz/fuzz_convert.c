/* arr_dtype, arr_convert: which values a dtype holds, beside a plain rule; what is written is read; and names of dtypes. */
#include "../../src/arr_convert.h"

#include <float.h>
#include <math.h>

#include "fuzz.h"

#define MOST 64

typedef struct {
  long double v; /* exact for every value there is, if it is a number */
  bool na, nan;
} number;

static number number_of(sm_rtype t, const void *p) {
  number x = {0, false, false};
  if (t == SM_R_DBL) {
    double v;
    memcpy(&v, p, sizeof v);
    x.na = sm_is_na_real(v);
    x.nan = isnan(v);
    x.v = v;
  } else if (t == SM_R_I64) {
    int64_t v;
    memcpy(&v, p, sizeof v);
    x.na = x.nan = v == INT64_MIN;
    x.v = v;
  } else {
    int32_t v;
    memcpy(&v, p, sizeof v);
    x.na = x.nan = v == INT32_MIN;
    x.v = v;
  }
  return x;
}

/* The rule of API.md: a value goes into a dtype that can give it back. */
static bool holds(sm_dtype d, sm_rtype t, number x, bool na64) {
  const sm_dtype_info *row = sm_dtype_info_of(d);
  bool na = row->has_na || (d.code == SM_I8 && na64);
  if (row->lo > row->hi) { /* f8 f4 c16 */
    if (x.na || x.nan) return true;
    if (t == SM_R_I64 && fabsl(x.v) > 9007199254740992.0L) return false;
    return d.code != SM_F4 || isinf((double)x.v) || !isinf((float)x.v);
  }
  if (x.na) return na;
  if (x.nan || x.v != truncl(x.v)) return false;
  if (d.code == SM_I8 && na64 && x.v == (long double)INT64_MIN) return false;
  return x.v >= row->lo && x.v <= row->hi;
}

static void take_value(fuzz_in *in, sm_rtype t, uint8_t *to) {
  static const double special[] = {0.5,
                                   -0.0,
                                   255,
                                   256,
                                   65535,
                                   65536,
                                   2147483647,
                                   2147483648.,
                                   -2147483648.,
                                   4294967295.,
                                   4294967296.,
                                   9223372036854775808.,
                                   -9223372036854775808.,
                                   9007199254740993.,
                                   FLT_MAX,
                                   3.4028235677973366e38,
                                   3.5e38,
                                   1e300,
                                   5e-324,
                                   INFINITY,
                                   -INFINITY,
                                   NAN};
  int64_t whole = take_number(in);
  int32_t i = (int32_t)(uint64_t)whole;
  double v = (double)whole;
  uint8_t kind = t == SM_R_DBL ? take_u8(in) : 0;
  if (kind > 240) take(in, &v, sizeof v);
  else if (kind > 200) v = special[take_below(in, sizeof special / sizeof *special)];
  else if (kind > 190) v = sm_na_real();
  if (t == SM_R_DBL) memcpy(to, &v, sizeof v);
  else if (t == SM_R_I64) memcpy(to, &whole, sizeof whole);
  else memcpy(to, &i, sizeof i);
}

/* Is `got`, read from an item, what was written? */
static bool same(sm_dtype d, number x, double got) {
  if (x.na) return sm_is_na_real(got);
  if (x.nan) return isnan(got) && !sm_is_na_real(got);
  return got == (d.code == SM_F4 ? (double)(float)(double)x.v : (double)x.v);
}

static void read_back(sm_dtype d, sm_rtype t, const uint8_t *src, int64_t n, bool na64) {
  size_t each = sm_rtype_size(t);
  uint8_t *items = exactly((size_t)n * d.itemsize + 1);
  double *got = exactly((size_t)n * 8);
  sm_convert_write(d, t, src, n, items + 1); /* items need no alignment */
  sm_convert_read(d, items + 1, n, SM_R_DBL, got);
  for (int64_t k = 0; k < n && d.code != SM_C16; k++) {
    number x = number_of(t, src + (size_t)k * each);
    if (d.code == SM_I8 && x.na && na64) x = (number){(long double)INT64_MIN, false, false};
    CHECK(same(d, x, got[k]), "what was written is read as a number");
  }
  if (d.code == SM_I8 && t == SM_R_I64) {
    sm_convert_read(d, items + 1, n, SM_R_I64, got);
    CHECK(memcmp(got, src, (size_t)n * 8) == 0, "64-bit integers come back bit for bit");
  }
  sm_rtype own = sm_rtype_of(d);
  if (own == SM_R_INT || own == SM_R_LGL) {
    int32_t *whole = exactly((size_t)n * 4);
    sm_convert_read(d, items + 1, n, own, whole);
    for (int64_t k = 0; k < n; k++) {
      number x = number_of(t, src + (size_t)k * each);
      CHECK(x.na ? whole[k] == INT32_MIN : whole[k] == (int32_t)x.v, "what was written is read as R has it");
    }
    free(whole);
  }
  free(items);
  free(got);
}

static void values(fuzz_in *in) {
  sm_rtype t = (sm_rtype[]){SM_R_LGL, SM_R_INT, SM_R_DBL, SM_R_I64}[take_below(in, 4)];
  const sm_dtype_info *row = sm_dtype_row((int)take_below(in, 13));
  if (!row || row->d.code == SM_STR) return;
  sm_dtype d = row->d;
  bool na64 = take_u8(in) & 1;
  size_t each = sm_rtype_size(t);
  int64_t n = (int64_t)take_below(in, MOST);
  uint8_t *src = exactly((size_t)n * each);
  for (int64_t k = 0; k < n; k++) take_value(in, t, src + (size_t)k * each);
  if (t == SM_R_LGL)
    for (int64_t k = 0; k < n; k++) {
      int32_t v;
      memcpy(&v, src + (size_t)k * 4, 4);
      if (v != INT32_MIN) v = v != 0;
      memcpy(src + (size_t)k * 4, &v, 4);
    }
  int64_t want = -1, at = sm_convert_check(d, t, src, n, na64);
  if (!sm_convert_allowed(d, t)) want = n > 0 ? 0 : -1;
  else
    for (int64_t k = 0; k < n && want < 0; k++)
      if (!holds(d, t, number_of(t, src + (size_t)k * each), na64)) want = k;
  CHECK(at == want, "the first value that does not fit is found");
  if (sm_convert_allowed(d, t)) read_back(d, t, src, at < 0 ? n : at, na64);
  free(src);
}

static void names(fuzz_in *in) {
  char text[32], again[16];
  size_t n = take_below(in, sizeof text - 1);
  sm_dtype d, e;
  take(in, text, n);
  text[n] = 0;
  if (sm_dtype_parse(text, &d) < 0) return;
  CHECK(sm_dtype_valid(d), "a name that is taken is that of a dtype");
  sm_dtype_format(d, again);
  CHECK(sm_dtype_parse(again, &e) == 0 && d.code == e.code && d.raw == e.raw && d.itemsize == e.itemsize,
        "whose own name is that of the same");
  for (int i = 0; i < 8; i++) {
    d = (sm_dtype){take_u8(in) % 16, take_u8(in) % 6, (uint32_t)take_number(in)};
    sm_dtype_info_of(d);
    sm_dtype_format(d, again);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_in in = {data, size};
  if (take_u8(&in) < 220) values(&in);
  else names(&in);
  return 0;
}
