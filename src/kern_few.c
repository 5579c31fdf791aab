/* kern_few.c: see kern_few.h.
 *
 * A dictionary is a hash of numbers into a list of words. Number 0 is the word 0 and also marks an empty slot, so one
 * comparison with the word of the slot's number tells a hit. A share that meets more words than
 * SM_FEW_MOST, or a word that must go far from its slot, stops all of them.
 */
#include "kern_few.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_BITS 15 /* so many that words seldom meet: a wrong guess costs more than a farther cache */
#define SLOTS (1 << SLOT_BITS)
#define FAR 64 /* slots that a word may be away from its own */
#define NONE UINT16_MAX
#define SAMPLE 1024
#define ALL (SM_FEW_MOST + 1)

struct sm_few_part {
  uint16_t slot[SLOTS];
  uint64_t word[ALL];
  int64_t count[ALL];
  uint16_t rank[ALL];
  int words;    /* beside 0 */
  int own;      /* of them those of this share */
  int64_t runs; /* of equal neighbours in this share */
};

struct sm_few_entry {
  uint64_t key;
  const char *text;
  int number;
};

typedef struct {
  const void *words;
  size_t width;
  sm_few *few;
  sm_stop *stop;
  _Atomic int many;
} find_job;

static inline uint32_t slot_of(uint64_t w) { return (uint32_t)((w * 0xD6E8FEB86659FD93u) >> (64 - SLOT_BITS)); }

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
static void begin(sm_few_part *p) {
  memset(p->slot, 0, sizeof p->slot);
  p->words = p->own = 0;
  p->runs = p->count[0] = 0;
  p->word[0] = 0;
}

/* The number of w, which is not the one in its own slot; a new one if w is not known, NONE if it cannot be had. */
static uint16_t look_further(sm_few_part *p, uint64_t w) {
  uint32_t s = slot_of(w);
  int steps = 0;
  for (; p->word[p->slot[s]] != w; s = (s + 1) & (SLOTS - 1), steps++) {
    if (p->slot[s] != 0) continue;
    if (p->words == SM_FEW_MOST || steps > FAR) return NONE;
    p->word[++p->words] = w;
    p->count[p->words] = 0;
    return p->slot[s] = (uint16_t)p->words;
  }
  return p->slot[s];
}

static inline uint16_t number_of(sm_few_part *p, uint64_t w) {
  uint16_t number = p->slot[slot_of(w)];
  return p->word[number] == w ? number : look_further(p, w);
}

static void find_work(void *arg, int rank, int np) {
  find_job *j = arg;
  sm_few_part *p = &j->few->parts[rank];
  uint16_t last = 0, *numbers = j->few->numbers;
  int64_t to = sm_share(j->few->n, rank + 1, np, SM_FEW_BLOCK), runs = 0;
  begin(p);
  for (int64_t i = sm_share(j->few->n, rank, np, SM_FEW_BLOCK); i < to; i += SM_FEW_BLOCK) {
    int64_t end = i + SM_FEW_BLOCK < to ? i + SM_FEW_BLOCK : to;
    if (j->many || sm_stop_due(j->stop, rank)) return;
#define FIND(word)                                     \
  for (int64_t e = i; e < end; e++) {                  \
    uint16_t number = number_of(p, word(j->words, e)); \
    if (number == NONE) {                              \
      j->many = 1;                                     \
      return;                                          \
    }                                                  \
    p->count[number]++;                                \
    runs += number != last;                            \
    numbers[e] = last = number;                        \
  }
    if (j->width == 8) {
      FIND(word_8)
    } else {
      FIND(word_4)
    }
  }
  p->runs = runs;
  p->own = p->words;
}

/* The words of all shares in the first; false if they are too many. */
static bool merge(sm_few *f) {
  for (int t = 1; t < f->np; t++)
    for (int i = 1; i <= f->parts[t].words; i++)
      if (number_of(&f->parts[0], f->parts[t].word[i]) == NONE) return false;
  return true;
}

/* Pairs of neighbours, since sorted words are seen to be few by those only. */
bool sm_few_likely(const void *words, size_t width, int64_t n) {
  uint64_t seen[4 * SAMPLE] = {0};
  int distinct = 0;
  if (n < 2 * SAMPLE) return false;
  for (int64_t i = 0, step = n / (SAMPLE / 2); i < SAMPLE; i++) {
    int64_t at = (i >> 1) * step + (i & 1);
    uint64_t w = width == 8 ? word_8(words, at) : word_4(words, at);
    uint32_t s = slot_of(w) % (4 * SAMPLE);
    while (seen[s] && seen[s] != w) s = (s + 1) % (4 * SAMPLE);
    distinct += seen[s] != w;
    seen[s] = w;
  }
  return distinct <= SAMPLE - SAMPLE / 16;
}

int sm_few_find(const void *words, size_t width, int64_t n, int np, sm_stop *stop, sm_few *f) {
  find_job j = {.words = words, .width = width, .few = f, .stop = stop};
  *f = (sm_few){.n = n, .np = np};
  f->numbers = sm_scratch_new((size_t)n * sizeof *f->numbers);
  f->parts = malloc((size_t)np * sizeof *f->parts);
  int rc = f->numbers && f->parts ? sm_threads_run(np, find_work, &j, stop) : -ENOMEM;
  if (rc == 0 && !j.many && merge(f)) {
    f->entries = malloc((size_t)(f->parts[0].words + 1) * sizeof *f->entries);
    if (f->entries) return 1;
    rc = -ENOMEM;
  }
  sm_few_free(f);
  return rc;
}

void sm_few_free(sm_few *f) {
  sm_scratch_free(f->numbers);
  free(f->parts);
  free(f->entries);
  f->entries = NULL;
  f->numbers = NULL;
  f->parts = NULL;
}

int sm_few_count(const sm_few *f) { return f->parts[0].words; }
uint64_t sm_few_word(const sm_few *f, int number) { return f->parts[0].word[number]; }

/* The first share has ranked the words of all: rank those of the others, and see what is missing and in order. */
static void spread_ranks(sm_few *f) {
  uint16_t last = 0;
  f->missing = 0;
  f->in_order = true;
  for (int t = 0; t < f->np; t++) {
    sm_few_part *p = &f->parts[t];
    for (int i = 0; t > 0 && i <= p->words; i++) p->rank[i] = f->parts[0].rank[number_of(&f->parts[0], p->word[i])];
    f->in_order &= p->count[0] == 0 && p->runs == p->own;
    for (int i = 0; i <= p->own; i++) {
      if (p->rank[i] == f->ranks) f->missing += p->count[i];
      if (i == 0) continue;
      f->in_order &= p->rank[i] >= last;
      last = p->rank[i];
    }
  }
  f->in_order &= f->missing == 0;
}

static int by_key(const void *a, const void *b) {
  uint64_t x = ((const sm_few_entry *)a)->key, y = ((const sm_few_entry *)b)->key;
  return (x > y) - (x < y);
}

/* Keys are the first bytes; they settle it, or end with a NUL, or the bytes after them do. */
static int by_text(const void *a, const void *b) {
  const sm_few_entry *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  return (x->key & 0xFF) == 0 ? 0 : strcmp(x->text + 8, y->text + 8);
}

/* Rank the m words that are there; all others have been marked by NONE. */
static void rank_sorted(sm_few *f, int m, int (*compare)(const void *, const void *), bool reverse) {
  uint16_t *rank = f->parts[0].rank;
  sm_few_entry *all = f->entries;
  qsort(all, (size_t)m, sizeof *all, compare);
  f->ranks = 0;
  for (int i = 0; i < m; i++) {
    f->ranks += i == 0 || compare(&all[i - 1], &all[i]) != 0;
    rank[all[i].number] = (uint16_t)(f->ranks - 1);
  }
  for (int i = 0; i <= f->parts[0].words; i++) {
    if (rank[i] == NONE) rank[i] = (uint16_t)f->ranks;
    else if (reverse) rank[i] = (uint16_t)(f->ranks - 1 - rank[i]);
  }
  spread_ranks(f);
}

void sm_few_rank_numbers(sm_few *f, const sm_keys *k) {
  sm_few_part *p = &f->parts[0];
  bool wide = sm_keys_width(k) == 8;
  int m = 0;
  for (int i = 0; i <= p->words; i++) {
    uint32_t narrow = (uint32_t)p->word[i];
    sm_keys word = {k->type, wide ? (const void *)&p->word[i] : &narrow, 1, 0, k->decreasing};
    p->rank[i] = NONE;
    if (!sm_keys_missing(&word, 0)) f->entries[m++] = (sm_few_entry){sm_keys_at(&word, 0, 0), NULL, i};
  }
  rank_sorted(f, m, by_key, false);
}

void sm_few_rank_texts(sm_few *f, const char *const *texts, bool decreasing) {
  int m = 0;
  for (int i = 0; i <= f->parts[0].words; i++) {
    f->parts[0].rank[i] = NONE;
    if (!texts[i]) continue;
    sm_keys text = {SM_KEY_PTR, &texts[i], 1, 0, false};
    f->entries[m++] = (sm_few_entry){sm_keys_at(&text, 0, 0), texts[i], i};
  }
  rank_sorted(f, m, by_text, decreasing);
}

void sm_few_tally(const sm_few *f, int rank, int64_t *count) {
  const sm_few_part *p = &f->parts[rank];
  for (int i = 0; i <= p->own; i++) count[p->rank[i]] += p->count[i];
}

void sm_few_codes(const sm_few *f, int rank, int64_t from, int64_t m, uint16_t *out) {
  const uint16_t *code = f->parts[rank].rank, *number = f->numbers + from;
  for (int64_t i = 0; i < m; i++) out[i] = code[number[i]];
}
