/* task_rng.c: see task_rng.h. The constants are those of SeedSequence (numpy/random/bit_generator.pyx). */
#include "task_rng.h"

#define POOL 4
#define MAX1 4294967086u /* m1 - 1 */
#define MAX2 4294944442u /* m2 - 1 */

static uint32_t fold(uint32_t x) { return x ^ x >> 16; }

static uint32_t hash(uint32_t value, uint32_t *factor) {
  value ^= *factor;
  *factor *= 0x931E8875u;
  return fold(value * *factor);
}

static uint32_t mix(uint32_t x, uint32_t y) { return fold(0xCA01F9DDu * x - 0x4973F715u * y); }

static void add_word(sm_rng_base *b, uint32_t word) {
  for (int i = 0; i < POOL; i++) b->pool[i] = mix(b->pool[i], hash(word, &b->factor));
}

void sm_rng_base_init(sm_rng_base *b, const uint32_t *entropy, size_t n) {
  b->factor = 0x43B0D7E5u;
  for (size_t i = 0; i < POOL; i++) b->pool[i] = hash(i < n ? entropy[i] : 0, &b->factor);
  for (int from = 0; from < POOL; from++)
    for (int to = 0; to < POOL; to++)
      if (from != to) b->pool[to] = mix(b->pool[to], hash(b->pool[from], &b->factor));
  for (size_t i = POOL; i < n; i++) add_word(b, entropy[i]);
}

void sm_rng_words(const sm_rng_base *b, uint32_t *out, int n) {
  uint32_t factor = 0x8B51F9DDu;
  for (int i = 0; i < n; i++) {
    uint32_t value = b->pool[i % POOL] ^ factor;
    factor *= 0x58F38DEDu;
    out[i] = fold(value * factor);
  }
}

void sm_rng_item(const sm_rng_base *b, uint64_t k, sm_rng_state *out) {
  sm_rng_base own = *b;
  add_word(&own, (uint32_t)k);
  if (k >> 32) add_word(&own, (uint32_t)(k >> 32));
  sm_rng_words(&own, out->s, 6);
  for (int i = 0; i < 6; i++) out->s[i] = 1 + out->s[i] % (i < 3 ? MAX1 : MAX2);
}
