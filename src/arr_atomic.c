/* arr_atomic.c: see arr_atomic.h. Compare-and-swap loops: checking for overflow needs the old value. */
#include "arr_atomic.h"

#include <stdatomic.h>
#include <string.h>

int sm_atomic_add_i4(void *p, int32_t v, int32_t *out) {
  _Atomic int32_t *cell = p;
  int32_t old = atomic_load(cell), sum;
  do {
    int64_t wide = (int64_t)old + v;
    bool na = old == INT32_MIN || v == INT32_MIN;
    if (!na && (wide > INT32_MAX || wide <= INT32_MIN)) return SM_ERANGE;
    sum = na ? INT32_MIN : (int32_t)wide;
  } while (!atomic_compare_exchange_weak(cell, &old, sum));
  *out = sum;
  return 0;
}

int sm_atomic_add_i8(void *p, int64_t v, int64_t *out) {
  _Atomic int64_t *cell = p;
  int64_t old = atomic_load(cell), sum;
  do {
    if (v > 0 ? old > INT64_MAX - v : old < INT64_MIN - v) return SM_ERANGE;
    sum = old + v;
  } while (!atomic_compare_exchange_weak(cell, &old, sum));
  *out = sum;
  return 0;
}

int sm_atomic_add_f8(void *p, double v, double *out) {
  _Atomic uint64_t *cell = p;
  uint64_t old = atomic_load(cell), bits;
  double sum;
  do {
    memcpy(&sum, &old, sizeof sum);
    sum += v;
    memcpy(&bits, &sum, sizeof bits);
  } while (!atomic_compare_exchange_weak(cell, &old, bits));
  *out = sum;
  return 0;
}
