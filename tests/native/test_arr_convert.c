/* arr_convert, arr_atomic: values to items and back, what does not fit, and additions of several threads. */
#include "../../src/arr_atomic.h"
#include "../../src/arr_convert.h"
#include "check.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static sm_dtype dtype(const char *text) {
  sm_dtype d = {0, 0, 0};
  check(sm_dtype_parse(text, &d) == 0, text);
  return d;
}

static void test_doubles(void) {
  double v[] = {0, 1, -1, 127, -128, 255};
  const char *names[] = {"f8", "f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4"};
  uint8_t items[6 * 8 + 1];
  double back[6];
  for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
    sm_dtype d = dtype(names[k]);
    bool sgn = names[k][0] != 'u';
    int64_t bad = sm_convert_check(d, SM_R_DBL, v, 6, false);
    check(bad == (d.code == SM_I1 ? 5 : sgn ? -1 : 2), "the first value that does not fit is found");
    int64_t n = bad < 0 ? 6 : bad;
    sm_convert_write(d, SM_R_DBL, v, n, items + 1); /* one byte off: any alignment will do */
    sm_convert_read(d, items + 1, n, SM_R_DBL, back);
    check(memcmp(back, v, (size_t)n * sizeof *v) == 0, "values come back");
  }
}

static void test_na(void) {
  double na = sm_na_real(), v[] = {na, nan(""), INFINITY}, back[3];
  float f[3];
  check(sm_is_na_real(v[0]) && !sm_is_na_real(v[1]), "NA is not NaN");
  sm_convert_write(dtype("f4"), SM_R_DBL, v, 3, f);
  sm_convert_read(dtype("f4"), f, 3, SM_R_DBL, back);
  check(sm_is_na_real(back[0]) && back[1] != back[1] && !sm_is_na_real(back[1]) && isinf(back[2]), "f4 keeps NA apart from NaN");
  check(sm_convert_check(dtype("i4"), SM_R_DBL, v, 3, false) == 1, "i4 takes NA, not NaN");
  check(sm_convert_check(dtype("i2"), SM_R_DBL, v, 3, false) == 0, "i2 takes neither");
  int32_t lgl[] = {1, INT32_MIN, 0}, lback[3];
  uint8_t b[3];
  sm_convert_write(dtype("b1"), SM_R_LGL, lgl, 3, b);
  sm_convert_read(dtype("b1"), b, 3, SM_R_LGL, lback);
  check(memcmp(lgl, lback, sizeof lgl) == 0, "b1 keeps NA");
  int64_t wide[] = {INT64_MIN, 5};
  check(sm_convert_check(dtype("i8"), SM_R_I64, wide, 2, true) == -1 && sm_convert_check(dtype("i8"), SM_R_I64, wide, 2, false) == 0,
        "i8 takes NA only as integer64");
}

static void test_edges(void) {
  double top[] = {9223372036854774784.0, 9223372036854775808.0}, low[] = {-9223372036854775808.0};
  check(sm_convert_check(dtype("i8"), SM_R_DBL, top, 2, false) == 1, "2^63 is no i8");
  check(sm_convert_check(dtype("i8"), SM_R_DBL, low, 1, false) == -1, "-2^63 is");
  double f[] = {3.4028234e38, 3.5e38};
  check(sm_convert_check(dtype("f4"), SM_R_DBL, f, 2, false) == 1, "what would become infinite is no f4");
  int64_t past[] = {(INT64_C(1) << 53) + 1}, at[] = {INT64_C(1) << 53, -(INT64_C(1) << 53)};
  check(sm_convert_lossy(past, 1) && !sm_convert_lossy(at, 2), "digits are lost past 2^53, not at it");
  check(!sm_convert_allowed(dtype("f8"), SM_R_CPLX) && !sm_convert_allowed(dtype("S4"), SM_R_DBL) &&
            !sm_convert_allowed(dtype("raw"), SM_R_INT) && sm_convert_allowed(dtype("u1"), SM_R_RAW),
        "types go only where they can");
  check(sm_convert_check(dtype("f8"), SM_R_CPLX, f, 1, false) == 0, "a type that goes nowhere fails at the first value");
}

static void test_atomic(void) {
  int32_t a = INT32_MAX - 1, out4 = 0;
  check(sm_atomic_add_i4(&a, 1, &out4) == 0 && a == INT32_MAX && out4 == a, "the largest i4 is reached");
  check(sm_atomic_add_i4(&a, 1, &out4) == SM_ERANGE && a == INT32_MAX, "and not passed");
  a = INT32_MIN;
  check(sm_atomic_add_i4(&a, 1, &out4) == 0 && out4 == INT32_MIN, "NA stays NA");
  a = -INT32_MAX;
  check(sm_atomic_add_i4(&a, -1, &out4) == SM_ERANGE, "a sum never becomes NA");
  int64_t b = INT64_MAX, out8 = 0;
  check(sm_atomic_add_i8(&b, 1, &out8) == SM_ERANGE && sm_atomic_add_i8(&b, -1, &out8) == 0 && out8 == INT64_MAX - 1,
        "i8 ends at its ends");
  b = INT64_MIN;
  check(sm_atomic_add_i8(&b, -1, &out8) == SM_ERANGE && sm_atomic_add_i8(&b, INT64_MIN, &out8) == SM_ERANGE, "at both of them");
}

static double total;
static int32_t count;

static void *adder(void *arg) {
  double f;
  int32_t i;
  for (int k = 0; k < 20000; k++) {
    sm_atomic_add_f8(&total, 0.5, &f);
    sm_atomic_add_i4(&count, 1, &i);
  }
  return arg;
}

int main(void) {
  test_doubles();
  test_na();
  test_edges();
  test_atomic();
  pthread_t t[2];
  for (int k = 0; k < 2; k++) pthread_create(&t[k], NULL, adder, NULL);
  for (int k = 0; k < 2; k++) pthread_join(t[k], NULL);
  check(total == 20000 && count == 40000, "no addition of two threads is lost");
  return report();
}
