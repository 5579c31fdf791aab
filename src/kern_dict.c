/* kern_dict.c: see kern_dict.h.
 *
 * A dictionary is a hash table of ids into a list of words. Id 0 is the word 0 and also marks an empty slot, so one
 * comparison with the word of the slot's id tells a hit. A share that meets too many words, or a word that would have to lie
 * far from its slot, stops all shares.
 */
#include "kern_dict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FAR 64 /* slots that a word may be away from its own */
#define NONE UINT16_MAX
#define SAMPLE_NUMBERS 1024
#define SAMPLE_TEXTS 8192 /* so many that 50,000 words show by their repeats */

struct sm_dict_part {
  uint64_t *word; /* most + 1 */
  int64_t *count;
  uint16_t *rank;
  uint16_t *slot; /* 1 << slot_bits: four a word at least, since a wrong guess costs more than a farther cache */
  int most, slot_bits;
  int words;    /* entries beside the word 0 */
  int own;      /* how many of them this share met itself */
  int64_t runs; /* stretches of equal neighbours in this share */
};

struct sm_dict_entry {
  uint64_t key;
  const char *text;
  int id;
};

typedef struct {
  const void *words;
  size_t width;
  sm_dict *dict;
  sm_stop *stop;
  _Atomic int many;
} make_job;

static inline uint32_t slot_of(uint64_t w, int bits) { return (uint32_t)((w * 0xD6E8FEB86659FD93u) >> (64 - bits)); }

/* Word i, whatever its type is. */
static inline uint64_t word_8(const void *words, int64_t i) {
  uint64_t w;
  memcpy(&w, (const char *)words + i * 8, sizeof w);
  return w;
}

static inline uint64_t word_4(const void *words, int64_t i) {
  uint32_t w;
  memcpy(&w, (const char *)words + i * 4, sizeof w);
  return w;
}

/* Begin with no word but 0; what is not used is not touched. */
static void begin(sm_dict_part *p) {
  memset(p->slot, 0, sizeof *p->slot << p->slot_bits);
  p->words = p->own = 0;
  p->runs = p->count[0] = 0;
  p->word[0] = 0;
}

/* The id of w, which is not the one in its own slot; a new one if w is not known, NONE if it cannot be had. */
static uint16_t look_further(sm_dict_part *p, uint64_t w) {
  uint32_t s = slot_of(w, p->slot_bits), last = ((uint32_t)1 << p->slot_bits) - 1;
  int steps = 0;
  for (; p->word[p->slot[s]] != w; s = (s + 1) & last, steps++) {
    if (p->slot[s] != 0) continue;
    if (p->words == p->most || steps > FAR) return NONE;
    p->word[++p->words] = w;
    p->count[p->words] = 0;
    return p->slot[s] = (uint16_t)p->words;
  }
  return p->slot[s];
}

static inline uint16_t id_of(sm_dict_part *p, uint64_t w) {
  uint16_t id = p->slot[slot_of(w, p->slot_bits)];
  return p->word[id] == w ? id : look_further(p, w);
}

static void make_work(void *arg, int share, int np) {
  make_job *j = arg;
  sm_dict_part *p = &j->dict->parts[share];
  uint16_t last = 0, *ids = j->dict->ids;
  int64_t to = sm_share(j->dict->n, share + 1, np, SM_DICT_STEP), runs = 0;
  begin(p);
  for (int64_t i = sm_share(j->dict->n, share, np, SM_DICT_STEP); i < to; i += SM_DICT_STEP) {
    int64_t end = i + SM_DICT_STEP < to ? i + SM_DICT_STEP : to;
    if (j->many || sm_stop_due(j->stop, share)) return;
#define ADD(word)                              \
  for (int64_t e = i; e < end; e++) {          \
    uint16_t id = id_of(p, word(j->words, e)); \
    if (id == NONE) {                          \
      j->many = 1;                             \
      return;                                  \
    }                                          \
    p->count[id]++;                            \
    runs += id != last;                        \
    ids[e] = last = id;                        \
  }
    if (j->width == 8) {
      ADD(word_8)
    } else {
      ADD(word_4)
    }
  }
  p->runs = runs;
  p->own = p->words;
}

/* The words of all shares in the first; false if they are too many. */
static bool merge(sm_dict *d) {
  for (int t = 1; t < d->np; t++)
    for (int i = 1; i <= d->parts[t].words; i++)
      if (id_of(&d->parts[0], d->parts[t].word[i]) == NONE) return false;
  return true;
}

/* Sample pairs of neighbours: in sorted input repeats are adjacent, and a sample of single elements would miss them. */
bool sm_dict_likely(const void *words, size_t width, int64_t n, int most) {
  uint64_t seen[4 * SAMPLE_TEXTS];
  int size = most > SM_DICT_NUMBERS && n >= 8 * SAMPLE_TEXTS ? SAMPLE_TEXTS : SAMPLE_NUMBERS, distinct = 0;
  uint32_t slots = 4 * (uint32_t)size;
  if (n < 2 * size) return false;
  memset(seen, 0, slots * sizeof *seen);
  for (int64_t i = 0, step = n / (size / 2); i < size; i++) {
    int64_t at = (i >> 1) * step + (i & 1);
    uint64_t w = width == 8 ? word_8(words, at) : word_4(words, at);
    uint32_t s = slot_of(w, 32) % slots;
    while (seen[s] && seen[s] != w) s = (s + 1) % slots;
    distinct += seen[s] != w;
    seen[s] = w;
  }
  return distinct <= size - size / (size == SAMPLE_TEXTS ? 20 : 16);
}

/* All shares' tables in one block behind the shares themselves. */
static sm_dict_part *parts_new(int np, int most) {
  int bits = 2;
  while (1 << bits < 4 * most) bits++;
  size_t all = (size_t)most + 1, each = all * (sizeof(uint64_t) + sizeof(int64_t) + sizeof(uint16_t)) + (sizeof(uint16_t) << bits);
  each = (each + SM_CACHELINE - 1) / SM_CACHELINE * SM_CACHELINE;
  sm_dict_part *parts = malloc((size_t)np * (sizeof *parts + each));
  char *at = (char *)(parts + np);
  for (int t = 0; parts && t < np; t++, at += each) {
    sm_dict_part *p = &parts[t];
    *p = (sm_dict_part){.word = (uint64_t *)(void *)at, .most = most, .slot_bits = bits};
    p->count = (int64_t *)(void *)(p->word + all);
    p->rank = (uint16_t *)(void *)(p->count + all);
    p->slot = p->rank + all;
  }
  return parts;
}

int sm_dict_make(const void *words, size_t width, int64_t n, int most, const sm_work *work, sm_dict *d) {
  make_job j = {.words = words, .width = width, .dict = d, .stop = work->stop};
  *d = (sm_dict){.n = n, .np = work->np};
  d->ids = sm_scratch_new((size_t)n * sizeof *d->ids);
  d->parts = parts_new(d->np, most);
  int rc = d->ids && d->parts ? sm_threads_run(work, make_work, &j) : -ENOMEM;
  if (rc == 0 && !j.many && merge(d)) {
    d->sorted = malloc((size_t)(d->parts[0].words + 1) * sizeof *d->sorted);
    if (d->sorted) return 1;
    rc = -ENOMEM;
  }
  sm_dict_free(d);
  return rc;
}

void sm_dict_free(sm_dict *d) {
  sm_scratch_free(d->ids);
  free(d->parts);
  free(d->sorted);
  d->sorted = NULL;
  d->ids = NULL;
  d->parts = NULL;
}

int sm_dict_count(const sm_dict *d) { return d->parts[0].words; }
uint64_t sm_dict_word(const sm_dict *d, int id) { return d->parts[0].word[id]; }

/* The first share has ranked the words of all: rank those of the others, and see what is missing and in order. */
static void spread_ranks(sm_dict *d) {
  uint16_t last = 0;
  d->missing = 0;
  d->in_order = true;
  for (int t = 0; t < d->np; t++) {
    sm_dict_part *p = &d->parts[t];
    for (int i = 0; t > 0 && i <= p->words; i++) p->rank[i] = d->parts[0].rank[id_of(&d->parts[0], p->word[i])];
    d->in_order &= p->count[0] == 0 && p->runs == p->own;
    for (int i = 0; i <= p->own; i++) {
      if (p->rank[i] == d->ranks) d->missing += p->count[i];
      if (i == 0) continue;
      d->in_order &= p->rank[i] >= last;
      last = p->rank[i];
    }
  }
  d->in_order &= d->missing == 0;
}

static int by_key(const void *a, const void *b) {
  uint64_t x = ((const sm_dict_entry *)a)->key, y = ((const sm_dict_entry *)b)->key;
  return (x > y) - (x < y);
}

/* Keys are the first bytes; they settle it, or end with a NUL, or the bytes after them do. */
static int by_text(const void *a, const void *b) {
  const sm_dict_entry *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  return (x->key & 0xFF) == 0 ? 0 : strcmp(x->text + 8, y->text + 8);
}

/* Rank the m words that are there, sorted; all others have been marked by NONE. */
static void rank_sorted(sm_dict *d, int m, int (*compare)(const void *, const void *), bool reverse) {
  uint16_t *rank = d->parts[0].rank;
  sm_dict_entry *all = d->sorted;
  d->ranks = 0;
  for (int i = 0; i < m; i++) {
    d->ranks += i == 0 || compare(&all[i - 1], &all[i]) != 0;
    rank[all[i].id] = (uint16_t)(d->ranks - 1);
  }
  for (int i = 0; i <= d->parts[0].words; i++) {
    if (rank[i] == NONE) rank[i] = (uint16_t)d->ranks;
    else if (reverse) rank[i] = (uint16_t)(d->ranks - 1 - rank[i]);
  }
  spread_ranks(d);
}

void sm_dict_rank_numbers(sm_dict *d, const sm_keys *k) {
  sm_dict_part *p = &d->parts[0];
  bool wide = sm_keys_width(k) == 8;
  int m = 0;
  for (int i = 0; i <= p->words; i++) {
    uint32_t narrow = (uint32_t)p->word[i];
    sm_keys word = {k->type, wide ? (const void *)&p->word[i] : &narrow, 1, 0, k->decreasing};
    p->rank[i] = NONE;
    if (!sm_keys_missing(&word, 0)) d->sorted[m++] = (sm_dict_entry){sm_keys_at(&word, 0, 0), NULL, i};
  }
  qsort(d->sorted, (size_t)m, sizeof *d->sorted, by_key);
  rank_sorted(d, m, by_key, false);
}

void sm_dict_rank_texts(sm_dict *d, const char *const *texts, const int *order, int m, bool decreasing) {
  memset(d->parts[0].rank, 0xFF, (size_t)(d->parts[0].words + 1) * sizeof(uint16_t)); /* NONE */
  for (int i = 0; i < m; i++) {
    const char *text = texts[order[i]];
    sm_keys one = {SM_KEY_PTR, &text, 1, 0, false};
    d->sorted[i] = (sm_dict_entry){sm_keys_at(&one, 0, 0), text, order[i]};
  }
  rank_sorted(d, m, by_text, decreasing);
}

void sm_dict_tally(const sm_dict *d, int share, int64_t *count) {
  const sm_dict_part *p = &d->parts[share];
  for (int i = 0; i <= p->own; i++) count[p->rank[i]] += p->count[i];
}

void sm_dict_codes(const sm_dict *d, int share, int64_t from, int64_t m, uint16_t *out) {
  const uint16_t *code = d->parts[share].rank, *id = d->ids + from;
  for (int64_t i = 0; i < m; i++) out[i] = code[id[i]];
}
