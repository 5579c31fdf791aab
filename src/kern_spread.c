/* kern_spread.c: see kern_spread.h. */
#include "kern_spread.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLE 1024

/* The double of a key. */
static double key_double(uint64_t key) {
  uint64_t u = key >> 63 ? key ^ (uint64_t)1 << 63 : ~key;
  double x;
  memcpy(&x, &u, sizeof x);
  return x;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Linear over [lo, hi] with the given scale, or the one that fills `bits`. */
static void map_linear(double lo, double hi, double scale, int bits, bool decreasing, sm_keys_map *m) {
  *m = (sm_keys_map){.linear = true, .bits = bits, .top = (double)(((uint64_t)1 << bits) - 1)};
  if (scale == 0) scale = m->top / (hi - lo);
  m->origin = decreasing ? hi : lo;
  m->scale = decreasing ? -scale : scale;
}

/* How many pairs of the sorted sample fall in the same of 2^coarse buckets. */
static double crowding(const sm_keys *sample, const sm_keys_map *m, int coarse, uint64_t *codes) {
  sm_keys_code(sample, m, 0, sample->n, codes);
  double pairs = 0;
  int64_t run = 1;
  for (int64_t i = 1; i < sample->n; i++, run++) {
    int shift = m->bits > coarse ? m->bits - coarse : 0;
    if (codes[i] >> shift != codes[i - 1] >> shift) run = 0;
    pairs += (double)run;
  }
  return pairs;
}

/* A linear map over the bulk of a sample, if that spreads the values better than `plain` does. */
static void try_linear(const sm_keys *k, double least, double most, int bits, int coarse, sm_keys_map *plain) {
  double sample[SAMPLE];
  uint64_t codes[SAMPLE];
  int64_t m = 0, step = k->n / SAMPLE;
  uint64_t lcg = 12345;
  for (int64_t i = 0; i < SAMPLE; i++) {
    lcg = lcg * 6364136223846793005u + 1442695040888963407u;
    int64_t at = i * step + (int64_t)((lcg >> 33) % (uint64_t)step);
    double x = k->type == SM_KEY_F8 ? ((const double *)k->data)[at] : (double)((const float *)k->data)[at];
    if (x == x) sample[m++] = x;
  }
  if (m < SAMPLE / 16) return;
  qsort(sample, (size_t)m, sizeof *sample, by_value);
  double first = sample[m / 100], last = sample[m - 1 - m / 100], margin = (last - first) / 2;
  if (first - margin > least) least = first - margin;
  if (last + margin < most) most = last + margin;
  sm_keys_map linear;
  map_linear(least, most, 0, bits > 52 ? 52 : bits, k->decreasing, &linear);
  double size = linear.scale < 0 ? -linear.scale : linear.scale;
  if (!(most - least <= 1e308) || !(size > 0 && size <= 1e300)) return;
  sm_keys s = {SM_KEY_F8, sample, m, 0, k->decreasing};
  if (crowding(&s, &linear, coarse, codes) < crowding(&s, plain, coarse, codes)) *plain = linear;
}

void sm_spread_choose(const sm_keys *k, const sm_keys_stats *stats, int bits, int coarse, sm_keys_map *out) {
  int range = sm_keys_bits(stats->hi - stats->lo);
  *out = (sm_keys_map){.base = k->decreasing ? stats->hi : stats->lo, .shift = range > bits ? range - bits : 0};
  out->bits = range - out->shift;
  out->exact = out->shift == 0;
  if ((k->type != SM_KEY_F8 && k->type != SM_KEY_F4) || range <= coarse) return;
  double least = key_double(stats->lo), most = key_double(stats->hi);
  if (stats->whole && most - least <= 0x1p54) { /* more only where the data change under the scan */
    int need = sm_keys_bits((uint64_t)(int64_t)(most - least));
    if (need > bits || need > 52) return;
    map_linear(least, most, 1, need, k->decreasing, out);
    out->exact = true;
  } else if (k->n >= 16 * SAMPLE) {
    try_linear(k, least, most, bits, coarse, out);
  }
}
