/* kern_text.c: see kern_text.h.
 *
 * Steps: guess the common prefix from a sample -> mark the bytes that occur at each of the PLACES after the prefix (from
 * the start if the guess was wrong) -> weights -> codes. Places with one byte cost no bits.
 */
#include "kern_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 16
#define SAMPLE 512
#define BLOCK 4096

typedef struct {
  uint8_t used[PLACES][256];
  int64_t longest; /* bytes */
  int shortest;    /* place of the first NUL of any string, PLACES if there is none */
  bool prefix_differs;
  int64_t missing;
  bool in_order;
} census;

typedef struct {
  const sm_keys *k;
  sm_stop *stop;
  const char *first; /* a string that is there */
  size_t prefix;
  uint64_t weight[PLACES][256];
  uint64_t last; /* greatest code */
  int places;    /* that codes hold */
  bool exact;
  uint64_t missing;
  uint64_t *out;
  census *parts; /* one a thread */
} text_job;

static const char *text_at(const sm_keys *k, int64_t i) {
  if (k->type == SM_KEY_PTR) return ((const char *const *)k->data)[i];
  const char *s = (const char *)k->data + (size_t)i * k->width;
  return (unsigned char)s[0] == 0xFF ? NULL : s;
}

static size_t limit_of(const sm_keys *k) { return k->type == SM_KEY_STR ? k->width : SIZE_MAX; }

/* Bytes that all strings of a sample have in common with the first that is there. */
static void guess_prefix(void *arg, int rank, int np) {
  text_job *j = arg;
  const sm_keys *k = j->k;
  (void)rank, (void)np;
  int64_t step = k->n / SAMPLE > 0 ? k->n / SAMPLE : 1;
  for (int64_t i = 0; i < k->n && !j->first; i++) j->first = text_at(k, i);
  if (!j->first) return;
  size_t limit = limit_of(k), common = 0;
  while (common < limit && j->first[common]) common++;
  for (int64_t i = 0; i < k->n; i += step) {
    const char *s = text_at(k, i);
    size_t same = 0;
    while (s && same < common && s[same] == j->first[same]) same++;
    if (s) common = same;
  }
  j->prefix = common;
}

static void census_work(void *arg, int rank, int np) {
  text_job *j = arg;
  census *c = &j->parts[rank];
  const sm_keys *k = j->k;
  size_t limit = limit_of(k);
  int64_t to = sm_share(k->n, rank + 1, np, BLOCK);
  memset(c, 0, sizeof *c);
  c->shortest = PLACES;
  for (int64_t i = sm_share(k->n, rank, np, BLOCK); i < to; i++) {
    if ((i & 4095) == 0 && sm_stop_due(j->stop, rank)) return;
    const char *s = text_at(k, i);
    if (!s) continue;
    if (j->prefix > 0 && strncmp(s, j->first, j->prefix) != 0) {
      c->prefix_differs = true;
      return;
    }
    int p = 0;
    for (size_t at = j->prefix; p < PLACES && at < limit && s[at]; p++, at++) c->used[p][(unsigned char)s[at]] = 1;
    if (p < c->shortest) c->shortest = p;
    if (p == PLACES && j->prefix + PLACES < limit && s[j->prefix + PLACES]) p++;
    if (p > c->longest) c->longest = p;
  }
}

/* Weights of bytes by place, as many places as fit in `bits`. */
static void weigh(text_job *j, const census *all, int bits) {
  uint64_t product = 1, most = (uint64_t)1 << bits;
  int radix[PLACES], p = 0;
  for (; p < PLACES; p++) {
    radix[p] = 0;
    for (int c = 0; c < 256; c++) radix[p] += all->used[p][c] || (c == 0 && all->shortest <= p);
    if (radix[p] == 0) radix[p] = 1;
    if (product > most / (uint64_t)radix[p]) break;
    product *= (uint64_t)radix[p];
  }
  j->places = p;
  j->last = product - 1;
  j->exact = all->longest <= p;
  for (int q = 0; q < p; q++) {
    product /= (uint64_t)radix[q];
    uint64_t digit = 0;
    for (int c = 0; c < 256; c++)
      if (all->used[q][c] || (c == 0 && all->shortest <= q)) j->weight[q][c] = digit++ * product;
  }
}

static int take_census(text_job *j, const sm_work *work, int bits) {
  int rc = sm_threads_one(work, guess_prefix, j), np = work->np;
  for (;;) {
    if (rc == 0) rc = sm_threads_run(work, census_work, j);
    if (rc < 0) return rc;
    census *all = &j->parts[0];
    for (int t = 1; t < np; t++) {
      const census *c = &j->parts[t];
      for (int p = 0; p < PLACES; p++)
        for (int b = 0; b < 256; b++) all->used[p][b] |= c->used[p][b];
      if (c->longest > all->longest) all->longest = c->longest;
      if (c->shortest < all->shortest) all->shortest = c->shortest;
      all->prefix_differs |= c->prefix_differs;
    }
    if (!all->prefix_differs) {
      weigh(j, all, bits);
      return 0;
    }
    j->prefix = 0;
  }
}

static inline uint64_t code_one(const text_job *j, int64_t i, size_t limit) {
  const char *s = text_at(j->k, i);
  uint64_t code = 0;
  if (!s) return j->missing;
  s += j->prefix;
  limit -= j->prefix;
  int places = (size_t)j->places < limit ? j->places : (int)limit;
  for (int p = 0; p < places && s[p]; p++) code += j->weight[p][(unsigned char)s[p]];
  return j->k->decreasing ? j->last - code : code;
}

static void code_work(void *arg, int rank, int np) {
  text_job *j = arg;
  int64_t from = sm_share(j->k->n, rank, np, BLOCK), to = sm_share(j->k->n, rank + 1, np, BLOCK), missing = 0;
  size_t limit = limit_of(j->k);
  bool in_order = true;
  uint64_t prev = from > 0 ? code_one(j, from - 1, limit) : 0;
  if (prev == j->missing) in_order = false;
  for (int64_t i = from; i < to; i++) {
    if ((i & 4095) == 0 && sm_stop_due(j->stop, rank)) break;
    uint64_t q = code_one(j, i, limit);
    j->out[i] = q;
    missing += q == j->missing;
    if (in_order && i > 0) in_order = q != j->missing && (prev < q || (prev == q && (j->exact || sm_keys_compare(j->k, i - 1, i) <= 0)));
    prev = q;
  }
  j->parts[rank].missing = missing;
  j->parts[rank].in_order = in_order;
}

int sm_text_code(const sm_keys *k, const sm_work *work, uint64_t *out, sm_keys_map *map, sm_keys_stats *stats) {
  int bits = 64, rc = -ENOMEM, np = work->np;
  for (uint64_t last = (uint64_t)k->n; last; last >>= 1) bits--;
  if (bits > 52) bits = 52;
  text_job *j = calloc(1, sizeof *j);
  if (!j) return rc;
  j->k = k;
  j->stop = work->stop;
  j->out = out;
  j->missing = UINT64_MAX;
  j->parts = calloc((size_t)np, sizeof *j->parts);
  if (j->parts) rc = take_census(j, work, bits);
  *map = (sm_keys_map){.exact = j->exact};
  while (map->bits < 62 && j->last >> map->bits) map->bits++;
  j->missing = map->missing = (uint64_t)1 << map->bits;
  if (rc == 0) rc = sm_threads_run(work, code_work, j);
  *stats = (sm_keys_stats){0, true, true, false, UINT64_MAX, 0};
  for (int t = 0; rc == 0 && t < np; t++) {
    stats->missing += j->parts[t].missing;
    stats->ascending &= j->parts[t].in_order;
  }
  stats->ascending &= stats->missing == 0;
  stats->descending = stats->ascending;
  free(j->parts);
  free(j);
  return rc;
}
