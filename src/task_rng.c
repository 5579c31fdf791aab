/* task_rng.c: see task_rng.h. */
#include "task_rng.h"

#include <string.h>

#define M1 UINT64_C(4294967087)
#define M2 UINT64_C(4294944443)

typedef struct {
  uint64_t a[3][3];
} matrix;

/* Both components moved on by 2^127 steps. */
static const matrix jump1 = {
    {{2427906178u, 3580155704u, 949770784u}, {226153695u, 1230515664u, 3580155704u}, {1988835001u, 986791581u, 1230515664u}}};
static const matrix jump2 = {
    {{1464411153u, 277697599u, 1610723613u}, {32183930u, 1464411153u, 1022607788u}, {2824425944u, 32183930u, 2093834863u}}};

static void apply(const matrix *m, uint64_t mod, uint32_t v[3]) {
  uint64_t out[3];
  for (int i = 0; i < 3; i++) {
    uint64_t sum = 0;
    for (int j = 0; j < 3; j++) sum = (sum + m->a[i][j] * v[j] % mod) % mod;
    out[i] = sum;
  }
  for (int i = 0; i < 3; i++) v[i] = (uint32_t)out[i];
}

static void square(matrix *m, uint64_t mod) {
  matrix r;
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++) {
      uint64_t sum = 0;
      for (int k = 0; k < 3; k++) sum = (sum + m->a[i][k] * m->a[k][j] % mod) % mod;
      r.a[i][j] = sum;
    }
  *m = r;
}

static uint64_t mix(uint64_t *x) {
  uint64_t z = (*x += UINT64_C(0x9E3779B97F4A7C15));
  z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
  return z ^ z >> 31;
}

void sm_rng_base(uint64_t bits, sm_rng_state *out) {
  for (int i = 0; i < 6; i++) out->s[i] = (uint32_t)(1 + mix(&bits) % ((i < 3 ? M1 : M2) - 1));
}

void sm_rng_stream(const sm_rng_state *base, uint64_t k, sm_rng_state *out) {
  matrix m1 = jump1, m2 = jump2;
  *out = *base;
  for (; k; k >>= 1) {
    if (k & 1) {
      apply(&m1, M1, out->s);
      apply(&m2, M2, out->s + 3);
    }
    if (k > 1) {
      square(&m1, M1);
      square(&m2, M2);
    }
  }
}
