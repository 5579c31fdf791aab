/* Sums, products, extremes and counts, for every dtype and number of threads. */
#include <float.h>
#include <math.h>

#include "kern_prod.h"
#include "kern_reduce.h"

#include "check.h"

static const sm_work *work(int np, sm_stop *stop) {
  static sm_work w;
  w = (sm_work){np, stop, NULL};
  return &w;
}

static const sm_dtype f8 = {SM_F8, 0, 8}, i4 = {SM_I4, 0, 4};
static const int64_t sizes[] = {0, 1, 7, 8, 9, 1000, 65536, 65537, 300001};
#define NSIZES (sizeof sizes / sizeof *sizes)

static sm_sum sum_of(sm_dtype d, const void *x, int64_t n, bool skip, int np) {
  sm_stop stop;
  sm_sum s;
  sm_stop_init(&stop, NULL, NULL);
  check_at(sm_reduce_sum(&(sm_numbers){d, x, n, skip}, work(np, &stop), &s) == 0, "sum returns 0", n);
  return s;
}

/* Numbers k / 2^20 with |k| < 2^40: their sum in 64-bit integers is exact. */
static void sums(void) {
  for (size_t s = 0; s < NSIZES; s++) {
    int64_t n = sizes[s], exact = 0;
    double *x = malloc((size_t)n * sizeof *x + 8);
    for (int64_t i = 0; i < n; i++) {
      int64_t k = (int64_t)(draw() >> 24) - ((int64_t)1 << 39);
      exact += k;
      x[i] = (double)k * 0x1p-20;
    }
    long double first = 0;
    for (int np = 1; np <= 4; np++) {
      sm_sum r = sum_of(f8, x, n, np % 2 == 0, np);
      check_at(r.sum == (long double)exact * 0x1p-20L, "sum is exact", n);
      check_at(r.tally.n == n, "all are counted", n);
      if (np == 1) first = r.sum;
      check_at(r.sum == first, "same sum on more threads", n);
    }
    if (n > 10) {
      double na = sm_na_real(), drop = x[3] + x[n - 1];
      x[3] = NAN;
      x[n - 1] = na;
      sm_sum r = sum_of(f8, x, n, false, 2);
      check_at(r.sum != r.sum && r.tally.na && r.tally.nan, "NA and NaN are seen", n);
      r = sum_of(f8, x, n, true, 2);
      check_at(r.tally.n == n - 2, "missing values are left out", n);
      check_at(fabsl(r.sum - ((long double)exact * 0x1p-20L - (long double)drop)) <= 1e-9L, "and the rest is summed", n);
    }
    free(x);
  }
}

static void whole(void) {
  for (size_t s = 0; s < NSIZES; s++) {
    int64_t n = sizes[s], exact = 0, gone = 0;
    int32_t *x = malloc((size_t)n * sizeof *x + 8);
    for (int64_t i = 0; i < n; i++) {
      x[i] = draw() % 9 == 0 ? INT32_MIN : (int32_t)(draw() >> 33) - 1000;
      if (x[i] == INT32_MIN) gone++;
      else exact += x[i];
    }
    sm_sum r = sum_of(i4, x, n, true, 3);
    check_at(r.whole == exact && r.tally.n == n - gone && r.tally.na == (gone > 0), "sum of integers", n);
    free(x);
  }
}

static void products(void) {
  sm_stop stop;
  sm_tally t;
  long double p;
  int64_t n = 200000;
  double *x = malloc((size_t)n * sizeof *x);
  for (int64_t i = 0; i < n; i++) x[i] = i % 2 ? 2 : 0.5;
  sm_stop_init(&stop, NULL, NULL);
  check_at(sm_prod(&(sm_numbers){f8, x, n, false}, work(2, &stop), &t, &p) == 0 && p == 1, "product of halves and doubles", n);
  for (int64_t i = 0; i < n; i++) x[i] = i < n / 2 ? 0x1p-1000 : 0x1p1000;
  check_at(sm_prod(&(sm_numbers){f8, x, n, false}, work(2, &stop), &t, &p) == 0 && p == 0, "underflow first stays 0", n);
  check_at(sm_prod(&(sm_numbers){f8, x, 0, false}, work(2, &stop), &t, &p) == 0 && p == 1 && t.n == 0, "empty product", 0);
  free(x);
}

/* Products that leave the range, with what changes or does not change a 0 or an infinity, against a plain loop. */
static void products_past_the_range(void) {
  static const double odd[] = {0, -0.0, INFINITY, -INFINITY, (double)NAN, -1, 1e300, 1e-300, -0.5};
  int64_t n = 200100;
  double *x = malloc((size_t)n * sizeof *x);
  for (int trial = 0; trial < 60; trial++) {
    bool skip = trial % 2;
    double size = trial % 3 == 0 ? 1e-5 : trial % 3 == 1 ? 1e5 : 1;
    for (int64_t i = 0; i < n; i++) x[i] = (draw_unit() + 0.5) * size * (draw() % 2 ? 1 : -1);
    for (int k = 0; k < trial % 5; k++) x[draw() % (uint64_t)n] = odd[draw() % 9];
    long double exact = 1, got[3];
    int64_t used = 0;
    for (int64_t i = 0; i < n; i++)
      if (!skip || x[i] == x[i]) exact *= (long double)x[i], used++;
    for (int np = 1; np <= 3; np++) {
      sm_stop stop;
      sm_tally t;
      sm_stop_init(&stop, NULL, NULL);
      check_at(sm_prod(&(sm_numbers){f8, x, n, skip}, work(np, &stop), &t, &got[np - 1]) == 0 && t.n == used, "count of factors", trial);
    }
    long double p = got[0];
    bool same = isnan(exact) ? isnan(p) && isnan(got[1]) && isnan(got[2])
                             : !signbit(p) == !signbit(exact) && fabsl(p - exact) <= 1e-13L * fabsl(exact);
    if (isinf(exact) || exact == 0) same = p == exact && !signbit(p) == !signbit(exact);
    check_at(same && (isnan(p) || (p == got[1] && p == got[2])), "product past the range", trial);
  }
  free(x);
}

static void extremes(void) {
  for (size_t s = 0; s < NSIZES; s++) {
    int64_t n = sizes[s], there = 0, nonzero = 0;
    double *x = malloc((size_t)n * sizeof *x + 8), lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
      x[i] = draw() % 5 == 0 ? (double)NAN : draw() % 5 == 0 ? 0 : draw_unit() - 0.3;
      if (isnan(x[i])) continue;
      there++;
      nonzero += x[i] != 0;
      if (x[i] < lo) lo = x[i];
      if (x[i] > hi) hi = x[i];
    }
    for (int np = 1; np <= 3; np++) {
      sm_stop stop;
      sm_extremes e;
      sm_count c;
      sm_stop_init(&stop, NULL, NULL);
      check_at(sm_reduce_extremes(&(sm_numbers){f8, x, n, false}, work(np, &stop), &e) == 0 && e.lo == lo && e.hi == hi &&
                   e.tally.n == there,
               "extremes", n);
      check_at(e.tally.nan == (there < n) && !e.tally.na, "NaN told from NA", n);
      check_at(sm_reduce_count(&(sm_numbers){f8, x, n, false}, work(np, &stop), &c) == 0 && c.nonzero == nonzero && c.tally.n == there,
               "count", n);
    }
    free(x);
  }
}

int main(void) {
  sums();
  whole();
  products();
  products_past_the_range();
  extremes();
  return report();
}
