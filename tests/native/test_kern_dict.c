/* Dictionaries of few distinct values: limits, ranks, order and missing values, for any number of shares. */
#include <math.h>

#include "kern_dict.h"

#include "check.h"

static int find_most(const void *words, size_t width, int64_t n, int most, int np, sm_dict *f) {
  sm_stop stop;
  sm_stop_init(&stop, NULL, NULL);
  sm_work work = {np, &stop, NULL};
  return sm_dict_make(words, width, n, most, &work, f);
}

static int find(const void *words, size_t width, int64_t n, int np, sm_dict *f) {
  return find_most(words, width, n, SM_DICT_NUMBERS, np, f);
}

static uint16_t code_of(const sm_dict *f, int64_t i) {
  uint16_t q;
  int rank = 0;
  while (i >= sm_share(f->n, rank + 1, f->np, SM_DICT_STEP)) rank++;
  sm_dict_codes(f, rank, i, 1, &q);
  return q;
}

/* Codes compare as the values do, counts are those of codes. */
static void check_ranks(const sm_dict *f, const sm_keys *k, const char *what, int64_t detail) {
  int64_t *count = calloc((size_t)f->ranks + 1, sizeof *count), gone = 0;
  int ok = 1;
  for (int t = 0; t < f->np; t++) sm_dict_tally(f, t, count);
  for (int64_t i = 0; i < k->n; i++) {
    uint16_t q = code_of(f, i);
    bool missing = sm_keys_missing(k, i);
    gone += missing;
    ok = ok && q <= f->ranks && missing == (q == f->ranks);
    if (!ok) break;
    count[q]--;
    int64_t j = (int64_t)(draw() % (uint64_t)k->n);
    if (missing || sm_keys_missing(k, j)) continue;
    int c = sm_keys_compare(k, i, j), d = (int)q - (int)code_of(f, j);
    ok = (c > 0) - (c < 0) == (d > 0) - (d < 0);
    if (!ok) break;
  }
  for (int r = 0; ok && r <= f->ranks; r++) ok = count[r] == 0;
  check_at(ok && gone == f->missing, what, detail);
  free(count);
}

static void limits(int most, int64_t n) {
  static const int shares[] = {1, 2, 7};
  uint64_t *x = malloc((size_t)n * sizeof *x);
  uint32_t *y = malloc((size_t)n * sizeof *y);
  for (int64_t distinct = most - 1; distinct <= most + 1; distinct++)
    for (int s = 0; s < 3; s++)
      for (int zero = 0; zero < 2; zero++) {
        for (int64_t i = 0; i < n; i++) {
          uint64_t v = 1 + ((uint64_t)i * 7919) % (uint64_t)distinct;
          x[i] = v * 0x123456789u;
          y[i] = (uint32_t)v * 77;
          if (zero && draw() % 10 == 0) x[i] = y[i] = 0; /* is no word of the limit's */
        }
        for (int64_t i = 0; i < distinct; i++) x[n - 1 - i] = (uint64_t)(i + 1) * 0x123456789u, y[n - 1 - i] = (uint32_t)(i + 1) * 77;
        sm_dict f;
        int few = distinct <= most, detail = (int)distinct * 10 + s;
        check_at(find_most(x, 8, n, most, shares[s], &f) == few, "limit, 8 bytes", detail);
        if (few) {
          sm_keys k = {SM_KEY_I8, x, n, 0, s == 1};
          check_at(sm_dict_count(&f) == distinct, "number of words", detail);
          sm_dict_rank_numbers(&f, &k);
          check_ranks(&f, &k, "ranks at the limit, 8 bytes", detail);
          sm_dict_free(&f);
        }
        check_at(find_most(y, 4, n, most, shares[s], &f) == few, "limit, 4 bytes", detail);
        if (few) {
          sm_keys k = {SM_KEY_U4, y, n, 0, s == 1};
          sm_dict_rank_numbers(&f, &k);
          check_ranks(&f, &k, "ranks at the limit, 4 bytes", detail);
          sm_dict_free(&f);
        }
      }
  free(x);
  free(y);
}

/* Words that all want the same slot are found, or given up, never endless. */
static void collisions(void) {
  int64_t n = 4000, found = 0;
  uint64_t *x = malloc((size_t)n * sizeof *x), inverse = 1;
  for (int i = 0; i < 6; i++) inverse *= 2 - 0xD6E8FEB86659FD93u * inverse;
  for (int64_t distinct = 10; distinct <= 300; distinct += 290) {
    for (int64_t i = 0; i < n; i++) x[i] = (uint64_t)(1 + i % distinct) * inverse;
    sm_dict f;
    int rc = find(x, 8, n, 2, &f);
    check_at(rc == (distinct == 10), "words of one slot", distinct);
    found += rc;
    if (rc != 1) continue;
    sm_keys k = {SM_KEY_U8, x, n, 0, false};
    sm_dict_rank_numbers(&f, &k);
    check_ranks(&f, &k, "ranks of words of one slot", distinct);
    sm_dict_free(&f);
  }
  check_at(found == 1, "some of one slot are few", found);
  free(x);
}

static void doubles(void) {
  const double kinds[] = {0, -0.0, 1, -1, INFINITY, -INFINITY, (double)NAN, -(double)NAN, 5e-324, 1e300};
  int64_t n = 5000;
  double *x = malloc((size_t)n * sizeof *x);
  for (int np = 1; np <= 3; np++)
    for (int dec = 0; dec < 2; dec++) {
      for (int64_t i = 0; i < n; i++) x[i] = kinds[draw() % 10];
      sm_keys k = {SM_KEY_F8, x, n, 0, dec};
      sm_dict f;
      check_at(find(x, 8, n, np, &f) == 1, "doubles of all kinds", np);
      sm_dict_rank_numbers(&f, &k);
      check_at(f.ranks == 7 && !f.in_order, "equal zeros have one rank, NaN none", f.ranks);
      check_ranks(&f, &k, "ranks of doubles", np);
      sm_dict_free(&f);
    }
  free(x);
}

static void order_is_seen(void) {
  int64_t n = 6000;
  int64_t *x = malloc((size_t)n * sizeof *x);
  for (int np = 1; np <= 7; np += 3)
    for (int kind = 0; kind < 4; kind++) {
      for (int64_t i = 0; i < n; i++) x[i] = 1 + i / 100;
      if (kind == 1) x[n / 2] = 1;
      if (kind == 2)
        for (int64_t i = 0; i < n; i++) x[i] = 1 + (n - i) / 100;
      if (kind == 3) x[n - 1] = INT64_MIN;
      sm_keys k = {SM_KEY_I8NA, x, n, 0, false};
      sm_dict f;
      check_at(find(x, 8, n, np, &f) == 1, "few", kind);
      sm_dict_rank_numbers(&f, &k);
      check_at(f.in_order == (kind == 0), "order", kind);
      sm_dict_free(&f);
    }
  free(x);
}

static void texts(void) {
  const char *all[] = {"b", "a", "", "ab", NULL, "\xc3\xa9", "12345678", "123456789", "1234567", "123456780"}, *same = strdup("ab");
  int64_t n = 3000;
  const void **x = malloc((size_t)n * sizeof *x);
  for (int dec = 0; dec < 2; dec++) {
    for (int64_t i = 0; i < n; i++) {
      uint64_t r = draw() % 11;
      x[i] = r == 10 ? (const void *)same : all[r];
    }
    sm_keys k = {SM_KEY_PTR, x, n, 0, dec};
    sm_dict f;
    check_at(find(x, sizeof *x, n, 2, &f) == 1, "few pointers", dec);
    const char *t[12];
    int order[12], m = 0;
    for (int i = 0; i <= sm_dict_count(&f); i++) {
      t[i] = (const char *)(uintptr_t)sm_dict_word(&f, i);
      int at = m;
      if (!t[i]) continue;
      for (; at > 0 && strcmp(t[order[at - 1]], t[i]) > 0; at--) order[at] = order[at - 1];
      order[at] = i;
      m++;
    }
    sm_dict_rank_texts(&f, t, order, m, dec);
    check_at(f.ranks == 9, "equal texts of two pointers have one rank", f.ranks);
    check_ranks(&f, &k, "ranks of texts", dec);
    sm_dict_free(&f);
  }
  free((void *)(uintptr_t)same);
  free(x);
}

static void samples(void) {
  int64_t n = 100000;
  uint64_t *x = malloc((size_t)n * sizeof *x);
  for (int64_t i = 0; i < n; i++) x[i] = draw();
  check_at(!sm_dict_likely(x, 8, n, SM_DICT_NUMBERS), "random words", n);
  for (int64_t i = 0; i < n; i++) x[i] = draw() % 1000;
  check_at(sm_dict_likely(x, 8, n, SM_DICT_NUMBERS), "few words", n);
  check_at(!sm_dict_likely(x, 8, 100, SM_DICT_NUMBERS), "too short", 100);
  for (int64_t i = 0; i < n; i++) x[i] = (uint64_t)i / 50;
  check_at(sm_dict_likely(x, 8, n, SM_DICT_NUMBERS), "few sorted words", n);
  for (int64_t i = 0; i < n; i++) x[i] = draw() % 50000;
  check_at(!sm_dict_likely(x, 8, n, SM_DICT_NUMBERS), "50000 words among numbers", n);
  check_at(sm_dict_likely(x, 8, n, SM_DICT_TEXTS), "50000 words among texts", n);
  for (int64_t i = 0; i < n; i++) x[i] = draw();
  check_at(!sm_dict_likely(x, 8, n, SM_DICT_TEXTS), "random words among texts", n);
  free(x);
}

int main(void) {
  limits(SM_DICT_NUMBERS, 30000);
  limits(SM_DICT_TEXTS, 140000);
  collisions();
  doubles();
  order_is_seen();
  texts();
  samples();
  return report();
}
