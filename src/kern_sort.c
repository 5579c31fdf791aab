/* kern_sort.c: see kern_sort.h.
 *
 * Steps: look (order, range, missing) -> map values to codes -> count buckets of the top bits, a row a thread
 * -> distribute packed words, each thread into its own part of each bucket -> sort buckets in cache, handed
 * out one by one. Ordered and reversed input takes shorter ways; where codes are few, or (a sample
 * says whether that is worth a try) distinct values are, places go straight to where they belong. The plan follows the most
 * significant digit radix sort of McIlroy, Bostic and McIlroy ("Engineering Radix Sort", Computing Systems 6, 1993).
 *
 * Example: {30, 10, NA, 20, 10} with one thread. The range 10..30 gives codes 20, 0, missing, 10, 0 of 5 bits. With 2 bits
 * for the bucket (the data are too few for that, but so it fits here) the buckets are 2, 0, missing, 1, 0; they are
 * counted {2, 1, 1, 0} and 1 missing, so they begin at places {0, 2, 3, 4} and the missing at 4. Distributed, the words are
 * (code 0, index 1), (0, 4) | (2, 3) | (4, 0) | (missing, 2), codes without their bucket's bits. Each bucket is sorted as
 * plain numbers, which keeps equal codes in the order of their indices; the indices + 1 are the result 2 5 4 1 3.
 *
 * Live data: no pass trusts another. Codes are cut to their bits, each write is held against the bounds of its target,
 * and after the passes that count and then fill, every cursor must have come to where the next one began; only
 * then is each place written once. Else the data changed in between: SM_ECHANGED.
 */
#include "kern_sort.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kern_spread.h"
#include "kern_text.h"

#define BLOCK SM_DICT_STEP /* codes made at a time */
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
  sm_places out;
  int64_t length;     /* of out */
  int64_t at_missing; /* where places of missing values go; -1: nowhere */
  int64_t at_present;
  int low;         /* code bits below the bucket's number */
  int64_t buckets; /* one more row entry than that: missing values */
  int64_t *rows;   /* np rows of counts, then of cursors, and np of their ends; reversed input: what each rank wrote */
  int index_bits;
  uint64_t *words;
  uint64_t **scratch;   /* one a rank */
  int64_t *starts;      /* of buckets in words */
  _Atomic int64_t next; /* bucket to be sorted next */
} sort_job;

static void make_codes(const sort_job *j, int64_t from, int64_t m, uint64_t *out) {
  if (j->plan->codes) memcpy(out, j->plan->codes + from, (size_t)m * sizeof *out);
  else sm_keys_code(&j->plan->keys, &j->map, from, m, out);
}

static int64_t *row(const sort_job *j, int rank) { return j->rows + rank * (j->buckets + 1); }

/* The ends of the stretches whose cursors stand in row(). */
static int64_t *ends(const sort_job *j, int rank) { return row(j, j->plan->work.np + rank); }

/* The same for codes of few bits, of elements in the share of `rank`. */
static void small_codes(const sort_job *j, int rank, int64_t from, int64_t m, uint16_t *out) {
  if (j->plan->few) sm_dict_codes(&j->plan->dict, rank, from, m, out);
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

/* Counts become the places from which each thread writes into each bucket, and the ends of these stretches. */
static void counts_to_cursors(sort_job *j) {
  int64_t *cursor = row(j, 0), *end = ends(j, 0), *starts = j->starts, sum = 0, entries = j->buckets + 1;
  int np = j->plan->work.np;
  for (int64_t b = 0; b < entries; b++) {
    starts[b] = sum;
    for (int64_t at = b; at < np * entries; at += entries) {
      int64_t n = cursor[at];
      cursor[at] = sum;
      sum += n;
      end[at] = sum;
    }
  }
  starts[entries] = sum;
}

/* Cursors of words become those of places: what is missing goes before the others, after them, or nowhere. */
static void cursors_to_places(sort_job *j) {
  int64_t first = j->at_present, gone = j->at_missing - j->starts[j->buckets];
  for (int t = 0; t < j->plan->work.np; t++) {
    int64_t *cursor = row(j, t), *end = ends(j, t);
    for (int64_t b = 0; b < j->buckets && first > 0; b++) {
      cursor[b] += first;
      end[b] += first;
    }
    cursor[j->buckets] += gone;
    end[j->buckets] = j->at_missing < 0 ? cursor[j->buckets] : end[j->buckets] + gone;
  }
}

/* True if every cursor stands at the end of its stretch: then each place of all stretches was written once. */
static bool cursors_met(const sort_job *j) {
  return memcmp(row(j, 0), ends(j, 0), (size_t)(ends(j, 0) - row(j, 0)) * sizeof *j->rows) == 0;
}

static void distribute_work(void *arg, int rank, int np) {
  sort_job *j = arg;
  int64_t *cursor = row(j, rank), n = j->plan->keys.n, to = sm_share(n, rank + 1, np, BLOCK);
  uint64_t q[BLOCK], mask = ((uint64_t)1 << j->low) - 1;
  for (int64_t i = sm_share(n, rank, np, BLOCK); i < to && !sm_stop_due(j->stop, rank); i += BLOCK) {
    int64_t m = i + BLOCK < to ? BLOCK : to - i;
    make_codes(j, i, m, q);
    for (int64_t e = 0; e < m; e++) {
      int64_t at = cursor[q[e] >> j->low]++;
      if (at < n) j->words[at] = (q[e] & mask) << j->index_bits | (uint64_t)(i + e);
    }
  }
}

/* Codes are bucket numbers: places go straight to where they belong. */
static void direct_work(void *arg, int rank, int np) {
  sort_job *j = arg;
  int64_t *cursor = row(j, rank), n = j->plan->keys.n, to = sm_share(n, rank + 1, np, BLOCK), length = j->length;
  uint16_t q[BLOCK];
  for (int64_t i = sm_share(n, rank, np, BLOCK); i < to && !sm_stop_due(j->stop, rank); i += BLOCK) {
    int64_t m = i + BLOCK < to ? BLOCK : to - i;
    small_codes(j, rank, i, m, q);
#define PUT(T)                                               \
  {                                                          \
    T *out = j->out.at;                                      \
    for (int64_t e = 0; e < m; e++) {                        \
      if (j->at_missing < 0 && q[e] == j->buckets) continue; \
      int64_t at = cursor[q[e]]++;                           \
      if (at < length) out[at] = (T)(i + e + 1);             \
    }                                                        \
    break;                                                   \
  }
    switch (j->out.type) {
    case SM_PLACE_I4: PUT(int32_t)
    case SM_PLACE_I8: PUT(int64_t)
    case SM_PLACE_F8: PUT(double)
    }
  }
}

/* Sort buckets; the last task is the bucket of missing values, which are all equal. */
static void bucket_work(void *arg, int rank, int np) {
  sort_job *j = arg;
  sm_cell_job cell = {&j->plan->keys, j->stop, rank, j->index_bits, j->low, j->map.exact, j->out};
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
      sm_scratch_free(j->scratch[rank]);
      room = m < 4096 ? 4096 : m;
      j->scratch[rank] = sm_scratch_new((size_t)room * sizeof **j->scratch);
      if (!j->scratch[rank]) {
        sm_stop_set(j->stop, -ENOMEM);
        return;
      }
    }
    sm_cell_sort(&cell, a, j->scratch[rank], m, j->starts[b] + j->at_present);
  }
}

/* Write first + 1, first + 1 + step, ... (m places; step is 1 or -1) at out[at], ... */
static void put_line(const sort_job *j, int64_t first, int step, int64_t m, int64_t at) {
#define LINE(T)                                                                              \
  {                                                                                          \
    T *o = (T *)j->out.at + at;                                                              \
    for (first++; m >= LINE_STEP; m -= LINE_STEP, o += LINE_STEP, first += step * LINE_STEP) \
      for (int e = 0; e < LINE_STEP; e++) o[e] = (T)(first + step * e);                      \
    for (; m > 0; m--, first += step) *o++ = (T)first;                                       \
    return;                                                                                  \
  }
  switch (j->out.type) {
  case SM_PLACE_I4: LINE(int32_t)
  case SM_PLACE_I8: LINE(int64_t)
  case SM_PLACE_F8: LINE(double)
  }
}

static void put_range(const sort_job *j, int64_t from, int64_t to, int64_t at) { put_line(j, from, 1, to - from, at); }

/* Input in the reverse order: runs of equal elements keep their order, the runs are reversed. Each rank notes from where to
 * where it wrote. */
static void reverse_work(void *arg, int rank, int np) {
  sort_job *j = arg;
  const sm_keys *k = &j->plan->keys;
  sm_keys_map plain = {.base = k->decreasing ? j->plan->stats.hi : j->plan->stats.lo, .bits = 64};
  int64_t n = k->n, run = sm_share(n, rank, np, BLOCK), to = sm_share(n, rank + 1, np, BLOCK), m;
  uint64_t q[BLOCK + 1];
  while (run > 0 && run < to && sm_keys_at(k, run, 0) == sm_keys_at(k, run - 1, 0)) run++;
  if (run == to) return;
  while (to < n && sm_keys_at(k, to, 0) == sm_keys_at(k, to - 1, 0)) to++;
  j->rows[2 * rank] = run;
  j->rows[2 * rank + 1] = to;
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

static int run_reverse(sort_job *j) {
  int np = j->plan->work.np;
  int64_t at = 0;
  j->rows = calloc(2 * (size_t)np, sizeof *j->rows);
  if (!j->rows) return -ENOMEM;
  int rc = sm_threads_run(&j->plan->work, reverse_work, j);
  for (int t = 0; t < np; t++) {
    if (j->rows[2 * t] == j->rows[2 * t + 1]) continue;
    if (rc == 0 && j->rows[2 * t] != at) rc = SM_ECHANGED;
    at = j->rows[2 * t + 1];
  }
  return rc == 0 && at != j->plan->keys.n ? SM_ECHANGED : rc;
}

static void count_up_work(void *arg, int rank, int np) {
  sort_job *j = arg;
  int64_t to = sm_share(j->plan->keys.n, rank + 1, np, BLOCK);
  for (int64_t i = sm_share(j->plan->keys.n, rank, np, BLOCK); i < to && !sm_stop_due(j->stop, rank); i += BLOCK)
    put_range(j, i, i + BLOCK < to ? i + BLOCK : to, i);
}

/* What a sample of numbers says. */
typedef struct {
  const sm_keys *keys;
  bool few; /* few distinct ones, which neither rise nor fall throughout, so that a scan would not end the matter */
} sample;

static void sample_work(void *arg, int rank, int np) {
  sample *s = arg;
  const sm_keys *k = s->keys;
  bool up = false, down = false;
  (void)rank, (void)np;
  if (!sm_dict_likely(k->data, sm_keys_width(k), k->n, SM_DICT_NUMBERS)) return;
  for (int64_t i = 1, step = k->n / SAMPLE; i < SAMPLE; i++) {
    int c = sm_keys_compare(k, (i - 1) * step, i * step);
    up |= c < 0;
    down |= c > 0;
  }
  s->few = up && down;
}

static void take_ranks(sm_argsort_plan *plan) {
  bool in_order = plan->dict.in_order;
  plan->stats = (sm_keys_stats){plan->dict.missing, in_order, in_order, false, UINT64_MAX, 0};
}

/* Numbers by a dictionary, if they have one. */
static int look_few(sm_argsort_plan *plan) {
  const sm_keys *k = &plan->keys;
  int rc = sm_dict_make(k->data, sm_keys_width(k), k->n, SM_DICT_NUMBERS, &plan->work, &plan->dict);
  if (rc <= 0) return rc;
  plan->few = true;
  sm_dict_rank_numbers(&plan->dict, k);
  take_ranks(plan);
  return 0;
}

/* Eight bytes are scanned as slowly as they are looked up; of four bytes the range may tell that no look-up is needed. */
static int look_numbers(sm_argsort_plan *plan) {
  const sm_keys *k = &plan->keys;
  size_t width = sm_keys_width(k);
  sample seen = {k, false};
  int rc = width >= 4 ? sm_threads_one(&plan->work, sample_work, &seen) : 0;
  if (rc == 0 && seen.few && width == 8) rc = look_few(plan);
  if (rc < 0 || plan->few) return rc;
  rc = sm_keys_scan(k, &plan->work, &plan->stats);
  if (rc < 0 || !seen.few || width == 8 || (plan->stats.hi - plan->stats.lo) >> DIRECT_BITS == 0) return rc;
  return look_few(plan);
}

static void begin(sm_argsort_plan *plan, const sm_keys *keys, const sm_work *work) {
  *plan = (sm_argsort_plan){.keys = *keys, .work = sm_work_for(work, keys->n, GRAIN)};
  plan->stats = (sm_keys_stats){0, true, true, false, UINT64_MAX, 0};
}

typedef struct {
  const sm_keys *keys;
  bool likely;
} pointer_sample;

static void pointer_work(void *arg, int rank, int np) {
  pointer_sample *s = arg;
  (void)rank, (void)np;
  s->likely = sm_dict_likely(s->keys->data, sm_keys_width(s->keys), s->keys->n, SM_DICT_TEXTS);
}

int sm_argsort_look_pointers(const sm_keys *keys, const sm_work *work, sm_argsort_plan *plan) {
  pointer_sample seen = {keys, false};
  begin(plan, keys, work);
  int rc = sm_threads_one(&plan->work, pointer_work, &seen);
  if (rc == 0 && seen.likely) rc = sm_dict_make(keys->data, sm_keys_width(keys), keys->n, SM_DICT_TEXTS, &plan->work, &plan->dict);
  plan->few = rc == 1;
  return rc;
}

/* The entries are distinct addresses, so sorting their texts makes no dictionary again. */
int sm_argsort_rank(sm_argsort_plan *plan, const char *const *texts) {
  int all = sm_dict_count(&plan->dict) + 1, m = 0;
  int *entry = malloc((size_t)all * sizeof *entry), *order = malloc((size_t)all * sizeof *order);
  const char **present = malloc((size_t)all * sizeof *present);
  int rc = entry && order && present ? 0 : -ENOMEM;
  for (int i = 0; rc == 0 && i < all; i++) {
    if (!texts[i]) continue;
    entry[m] = i;
    present[m++] = texts[i];
  }
  sm_keys keys = {SM_KEY_PTR, present, m, 0, false};
  sm_argsort_plan sub;
  if (rc == 0) rc = sm_argsort_look(&keys, &plan->work, &sub);
  if (rc == 0) {
    rc = sm_argsort_run(&sub, SM_MISSING_LAST, (sm_places){SM_PLACE_I4, order});
    sm_argsort_free(&sub);
  }
  for (int i = 0; rc == 0 && i < m; i++) order[i] = entry[order[i] - 1];
  if (rc == 0) {
    sm_dict_rank_texts(&plan->dict, texts, order, m, plan->keys.decreasing);
    take_ranks(plan);
  }
  free(entry);
  free(order);
  free(present);
  return rc;
}

/* Strings that the core can read: by their pointers, else by their bytes. */
static int look_texts(sm_argsort_plan *plan) {
  sm_keys k = plan->keys;
  int rc = k.type == SM_KEY_PTR ? sm_argsort_look_pointers(&k, &plan->work, plan) : 0;
  if (rc < 0) return rc;
  if (rc > 0) {
    int all = sm_dict_count(&plan->dict) + 1;
    const char **texts = malloc((size_t)all * sizeof *texts);
    for (int i = 0; texts && i < all; i++) texts[i] = (const char *)(uintptr_t)sm_dict_word(&plan->dict, i);
    rc = texts ? sm_argsort_rank(plan, texts) : -ENOMEM;
    free(texts);
    return rc;
  }
  plan->codes = sm_scratch_new((size_t)k.n * sizeof *plan->codes);
  if (!plan->codes) return -ENOMEM;
  return sm_text_code(&k, &plan->work, plan->codes, &plan->map, &plan->stats);
}

int sm_argsort_look(const sm_keys *keys, const sm_work *work, sm_argsort_plan *plan) {
  begin(plan, keys, work);
  if (keys->n == 0) return 0;
  int rc = sm_keys_is_string(keys) ? look_texts(plan) : look_numbers(plan);
  if (rc < 0) sm_argsort_free(plan);
  return rc;
}

void sm_argsort_free(sm_argsort_plan *plan) {
  sm_scratch_free(plan->codes);
  if (plan->few) sm_dict_free(&plan->dict);
  plan->codes = NULL;
  plan->few = false;
}

bool sm_argsort_is_identity(const sm_argsort_plan *plan) {
  return plan->stats.missing == 0 && (plan->keys.decreasing ? plan->stats.descending : plan->stats.ascending);
}

/* How codes are made, and how many of their bits name the bucket. */
static void choose_work(void *arg, int rank, int np) {
  sort_job *j = arg;
  const sm_keys *k = &j->plan->keys;
  (void)rank, (void)np;
  int bucket_bits = sm_keys_bits((uint64_t)k->n) - 13;
  bucket_bits = bucket_bits < 0 ? 0 : bucket_bits > BUCKET_BITS ? BUCKET_BITS : bucket_bits;
  j->index_bits = sm_keys_bits((uint64_t)k->n - 1);
  if (j->plan->few) {
    j->buckets = j->plan->dict.ranks;
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
static void warm_work(void *arg, int rank, int np) {
  const sort_job *j = arg;
  size_t nbytes = (size_t)j->length * (j->out.type == SM_PLACE_I4 ? 4 : 8);
  volatile char *out = j->out.at;
  (void)rank, (void)np;
  if (nbytes <= WARM)
    for (size_t i = 0; i < nbytes; i += SM_CACHELINE) out[i] = 0;
}

static int sort_buckets(sort_job *j) {
  int np = j->plan->work.np;
  int64_t n = j->plan->keys.n;
  j->words = sm_scratch_new((size_t)n * sizeof *j->words);
  j->scratch = calloc((size_t)np, sizeof *j->scratch);
  int rc = j->words && j->scratch ? sm_threads_run(&j->plan->work, distribute_work, j) : -ENOMEM;
  if (rc == 0 && !cursors_met(j)) rc = SM_ECHANGED;
  if (rc == 0) rc = sm_threads_run(&j->plan->work, bucket_work, j);
  for (int t = 0; j->scratch && t < np; t++) sm_scratch_free(j->scratch[t]);
  free(j->scratch);
  sm_scratch_free(j->words);
  return rc;
}

static int run_buckets(sort_job *j, sm_missing missing) {
  const sm_work *work = &j->plan->work;
  int64_t n = j->plan->keys.n;
  bool direct = j->low == 0 && j->map.exact;
  int rc = 0;
  if (j->plan->few)
    for (int t = 0; t < work->np; t++) sm_dict_tally(&j->plan->dict, t, row(j, t));
  else rc = sm_threads_run(work, direct ? count_small_work : count_work, j);
  if (rc < 0) return rc;
  counts_to_cursors(j);
  int64_t present = j->starts[j->buckets];
  if (n - present != j->plan->stats.missing) return SM_ECHANGED;
  j->at_missing = missing == SM_MISSING_LAST ? present : missing == SM_MISSING_FIRST ? 0 : -1;
  j->at_present = missing == SM_MISSING_FIRST ? n - present : 0;
  j->length = missing == SM_MISSING_DROP ? present : n;
  if (!direct) return sort_buckets(j);
  cursors_to_places(j);
  rc = sm_threads_one(work, warm_work, j);
  if (rc == 0) rc = sm_threads_run(work, direct_work, j);
  return rc == 0 && !cursors_met(j) ? SM_ECHANGED : rc;
}

int sm_argsort_run(const sm_argsort_plan *plan, sm_missing missing, sm_places out) {
  sort_job j = {.plan = plan, .stop = plan->work.stop, .out = out};
  const sm_keys *k = &plan->keys;
  if (k->n == 0) return 0;
  if (sm_argsort_is_identity(plan)) return sm_threads_run(&plan->work, count_up_work, &j);
  bool reversed = k->decreasing ? plan->stats.ascending : plan->stats.descending;
  int rc;
  if (!plan->codes && !plan->few && plan->stats.missing == 0 && reversed) {
    rc = run_reverse(&j);
  } else {
    rc = sm_threads_one(&plan->work, choose_work, &j);
    if (rc < 0) return rc;
    j.rows = calloc((size_t)(j.buckets + 1) * (size_t)plan->work.np * 2, sizeof *j.rows);
    j.starts = calloc((size_t)j.buckets + 2, sizeof *j.starts);
    rc = j.rows && j.starts ? run_buckets(&j, missing) : -ENOMEM;
  }
  free(j.rows);
  free(j.starts);
  return rc;
}
