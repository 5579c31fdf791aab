/* kern_sort.c: see kern_sort.h.
 *
 * Steps: look (order, range, missing) -> map values to codes -> count buckets of the top bits, a row a thread
 * -> distribute packed words, each thread into its own part of each bucket -> sort buckets in cache, handed
 * out one by one. Ordered and reversed input, and codes of few bits, take shorter ways.
 */
#include "kern_sort.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kern_text.h"

#define BLOCK 512       /* codes made at a time */
#define BUCKET_BITS 11
#define DIRECT_BITS 12  /* codes of so few bits are counted straight into the result */
#define GRAIN 65536     /* elements that pay for a thread */

typedef struct {
  const sm_argsort_plan *plan;
  sm_keys_map map;
  sm_stop *stop;
  sm_place_type type;
  void *out;
  int64_t at_missing;    /* where places of missing values go; -1: nowhere */
  int64_t at_present;
  int low;               /* code bits below the bucket's number */
  int64_t buckets;       /* one more row entry than that: missing values */
  int64_t *rows;         /* np rows of counts, then of cursors */
  int index_bits;
  uint64_t *words;
  int64_t *starts;       /* of buckets in words */
  _Atomic int64_t next;  /* bucket to be sorted next */
} sort_job;

static void make_codes(const sort_job *j, int64_t from, int64_t m, uint64_t *out) {
  if (j->plan->codes)
    memcpy(out, j->plan->codes + from, (size_t)m * sizeof *out);
  else
    sm_keys_code(&j->plan->keys, &j->map, from, m, out);
}

static int64_t *row(const sort_job *j, int rank) { return j->rows + rank * (j->buckets + 1); }

static void count_work(void *arg, int rank, int np) {
  sort_job *j = arg;
  int64_t *count = row(j, rank), n = j->plan->keys.n, to = sm_share(n, rank + 1, np, BLOCK);
  uint64_t q[BLOCK];
  for (int64_t i = sm_share(n, rank, np, BLOCK); i < to && !sm_stop_due(j->stop, rank); i += BLOCK) {
    int64_t m = i + BLOCK < to ? BLOCK : to - i;
    make_codes(j, i, m, q);
    for (int64_t e = 0; e < m; e++) count[q[e] >> j->low]++;
  }
}

/* Counts become the places from which each thread writes into each bucket. */
static void counts_to_cursors(sort_job *j) {
  int64_t sum = 0;
  for (int64_t b = 0; b <= j->buckets; b++) {
    j->starts[b] = sum;
    for (int t = 0; t < j->plan->np; t++) {
      int64_t n = row(j, t)[b];
      row(j, t)[b] = sum;
      sum += n;
    }
  }
  j->starts[j->buckets + 1] = sum;
}

static void distribute_work(void *arg, int rank, int np) {
  sort_job *j = arg;
  int64_t *cursor = row(j, rank), n = j->plan->keys.n, to = sm_share(n, rank + 1, np, BLOCK);
  uint64_t q[BLOCK], mask = ((uint64_t)1 << j->low) - 1;
  for (int64_t i = sm_share(n, rank, np, BLOCK); i < to && !sm_stop_due(j->stop, rank); i += BLOCK) {
    int64_t m = i + BLOCK < to ? BLOCK : to - i;
    make_codes(j, i, m, q);
    for (int64_t e = 0; e < m; e++)
      j->words[cursor[q[e] >> j->low]++] = (q[e] & mask) << j->index_bits | (uint64_t)(i + e);
  }
}

/* Codes are bucket numbers: places go straight to where they belong. */
static void direct_work(void *arg, int rank, int np) {
  sort_job *j = arg;
  int64_t *cursor = row(j, rank), n = j->plan->keys.n, to = sm_share(n, rank + 1, np, BLOCK);
  uint64_t q[BLOCK];
  for (int64_t b = 0; b < j->buckets; b++) cursor[b] += j->at_present;
  cursor[j->buckets] += j->at_missing - j->starts[j->buckets];
  for (int64_t i = sm_share(n, rank, np, BLOCK); i < to && !sm_stop_due(j->stop, rank); i += BLOCK) {
    int64_t m = i + BLOCK < to ? BLOCK : to - i;
    make_codes(j, i, m, q);
#define PUT(T)                                                                      \
  if (j->at_missing < 0)                                                            \
    for (int64_t e = 0; e < m; e++) {                                               \
      if (q[e] != (uint64_t)j->buckets) out[cursor[q[e]]++] = (T)(i + e + 1);         \
    }                                                                               \
  else                                                                              \
    for (int64_t e = 0; e < m; e++) out[cursor[q[e]]++] = (T)(i + e + 1);
    switch (j->type) {
    case SM_PLACE_I4: { int32_t *out = j->out; PUT(int32_t) break; }
    case SM_PLACE_I8: { int64_t *out = j->out; PUT(int64_t) break; }
    case SM_PLACE_F8: { double *out = j->out; PUT(double) break; }
    }
  }
}

/* Sort buckets; the last task is the bucket of missing values, which are all equal. */
static void bucket_work(void *arg, int rank, int np) {
  sort_job *j = arg;
  sm_cell_job cell = {&j->plan->keys, j->stop, rank, j->index_bits, j->type, j->out};
  uint64_t *scratch = NULL;
  int64_t room = 0, b;
  (void)np;
  while ((b = atomic_fetch_add(&j->next, 1)) <= j->buckets && !sm_stop_due(j->stop, rank)) {
    int64_t m = j->starts[b + 1] - j->starts[b];
    uint64_t *a = j->words + j->starts[b];
    if (m == 0) continue;
    if (b == j->buckets) {
      if (j->at_missing >= 0) sm_cell_emit(&cell, a, m, j->at_missing);
      continue;
    }
    if (m > room) {
      sm_scratch_free(scratch, (size_t)room * sizeof *scratch);
      room = m < 4096 ? 4096 : m;
      scratch = sm_scratch_new((size_t)room * sizeof *scratch);
      if (!scratch) {
        sm_stop_set(j->stop, -ENOMEM);
        break;
      }
    }
    sm_cell_sort(&cell, a, scratch, m, j->low, j->map.exact, j->starts[b] + j->at_present);
  }
  sm_scratch_free(scratch, (size_t)room * sizeof *scratch);
}

/* Write the indices from, ..., to - 1 at out[at], out[at + 1], ... as places. */
static void put_range(const sort_job *j, int64_t from, int64_t to, int64_t at) {
#define RANGE(T) \
  for (T *o = (T *)j->out + at; from < to; from++) *o++ = (T)(from + 1);
  switch (j->type) {
  case SM_PLACE_I4: RANGE(int32_t) break;
  case SM_PLACE_I8: RANGE(int64_t) break;
  case SM_PLACE_F8: RANGE(double) break;
  }
}

/* Write from - 1, from - 2, ..., to as places at out[at], ...: a stretch without equal neighbours, reversed. */
static void put_reversed(const sort_job *j, int64_t from, int64_t to, int64_t at) {
#define REVERSED(T) \
  for (T *o = (T *)j->out + at; from > to; from--) *o++ = (T)from;
  switch (j->type) {
  case SM_PLACE_I4: REVERSED(int32_t) break;
  case SM_PLACE_I8: REVERSED(int64_t) break;
  case SM_PLACE_F8: REVERSED(double) break;
  }
}

/* Input in the reverse order: runs of equal elements keep their order, the runs are reversed. */
static void reverse_work(void *arg, int rank, int np) {
  sort_job *j = arg;
  const sm_keys *k = &j->plan->keys;
  sm_keys_map plain = {.base = k->decreasing ? j->plan->stats.hi : j->plan->stats.lo};
  int64_t n = k->n, run = sm_share(n, rank, np, BLOCK), to = sm_share(n, rank + 1, np, BLOCK), m;
  uint64_t q[BLOCK + 1];
  while (run > 0 && run < to && sm_keys_at(k, run, 0) == sm_keys_at(k, run - 1, 0)) run++;
  if (run == to) return;
  while (to < n && sm_keys_at(k, to, 0) == sm_keys_at(k, to - 1, 0)) to++;
  for (int64_t i = run; i < to && !sm_stop_due(j->stop, rank); i += m) {
    int64_t ties = 0;
    m = i + BLOCK < to ? BLOCK : to - i;
    sm_keys_code(k, &plain, i, i + m < to ? m + 1 : m, q);
    if (i + m == to) q[m] = ~q[m - 1];
    for (int64_t e = 0; e < m; e++) ties += q[e] == q[e + 1];
    if (ties == 0) { /* the run before may reach into this block by its first element */
      put_range(j, run, i + 1, n - i - 1);
      put_reversed(j, i + m, i + 1, n - i - m);
      run = i + m;
      continue;
    }
    for (int64_t e = 0; e < m; e++)
      if (q[e] != q[e + 1]) {
        put_range(j, run, i + e + 1, n - (i + e + 1));
        run = i + e + 1;
      }
  }
}

static void count_up_work(void *arg, int rank, int np) {
  sort_job *j = arg;
  int64_t to = sm_share(j->plan->keys.n, rank + 1, np, BLOCK);
  for (int64_t i = sm_share(j->plan->keys.n, rank, np, BLOCK); i < to && !sm_stop_due(j->stop, rank); i += BLOCK)
    put_range(j, i, i + BLOCK < to ? i + BLOCK : to, i);
}

int sm_argsort_look(const sm_keys *keys, int np, sm_stop *stop, sm_argsort_plan *plan) {
  *plan = (sm_argsort_plan){.keys = *keys};
  plan->np = sm_threads_for(np, keys->n, GRAIN);
  if (keys->n == 0) {
    plan->stats = (sm_keys_stats){0, true, true, false, UINT64_MAX, 0};
    return 0;
  }
  if (!sm_keys_is_string(keys)) return sm_keys_scan(keys, plan->np, stop, &plan->stats);
  plan->codes = sm_scratch_new((size_t)keys->n * sizeof *plan->codes);
  if (!plan->codes) return -ENOMEM;
  int rc = sm_text_code(keys, plan->np, stop, plan->codes, &plan->map, &plan->stats);
  if (rc < 0) sm_argsort_free(plan);
  return rc;
}

void sm_argsort_free(sm_argsort_plan *plan) {
  sm_scratch_free(plan->codes, (size_t)plan->keys.n * sizeof *plan->codes);
  plan->codes = NULL;
}

bool sm_argsort_is_identity(const sm_argsort_plan *plan) {
  return plan->stats.missing == 0 && (plan->keys.decreasing ? plan->stats.descending : plan->stats.ascending);
}

static int bit_length(uint64_t x) {
  int n = 0;
  for (; x; x >>= 1) n++;
  return n;
}

/* How codes are made, and how many of their bits name the bucket. */
static void choose(sort_job *j) {
  const sm_keys *k = &j->plan->keys;
  int bucket_bits = bit_length((uint64_t)k->n) - 13;
  bucket_bits = bucket_bits < 0 ? 0 : bucket_bits > BUCKET_BITS ? BUCKET_BITS : bucket_bits;
  j->index_bits = bit_length((uint64_t)k->n - 1);
  int most = 64 - j->index_bits + bucket_bits;
  most = most < 62 ? most : 62;
  if (j->plan->codes) {
    j->map = j->plan->map;
  } else if (j->plan->stats.lo > j->plan->stats.hi) {
    j->map = (sm_keys_map){.exact = true};
  } else {
    sm_keys_map_choose(k, &j->plan->stats, most, bucket_bits, &j->map);
  }
  j->low = j->map.bits > bucket_bits ? j->map.bits - bucket_bits : 0;
  if (j->map.exact && j->map.bits <= DIRECT_BITS && (int64_t)1 << j->map.bits <= k->n) j->low = 0;
  j->buckets = (int64_t)1 << (j->map.bits - j->low);
  j->map.missing = (uint64_t)j->buckets << j->low;
}

static int run_buckets(sort_job *j) {
  int np = j->plan->np;
  int64_t n = j->plan->keys.n;
  bool direct = j->low == 0 && j->map.exact;
  int rc = sm_threads_run(np, count_work, j, j->stop);
  if (rc < 0) return rc;
  counts_to_cursors(j);
  if (direct) return sm_threads_run(np, direct_work, j, j->stop);
  j->words = sm_scratch_new((size_t)n * sizeof *j->words);
  if (!j->words) return -ENOMEM;
  rc = sm_threads_run(np, distribute_work, j, j->stop);
  if (rc == 0) rc = sm_threads_run(np, bucket_work, j, j->stop);
  sm_scratch_free(j->words, (size_t)n * sizeof *j->words);
  return rc;
}

int sm_argsort_run(const sm_argsort_plan *plan, sm_missing missing, sm_place_type type, void *out, sm_stop *stop) {
  sort_job j = {.plan = plan, .stop = stop, .type = type, .out = out};
  const sm_keys *k = &plan->keys;
  if (k->n == 0) return 0;
  if (sm_argsort_is_identity(plan)) return sm_threads_run(plan->np, count_up_work, &j, stop);
  if (!plan->codes && (k->decreasing ? plan->stats.ascending : plan->stats.descending))
    return sm_threads_run(plan->np, reverse_work, &j, stop);
  int64_t present = k->n - plan->stats.missing;
  j.at_missing = missing == SM_MISSING_LAST ? present : missing == SM_MISSING_FIRST ? 0 : -1;
  j.at_present = missing == SM_MISSING_FIRST ? plan->stats.missing : 0;
  choose(&j);
  size_t entries = (size_t)(j.buckets + 1) * (size_t)plan->np;
  j.rows = calloc(entries, sizeof *j.rows);
  j.starts = calloc((size_t)j.buckets + 2, sizeof *j.starts);
  int rc = j.rows && j.starts ? run_buckets(&j) : -ENOMEM;
  free(j.rows);
  free(j.starts);
  return rc;
}
