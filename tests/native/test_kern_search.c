/* Search and files on threads, against plain loops. */
#define _GNU_SOURCE
#include <math.h>

#include "kern_file.h"
#include "kern_search.h"

#include "check.h"

static const sm_work *work(int np, sm_stop *stop) {
  static sm_work w;
  w = (sm_work){np, stop, NULL};
  return &w;
}

static void searches(void) {
  int64_t n = 5000, m = 20000;
  double *data = malloc((size_t)n * 8), *needle = malloc((size_t)m * 8);
  int32_t *out = malloc((size_t)m * 4);
  for (int64_t e = 0; e < n; e++) data[e] = floor((double)e / 3);
  data[n - 1] = NAN;
  for (int round = 0; round < 3; round++) { /* in any order, in order, in order again and again */
    for (int64_t e = 0; e < m; e++) needle[e] = round == 0 ? draw_unit() * 2000 - 100 : round == 1 ? (double)e / 10 : (double)(e % 256) * 7;
    for (int64_t e = 0; e < m; e += 777) needle[e] = NAN;
    for (int right = 0; right < 2; right++)
      for (int np = 1; np <= 2; np++) {
        sm_stop stop;
        sm_stop_init(&stop, NULL, NULL);
        sm_keys d = {SM_KEY_F8, data, n, 0, false}, q = {SM_KEY_F8, needle, m, 0, false};
        int ok = sm_search(&d, &q, right, (sm_places){SM_PLACE_I4, out}, work(np, &stop)) == 0;
        for (int64_t e = 0; ok && e < m; e++) {
          int64_t p = out[e] - 1;
          bool missing = isnan(needle[e]);
          if (missing) ok = p == (right ? n : n - 1);
          else
            ok = p >= 0 && p < n && (p == 0 || (right ? data[p - 1] <= needle[e] : data[p - 1] < needle[e])) &&
                 (isnan(data[p]) || (right ? data[p] > needle[e] : data[p] >= needle[e]));
        }
        check_at(ok, "search", m);
      }
  }
  free(data), free(needle), free(out);
}

/* 64-bit integers of which the last are missing, among themselves and for doubles, next to which they are past 2^53. */
static void whole_numbers(void) {
  enum { N = 300, M = 900 };
  int64_t data[N], whole[M];
  double real[M], out[M];
  for (int64_t e = 0; e < N; e++) data[e] = e < 290 ? (e / 2 - 70) * 3 + (e < 280 ? 0 : ((int64_t)1 << 53)) : INT64_MIN;
  for (int64_t e = 0; e < M; e++) {
    whole[e] = e % 50 == 0 ? INT64_MIN : e % 7 == 0 ? ((int64_t)1 << 53) + 200 + e % 40 : (int64_t)(draw() % 500) - 240;
    real[e] = e % 50 == 0 ? (double)NAN : (double)whole[e] + (e % 3 == 0 ? 0.5 : 0);
  }
  for (int right = 0; right < 2; right++)
    for (int kind = 0; kind < 2; kind++) {
      sm_stop stop;
      sm_stop_init(&stop, NULL, NULL);
      sm_keys d = {SM_KEY_I8NA, data, N, 0, false}, q = {kind ? SM_KEY_F8 : SM_KEY_I8NA, kind ? (void *)real : (void *)whole, M, 0, false};
      int ok = sm_search(&d, &q, right, (sm_places){SM_PLACE_F8, out}, work(1, &stop)) == 0;
      for (int64_t e = 0; e < M; e++) {
        int64_t before = 0;
        bool missing = kind ? isnan(real[e]) : whole[e] == INT64_MIN;
        for (int64_t i = 0; i < N; i++) {
          int64_t w = kind && !missing ? (int64_t)floor(real[e]) : whole[e];
          double rest = kind && !missing ? real[e] - floor(real[e]) : 0;
          bool gone = data[i] == INT64_MIN, less = data[i] < w || (data[i] == w && rest > 0), same = data[i] == w && rest == 0;
          before += missing ? !gone || right : !gone && (less || (same && right));
        }
        ok &= out[e] == (double)(before + 1);
      }
      check_case(ok, "search of 64-bit integers", M, 2 * right + kind);
    }
}

static int count_back(void *ctx, size_t offset, size_t n) {
  (void)offset;
  atomic_fetch_add((_Atomic size_t *)ctx, n);
  return 0;
}

static int refuse_back(void *ctx, size_t offset, size_t n) {
  (void)ctx, (void)n;
  return offset > 0 ? SM_ENOROOM : 0;
}

static void files(void) {
  char name[] = "/tmp/kern_fileXXXXXX";
  int fd = mkstemp(name);
  size_t n = (size_t)9 << 20;
  uint8_t *x = malloc(n), *y = malloc(n);
  unlink(name);
  for (size_t e = 0; e < n; e++) x[e] = (uint8_t)draw();
  for (int np = 1; np <= 3; np++) {
    sm_stop stop;
    _Atomic size_t backed = 0;
    sm_stop_init(&stop, NULL, NULL);
    check_at(sm_file_write(fd, 0, x, n, work(np, &stop)) == 0, "write", (int64_t)n);
    memset(y, 0, n);
    check_at(sm_file_read(&(sm_file_part){fd, 0, n, 1, count_back, &backed}, y, work(np, &stop)) == 0 && memcmp(x, y, n) == 0 &&
                 backed == n,
             "read", (int64_t)n);
    check_at(sm_file_read(&(sm_file_part){fd, 16, n - 16, 8, NULL, NULL}, y, work(np, &stop)) == 0, "read from an offset", (int64_t)n);
    int ok = 1;
    for (size_t e = 0; ok && e < n - 16; e++) ok = y[e] == x[16 + (e / 8) * 8 + 7 - e % 8];
    check_at(ok, "bytes turned round", (int64_t)n);
    check_at(sm_file_read(&(sm_file_part){fd, 1, n, 1, NULL, NULL}, y, work(np, &stop)) == SM_ESHORT, "a file that is too short",
             (int64_t)n);
    sm_stop_init(&stop, NULL, NULL);
    check_at(sm_file_read(&(sm_file_part){fd, 0, n, 1, refuse_back, NULL}, y, work(np, &stop)) == SM_ENOROOM, "no memory half way",
             (int64_t)n);
  }
  close(fd);
  free(x), free(y);
}

int main(void) {
  searches();
  whole_numbers();
  files();
  return report();
}
