/* kern_keys, kern_sort, kern_text, kern_dict, kern_search: order of any values of any type, beside plain comparisons. */
#include "../../src/kern_dict.h"
#include "../../src/kern_search.h"
#include "../../src/kern_sort.h"
#include "../../src/kern_text.h"

#include <math.h>

#include "fuzz.h"

#define MOST 700
#define WORDS 24

static sm_work work_on(int np, sm_stop *stop) {
  sm_stop_init(stop, NULL, NULL);
  return (sm_work){np, stop, NULL};
}

static long double value_of(const sm_keys *k, int64_t i) {
#define VALUE(code, T) \
  case code: return ((const T *)k->data)[i]
  switch (k->type) {
    VALUE(SM_KEY_F8, double);
    VALUE(SM_KEY_F4, float);
    VALUE(SM_KEY_I1, int8_t);
    VALUE(SM_KEY_I2, int16_t);
    VALUE(SM_KEY_I4, int32_t);
    VALUE(SM_KEY_I8, int64_t);
    VALUE(SM_KEY_I8NA, int64_t);
    VALUE(SM_KEY_U1, uint8_t);
    VALUE(SM_KEY_U2, uint16_t);
    VALUE(SM_KEY_U4, uint32_t);
    VALUE(SM_KEY_U8, uint64_t);
  case SM_KEY_B1: return ((const uint8_t *)k->data)[i] != 0;
  default: return 0;
  }
}

static bool missing(const sm_keys *k, int64_t i) {
  switch (k->type) {
  case SM_KEY_STR: return ((const uint8_t *)k->data)[(size_t)i * k->width] == 0xFF;
  case SM_KEY_PTR: return ((const char *const *)k->data)[i] == NULL;
  case SM_KEY_I4: return value_of(k, i) == INT32_MIN;
  case SM_KEY_I8NA: return value_of(k, i) == (long double)INT64_MIN;
  case SM_KEY_B1: return ((const uint8_t *)k->data)[i] == 0x80;
  default: return isnan(value_of(k, i));
  }
}

static int order_of(const sm_keys *a, int64_t i, const sm_keys *b, int64_t j) {
  if (a->type == SM_KEY_PTR) return strcmp(((const char *const *)a->data)[i], ((const char *const *)b->data)[j]);
  if (a->type == SM_KEY_STR) {
    const char *p = (const char *)a->data + (size_t)i * a->width, *q = (const char *)b->data + (size_t)j * b->width;
    size_t n = a->width < b->width ? a->width : b->width;
    int c = strncmp(p, q, n);
    if (c || !memchr(p, 0, a->width < n ? a->width : n)) c = c ? c : (a->width > n && p[n]) - (b->width > n && q[n]);
    return c;
  }
  long double x = value_of(a, i), y = value_of(b, j);
  return (x > y) - (x < y);
}

/* Values of a few kinds, so that there are ties, or of any bytes. */
static sm_keys take_keys(fuzz_in *in, sm_key_type type, size_t width, const char *const *texts) {
  uint8_t shape = take_u8(in);
  int64_t n = shape < 200 ? shape % 40 : (int64_t)take_below(in, MOST);
  sm_keys k = {.type = type, .n = n, .width = width, .decreasing = take_u8(in) & 1};
  size_t each = type == SM_KEY_STR ? width : sm_keys_width(&k);
  uint8_t *p = exactly((size_t)n * each), words[WORDS][16];
  for (int w = 0; w < WORDS; w++) {
    take(in, words[w], each);
    if (type == SM_KEY_F8 && take_u8(in) & 1) {
      double v = (double)take_number(in);
      memcpy(words[w], &v, 8);
    } else if (type == SM_KEY_F4 && take_u8(in) & 1) {
      float v = (float)take_number(in);
      memcpy(words[w], &v, 4);
    } else if (type == SM_KEY_STR) { /* padded with NUL from the first one on */
      uint8_t *end = memchr(words[w], 0, each);
      if (end) memset(end, 0, each - (size_t)(end - words[w]));
    } else if (type == SM_KEY_PTR) {
      memcpy(words[w], &texts[w], sizeof *texts);
    }
  }
  bool sorted = take_u8(in) & 1;
  for (int64_t i = 0; i < n; i++) {
    int w = in->left ? take_u8(in) % WORDS : (int)(sorted ? i * WORDS / n : (i * 7) % WORDS);
    memcpy(p + (size_t)i * each, words[w], each);
    if (in->left && type != SM_KEY_PTR && type != SM_KEY_STR && take_u8(in) > 128) take(in, p + (size_t)i * each, each);
  }
  k.data = p;
  return k;
}

static int64_t count_missing(const sm_keys *k) {
  int64_t gone = 0;
  for (int64_t i = 0; i < k->n; i++) gone += missing(k, i);
  return gone;
}

static int64_t place_at(sm_places out, int64_t p) {
  return out.type == SM_PLACE_I4   ? ((int32_t *)out.at)[p]
         : out.type == SM_PLACE_I8 ? ((int64_t *)out.at)[p]
                                   : (int64_t)((double *)out.at)[p];
}

static void check_sorted(const sm_keys *k, sm_places out, int64_t length, sm_missing where, int64_t gone) {
  uint8_t *seen = exactly((size_t)k->n + 1);
  memset(seen, 0, (size_t)k->n + 1);
  for (int64_t p = 0, before = -1; p < length; p++) {
    int64_t i = place_at(out, p) - 1;
    CHECK(i >= 0 && i < k->n && !seen[i], "a permutation has each place once");
    seen[i] = 1;
    bool should = where == SM_MISSING_LAST ? p >= k->n - gone : where == SM_MISSING_FIRST ? p < gone : false;
    CHECK(missing(k, i) == should, "missing values stand together");
    if (before >= 0 && missing(k, before) == should) {
      int c = should ? 0 : order_of(k, before, k, i);
      if (k->decreasing) c = -c;
      CHECK(c < 0 || (c == 0 && before < i), "values are in order, and ties in that of their places");
    }
    before = i;
  }
  free(seen);
}

static void sort(const sm_keys *k, uint8_t how) {
  sm_stop stop;
  sm_work work = work_on(how & 64 ? 2 : 1, &stop);
  sm_argsort_plan plan;
  CHECK(sm_argsort_look(k, &work, &plan) == 0, "data are looked at");
  int64_t gone = count_missing(k);
  CHECK(plan.stats.missing == gone, "missing values are counted");
  sm_missing where = (sm_missing)(how % 3);
  int64_t length = k->n - (where == SM_MISSING_DROP ? gone : 0);
  sm_place_type type = (sm_place_type)(how / 4 % 3);
  sm_places out = {type, exactly((size_t)length * (type == SM_PLACE_I4 ? 4 : 8))};
  if (sm_argsort_is_identity(&plan) && gone == 0)
    for (int64_t i = 1; i < k->n; i++) CHECK((k->decreasing ? -1 : 1) * order_of(k, i - 1, k, i) <= 0, "what is said to be sorted is");
  CHECK(sm_argsort_run(&plan, where, out) == 0, "data are sorted");
  check_sorted(k, out, length, where, gone);
  free(out.at);
  sm_argsort_free(&plan);
}

static void text_codes(const sm_keys *k, int np) {
  sm_stop stop;
  sm_work work = work_on(np, &stop);
  sm_keys_map map;
  sm_keys_stats stats;
  uint64_t *code = exactly((size_t)k->n * 8);
  CHECK(sm_text_code(k, &work, code, &map, &stats) == 0 && stats.missing == count_missing(k), "strings have codes");
  for (int64_t i = 0; i < k->n; i++) {
    int64_t j = (i * 31 + 7) % k->n;
    CHECK(missing(k, i) ? code[i] == map.missing : code[i] < (uint64_t)1 << map.bits, "within their bits");
    if (missing(k, i) || missing(k, j)) continue;
    int c = order_of(k, i, k, j);
    if (k->decreasing) c = -c;
    CHECK(c == 0 ? code[i] == code[j] : c < 0 ? code[i] <= code[j] : code[i] >= code[j], "in the order of the strings");
    CHECK(!map.exact || c == 0 || code[i] != code[j], "different ones for different strings where that is said");
  }
  free(code);
}

static void dictionary(const sm_keys *k, int np) {
  sm_stop stop;
  sm_work work = work_on(np, &stop);
  sm_dict d;
  if (sm_dict_make(k->data, sm_keys_width(k), k->n, SM_DICT_NUMBERS, &work, &d) != 1) return;
  sm_dict_rank_numbers(&d, k);
  uint16_t *code = exactly((size_t)k->n * 2);
  int64_t *count = exactly(((size_t)d.ranks + 1) * 8);
  memset(count, 0, ((size_t)d.ranks + 1) * 8);
  for (int share = 0; share < d.np; share++) {
    int64_t from = sm_share(k->n, share, d.np, SM_DICT_STEP), to = sm_share(k->n, share + 1, d.np, SM_DICT_STEP);
    if (to > from) sm_dict_codes(&d, share, from, to - from, code + from);
    sm_dict_tally(&d, share, count);
  }
  CHECK(d.missing == count_missing(k), "a dictionary counts what is missing");
  for (int64_t i = 0; i < k->n; i++) {
    int64_t j = (i * 31 + 7) % k->n;
    CHECK(code[i] <= d.ranks && (code[i] == d.ranks) == missing(k, i), "an element has a rank");
    count[code[i]]--;
    if (missing(k, i) || missing(k, j)) continue;
    int c = order_of(k, i, k, j), e = (int)code[i] - (int)code[j];
    if (k->decreasing) c = -c;
    CHECK((c > 0) - (c < 0) == (e > 0) - (e < 0), "in the order of the values");
  }
  for (int r = 0; r <= d.ranks; r++) CHECK(count[r] == 0, "and each rank is counted");
  free(code);
  free(count);
  sm_dict_free(&d);
}

/* Needles into the data, sorted first by the permutation. */
static void search(const sm_keys *k, const sm_keys *needle, bool right, int np) {
  sm_stop stop;
  sm_work work = work_on(np, &stop);
  size_t each = k->type == SM_KEY_STR ? k->width : sm_keys_width(k);
  sm_keys up = *k;
  sm_argsort_plan plan;
  up.decreasing = false;
  if (sm_argsort_look(&up, &work, &plan) < 0) exit(2);
  int64_t *order = exactly((size_t)k->n * 8), *got = exactly((size_t)needle->n * 8);
  uint8_t *sorted = exactly((size_t)k->n * each);
  if (sm_argsort_run(&plan, SM_MISSING_LAST, (sm_places){SM_PLACE_I8, order}) < 0) exit(2);
  sm_argsort_free(&plan);
  for (int64_t i = 0; i < k->n; i++) memcpy(sorted + (size_t)i * each, (const uint8_t *)k->data + (size_t)(order[i] - 1) * each, each);
  up.data = sorted;
  sm_keys of = *needle;
  of.decreasing = false;
  CHECK(sm_search(&up, &of, right, (sm_places){SM_PLACE_I8, got}, &work) == 0, "needles are sought");
  for (int64_t i = 0; i < of.n; i++) {
    int64_t want = 1;
    for (int64_t j = 0; j < up.n; j++) {
      int c = missing(&up, j) ? !missing(&of, i) : missing(&of, i) ? -1 : order_of(&up, j, &of, i);
      want += c < 0 || (c == 0 && right);
    }
    CHECK(got[i] == want, "and found where counting puts them");
  }
  free(order);
  free(got);
  free(sorted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_in in = {data, size};
  static char text[WORDS][40];
  const char *texts[WORDS] = {NULL};
  sm_key_type type = (sm_key_type)take_below(&in, SM_KEY_NONE), other = (sm_key_type)take_below(&in, SM_KEY_U8);
  uint8_t how = take_u8(&in);
  size_t width = 1 + (size_t)take_below(&in, 12);
  for (int w = 0; type == SM_KEY_PTR && w < WORDS; w++) {
    uint8_t n = take_u8(&in);
    memset(text[w], 'a', sizeof text[w]);
    take(&in, text[w] + (n >> 5) * 3, n % 16); /* after a prefix that some have in common */
    text[w][(n >> 5) * 3 + n % 16] = 0;
    texts[w] = n > 250 ? NULL : text[w];
  }
  sm_keys k = take_keys(&in, type, width, texts);
  sort(&k, how);
  int np = how & 64 ? 2 : 1;
  size_t each = sm_keys_width(&k);
  if (sm_keys_is_string(&k)) text_codes(&k, np);
  else if (each == 4 || each == 8) dictionary(&k, np);
  if (type != SM_KEY_PTR && type != SM_KEY_U8 && (type == SM_KEY_STR || type <= SM_KEY_B1)) {
    sm_keys needle = take_keys(&in, type == SM_KEY_STR ? type : other, 1 + how % 7, NULL);
    if (needle.n > 100) needle.n = 100;
    search(&k, &needle, how & 128, np);
    free((void *)(uintptr_t)needle.data);
  }
  free((void *)(uintptr_t)k.data);
  return 0;
}
