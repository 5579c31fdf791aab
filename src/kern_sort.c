/* kern_sort.c: see kern_sort.h.
 *
 * Steps: look (order, range, missing) -> map values to codes -> count buckets of the top bits, a row a thread
 * -> distribute packed words, each thread into its own part of each bucket -> sort buckets in cache, handed
 * out one by one. Ordered and reversed input takes shorter ways; where codes are few, or (a sample
 * says whether that is worth a try) distinct values are, places go straight to where they belong.
 */
#include "kern_sort.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kern_spread.h"
#include "kern_text.h"

#define BLOCK SM_FEW_BLOCK /* codes made at a time */
#define BUCKET_BITS 11
#define DIRECT_BITS 12 /* codes of so few bits are counted straight into the result */
#define GRAIN 65536    /* elements that pay for a thread */
#define SAMPLE 64
#define WARM ((size_t)512 << 10)
#define LINE_STEP 64 /* places of a sequence written by a loop of constant count */

typedef struct {
  const sm_argsort_plan *plan;
  sm_keys_map map;
  sm_stop *stop;
  sm_place_type type;
  void *out;
  int64_t at_missing; /* where places of missing values go; -1: nowhere */
  int64_t at_present;
  int low;         /* code bits below the bucket's number */
  int64_t buckets; /* one more row entry than that: missing values */
  int64_t *rows;   /* np rows of counts, then of cursors */
  int index_bits;
  uint64_t *words;
  int64_t *starts;      /* of buckets in words */
  _Atomic int64_t next; /* bucket to be sorted next */
} sort_job;

static void make_codes(const sort_job *j, int64_t from, int64_t m, uint64_t *out) {
  if (j->plan->codes) memcpy(out, j->plan->codes + from, (size_t)m * sizeof *out);
  else sm_keys_code(&j->plan->keys, &j->map, from, m, out);
}

static int64_t *row(const sort_job *j, int rank) { return j->rows + rank * (j->buckets + 1); }

/* The same for codes of few bits, of elements in the share of `rank`. */
static void small_codes(const sort_job *j, int rank, int64_t from, int64_t m, uint16_t *out) {
  if (j->plan->few) sm_few_codes(&j->plan->words, rank, from, m, out);
  else if (j->plan->codes)
    for (int64_t e = 0; e < m; e++) out[e] = (uint16_t)(j->plan->codes[from + e] & UINT16_MAX);
  else sm_keys_code_small(&j->plan->keys, &j->map, from, m, out);
}

static void count_small_work(void *arg, int rank, int np) {
  sort_job *j = arg;
  int64_t *count = row(j, rank), n = j->plan->keys.n, to = sm_share(n, rank + 1, np, BLOCK);
  uint16_t q[BLOCK];
  for (int64_t i = sm_share(n, rank, np, BLOCK); i < to && !sm_stop_due(j->stop, rank); i += BLOCK) {
    int64_t m = i + BLOCK < to ? BLOCK : to - i;
    small_codes(j, rank, i, m, q);
    for (int64_t e = 0; e < m; e++) count[q[e]]++;
  }
}

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
    for (int64_t e = 0; e < m; e++) j->words[cursor[q[e] >> j->low]++] = (q[e] & mask) << j->index_bits | (uint64_t)(i + e);
  }
}

/* Codes are bucket numbers: places go straight to where they belong. */
static void direct_work(void *arg, int rank, int np) {
  sort_job *j = arg;
  int64_t *cursor = row(j, rank), n = j->plan->keys.n, to = sm_share(n, rank + 1, np, BLOCK);
  uint16_t q[BLOCK];
  for (int64_t b = 0; b < j->buckets; b++) cursor[b] += j->at_present;
  cursor[j->buckets] += j->at_missing - j->starts[j->buckets];
  for (int64_t i = sm_share(n, rank, np, BLOCK); i < to && !sm_stop_due(j->stop, rank); i += BLOCK) {
    int64_t m = i + BLOCK < to ? BLOCK : to - i;
    small_codes(j, rank, i, m, q);
#define PUT(T)                                                      \
  if (j->at_missing < 0)                                            \
    for (int64_t e = 0; e < m; e++) {                               \
      if (q[e] != j->buckets) out[cursor[q[e]]++] = (T)(i + e + 1); \
    }                                                               \
  else                                                              \
    for (int64_t e = 0; e < m; e++) out[cursor[q[e]]++] = (T)(i + e + 1);
    switch (j->type) {
    case SM_PLACE_I4: {
      int32_t *out = j->out;
      PUT(int32_t) break;
    }
    case SM_PLACE_I8: {
      int64_t *out = j->out;
      PUT(int64_t) break;
    }
    case SM_PLACE_F8: {
      double *out = j->out;
      PUT(double) break;
    }
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
      sm_scratch_free(scratch);
      room = m < 4096 ? 4096 : m;
      scratch = sm_scratch_new((size_t)room * sizeof *scratch);
      if (!scratch) {
        sm_stop_set(j->stop, -ENOMEM);
        break;
      }
    }
    sm_cell_sort(&cell, a, scratch, m, j->low, j->map.exact, j->starts[b] + j->at_present);
  }
  sm_scratch_free(scratch);
}

/* Write first + 1, first + 1 + step, ... (m places; step is 1 or -1) at out[at], ... */
static void put_line(const sort_job *j, int64_t first, int step, int64_t m, int64_t at) {
#define LINE(T)                                                                              \
  {                                                                                          \
    T *o = (T *)j->out + at;                                                                 \
    for (first++; m >= LINE_STEP; m -= LINE_STEP, o += LINE_STEP, first += step * LINE_STEP) \
      for (int e = 0; e < LINE_STEP; e++) o[e] = (T)(first + step * e);                      \
    for (; m > 0; m--, first += step) *o++ = (T)first;                                       \
    return;                                                                                  \
  }
  switch (j->type) {
  case SM_PLACE_I4: LINE(int32_t)
  case SM_PLACE_I8: LINE(int64_t)
  case SM_PLACE_F8: LINE(double)
  }
}

static void put_range(const sort_job *j, int64_t from, int64_t to, int64_t at) { put_line(j, from, 1, to - from, at); }

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
    m = i + BLOCK < to ? BLOCK : to - i;
    if (!sm_keys_ties(k, i, i + m < n ? m : m - 1)) { /* the run before may reach into this block by its first element */
      put_range(j, run, i + 1, n - i - 1);
      put_line(j, i + m - 1, -1, m - 1, n - i - m);
      run = i + m;
      continue;
    }
    sm_keys_code(k, &plain, i, i + m < to ? m + 1 : m, q);
    if (i + m == to) q[m] = ~q[m - 1];
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

/* True if elements spread over all neither rise nor fall throughout, so that a scan would not end the matter. */
static bool sample_mixed(const sm_keys *k) {
  bool up = false, down = false;
  for (int64_t i = 1, step = k->n / SAMPLE; i < SAMPLE; i++) {
    int c = sm_keys_compare(k, (i - 1) * step, i * step);
    up |= c < 0;
    down |= c > 0;
  }
  return up && down;
}

static void take_ranks(sm_argsort_plan *plan) {
  bool in_order = plan->words.in_order;
  plan->stats = (sm_keys_stats){plan->words.missing, in_order, in_order, false, UINT64_MAX, 0};
}

/* Numbers by a dictionary, if they have one. */
static int look_few(sm_argsort_plan *plan, sm_stop *stop) {
  const sm_keys *k = &plan->keys;
  int rc = sm_few_find(k->data, sm_keys_width(k), k->n, plan->np, stop, &plan->words);
  if (rc <= 0) return rc;
  plan->few = true;
  sm_few_rank_numbers(&plan->words, k);
  take_ranks(plan);
  return 0;
}

/* Eight bytes are scanned as slowly as they are looked up; of four bytes the range may tell that no look-up is needed. */
static int look_numbers(sm_argsort_plan *plan, sm_stop *stop) {
  const sm_keys *k = &plan->keys;
  size_t width = sm_keys_width(k);
  bool few = width >= 4 && sm_few_likely(k->data, width, k->n) && sample_mixed(k);
  if (few && width == 8) {
    int rc = look_few(plan, stop);
    if (rc < 0 || plan->few) return rc;
  }
  int rc = sm_keys_scan(k, plan->np, stop, &plan->stats);
  if (rc < 0 || !few || width == 8 || (plan->stats.hi - plan->stats.lo) >> DIRECT_BITS == 0) return rc;
  return look_few(plan, stop);
}

int sm_argsort_look_pointers(const void *const *pointers, int64_t n, bool decreasing, int np, sm_stop *stop, sm_argsort_plan *plan) {
  *plan = (sm_argsort_plan){.keys = {SM_KEY_PTR, pointers, n, 0, decreasing}};
  plan->np = sm_threads_for(np, n, GRAIN);
  if (!sm_few_likely(pointers, sizeof *pointers, n)) return 0;
  int rc = sm_few_find(pointers, sizeof *pointers, n, plan->np, stop, &plan->words);
  plan->few = rc == 1;
  return rc;
}

void sm_argsort_rank(sm_argsort_plan *plan, const char *const *texts) {
  sm_few_rank_texts(&plan->words, texts, plan->keys.decreasing);
  take_ranks(plan);
}

/* Strings that the core can read: by their pointers, else by their bytes. */
static int look_texts(sm_argsort_plan *plan, sm_stop *stop) {
  sm_keys k = plan->keys;
  int rc = k.type == SM_KEY_PTR ? sm_argsort_look_pointers(k.data, k.n, k.decreasing, plan->np, stop, plan) : 0;
  if (rc < 0) return rc;
  if (rc > 0) {
    const char *texts[SM_FEW_MOST + 1];
    for (int i = 0; i <= sm_few_count(&plan->words); i++) texts[i] = (const char *)(uintptr_t)sm_few_word(&plan->words, i);
    sm_argsort_rank(plan, texts);
    return 0;
  }
  plan->codes = sm_scratch_new((size_t)k.n * sizeof *plan->codes);
  if (!plan->codes) return -ENOMEM;
  rc = sm_text_code(&k, plan->np, stop, plan->codes, &plan->map, &plan->stats);
  if (rc < 0) sm_argsort_free(plan);
  return rc;
}

int sm_argsort_look(const sm_keys *keys, int np, sm_stop *stop, sm_argsort_plan *plan) {
  *plan = (sm_argsort_plan){.keys = *keys};
  plan->np = sm_threads_for(np, keys->n, GRAIN);
  plan->stats = (sm_keys_stats){0, true, true, false, UINT64_MAX, 0};
  if (keys->n == 0) return 0;
  return sm_keys_is_string(keys) ? look_texts(plan, stop) : look_numbers(plan, stop);
}

void sm_argsort_free(sm_argsort_plan *plan) {
  sm_scratch_free(plan->codes);
  if (plan->few) sm_few_free(&plan->words);
  plan->codes = NULL;
  plan->few = false;
}

bool sm_argsort_is_identity(const sm_argsort_plan *plan) {
  return plan->stats.missing == 0 && (plan->keys.decreasing ? plan->stats.descending : plan->stats.ascending);
}

/* How codes are made, and how many of their bits name the bucket. */
static void choose(sort_job *j) {
  const sm_keys *k = &j->plan->keys;
  int bucket_bits = sm_keys_bits((uint64_t)k->n) - 13;
  bucket_bits = bucket_bits < 0 ? 0 : bucket_bits > BUCKET_BITS ? BUCKET_BITS : bucket_bits;
  j->index_bits = sm_keys_bits((uint64_t)k->n - 1);
  if (j->plan->few) {
    j->buckets = j->plan->words.ranks;
    j->map.exact = true;
    return;
  }
  int most = 64 - j->index_bits + bucket_bits;
  most = most < 62 ? most : 62;
  if (j->plan->codes) {
    j->map = j->plan->map;
  } else if (j->plan->stats.lo > j->plan->stats.hi) {
    j->map = (sm_keys_map){.exact = true};
  } else {
    sm_spread_choose(k, &j->plan->stats, most, bucket_bits, &j->map);
  }
  j->low = j->map.bits > bucket_bits ? j->map.bits - bucket_bits : 0;
  if (j->map.exact && j->map.bits <= DIRECT_BITS && (int64_t)1 << j->map.bits <= 4 * k->n) j->low = 0;
  j->buckets = (int64_t)1 << (j->map.bits - j->low);
  j->map.missing = (uint64_t)j->buckets << j->low;
}

/* Bring a result that fits in a processor's cache into it in one stream, before places go here and there. */
static void warm(const sort_job *j, int64_t length) {
  size_t nbytes = (size_t)length * (j->type == SM_PLACE_I4 ? 4 : 8);
  volatile char *out = j->out;
  if (nbytes <= WARM)
    for (size_t i = 0; i < nbytes; i += SM_CACHELINE) out[i] = 0;
}

static int run_buckets(sort_job *j) {
  int np = j->plan->np;
  int64_t n = j->plan->keys.n;
  bool direct = j->low == 0 && j->map.exact;
  int rc = 0;
  if (j->plan->few)
    for (int t = 0; t < np; t++) sm_few_tally(&j->plan->words, t, row(j, t));
  else rc = sm_threads_run(np, direct ? count_small_work : count_work, j, j->stop);
  if (rc < 0) return rc;
  counts_to_cursors(j);
  if (direct) {
    warm(j, j->at_missing < 0 ? n - j->plan->stats.missing : n);
    return sm_threads_run(np, direct_work, j, j->stop);
  }
  j->words = sm_scratch_new((size_t)n * sizeof *j->words);
  if (!j->words) return -ENOMEM;
  rc = sm_threads_run(np, distribute_work, j, j->stop);
  if (rc == 0) rc = sm_threads_run(np, bucket_work, j, j->stop);
  sm_scratch_free(j->words);
  return rc;
}

int sm_argsort_run(const sm_argsort_plan *plan, sm_missing missing, sm_place_type type, void *out, sm_stop *stop) {
  sort_job j = {.plan = plan, .stop = stop, .type = type, .out = out};
  const sm_keys *k = &plan->keys;
  if (k->n == 0) return 0;
  if (sm_argsort_is_identity(plan)) return sm_threads_run(plan->np, count_up_work, &j, stop);
  if (!plan->codes && !plan->few && (k->decreasing ? plan->stats.ascending : plan->stats.descending))
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
