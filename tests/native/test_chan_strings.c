/* chan_strings: a table says what was put into it, and a damaged one is refused. */
#include "check.h"

#include "../../src/chan_strings.h"

/* The three pieces one behind the other, as a reader has them. */
static uint8_t *joined(const sm_strings_out *s, uint64_t nbytes[3]) {
  nbytes[0] = (s->entries + 1) * 8;
  nbytes[1] = s->index ? s->length * 4 : 0;
  nbytes[2] = s->nbytes;
  uint8_t *p = malloc((size_t)(nbytes[0] + nbytes[1] + nbytes[2]));
  memcpy(p, s->end, (size_t)nbytes[0]);
  if (s->index) memcpy(p + nbytes[0], s->index, (size_t)nbytes[1]);
  if (s->nbytes) memcpy(p + nbytes[0] + nbytes[1], s->bytes, (size_t)nbytes[2]);
  return p;
}

static char text[200000][32]; /* apart, as an allocator would have them */

/* n strings of which `distinct` differ; every seventh is missing. */
static int round_trip(size_t n, size_t distinct, size_t *entries) {
  sm_strings_out s;
  if (sm_strings_begin(&s, n) < 0) return 0;
  for (size_t i = 0; i < n; i++) {
    size_t k = i * 31 % distinct;
    if (sm_strings_find(&s, text[k])) continue;
    unsigned tag = k % 7 == 0 ? SM_STRING_NA : (unsigned)(k % 4);
    if (sm_strings_append(&s, text[k], text[k], tag == SM_STRING_NA ? 0 : strlen(text[k]), tag) < 0) return 0;
  }
  sm_strings_finish(&s);
  uint64_t nbytes[3];
  uint8_t *p = joined(&s, nbytes);
  *entries = s.entries;
  sm_strings_free(&s);
  sm_strings t;
  int good = sm_strings_look(p, nbytes, n, &t) == 0 && t.length == n;
  for (size_t i = 0; good && i < n; i++) {
    size_t k = i * 31 % distinct, len;
    const char *q;
    unsigned tag = sm_strings_get(&t, sm_strings_entry(&t, i), &q, &len);
    if (k % 7 == 0) good = tag == SM_STRING_NA && len == 0;
    else good = tag == k % 4 && len == strlen(text[k]) && memcmp(q, text[k], len) == 0;
  }
  free(p);
  return good;
}

/* Strings that need many times the bytes that were put aside for them. */
static void test_long(void) {
  static char line[3][30000];
  const size_t n[3] = {5000, 29999, 12000};
  sm_strings_out s;
  sm_strings_begin(&s, 3);
  int good = 1;
  for (int i = 0; i < 3; i++) {
    memset(line[i], 'a' + i, n[i]);
    good &= sm_strings_append(&s, line[i], line[i], n[i], 0) == 0;
  }
  sm_strings_finish(&s);
  uint64_t nbytes[3];
  uint8_t *p = joined(&s, nbytes);
  sm_strings_free(&s);
  sm_strings t;
  good &= sm_strings_look(p, nbytes, 3, &t) == 0 && nbytes[2] == n[0] + n[1] + n[2];
  for (size_t i = 0; good && i < 3; i++) {
    const char *q;
    size_t len;
    sm_strings_get(&t, sm_strings_entry(&t, i), &q, &len);
    good &= len == n[i] && memcmp(q, line[i], len) == 0;
  }
  check(good, "long strings are whole");
  free(p);
}

static void test_damage(void) {
  sm_strings_out s;
  sm_strings_begin(&s, 4);
  for (int i = 0; i < 4; i++)
    if (!sm_strings_find(&s, text[i % 2 + 1])) sm_strings_append(&s, text[i % 2 + 1], "abc", 3, 0);
  sm_strings_finish(&s);
  uint64_t n[3];
  uint8_t *p = joined(&s, n);
  sm_strings_free(&s);
  uint64_t *end = (uint64_t *)(void *)p;
  uint32_t *index = (uint32_t *)(void *)(p + n[0]);
  sm_strings t;
  check(n[0] == 24 && n[1] == 16 && n[2] == 6, "two entries for four elements");
  check(sm_strings_look(p, n, 4, &t) == 0, "the table is sound");
  check(sm_strings_look(p, n, 5, &t) == SM_EFORMAT, "another length is refused");
  check(sm_strings_look(p, n, 0, &t) == SM_EFORMAT, "and none");
  index[2] = 2;
  check(sm_strings_look(p, n, 4, &t) == SM_EFORMAT, "an index past the entries is refused");
  index[2] = 0;
  uint64_t before = end[1];
  end[1] = UINT64_C(1) << 60;
  check(sm_strings_look(p, n, 4, &t) == SM_EFORMAT, "an entry past the bytes is refused");
  end[1] = before;
  end[2] = 5 << 3;
  check(sm_strings_look(p, n, 4, &t) == SM_EFORMAT, "bytes that are no entry's are refused");
  end[2] = 6 << 3;
  end[0] = 8;
  check(sm_strings_look(p, n, 4, &t) == SM_EFORMAT, "a table that begins elsewhere is refused");
  end[0] = 0;
  const uint64_t odd[3] = {20, 16, 6}, few[3] = {8, 16, 6}, many[3] = {80, 16, 6}, none[3] = {24, 0, 6}, huge[3] = {24, 16, UINT64_MAX};
  check(!sm_strings_sizes_valid(odd, 4) && !sm_strings_sizes_valid(few, 4) && !sm_strings_sizes_valid(many, 4) &&
            !sm_strings_sizes_valid(none, 4) && !sm_strings_sizes_valid(huge, 4),
        "sizes that make no table are refused");
  free(p);
}

int main(void) {
  for (size_t i = 0; i < 200000; i++) snprintf(text[i], sizeof text[i], "%zx", i);
  size_t entries;
  check(round_trip(1, 1, &entries), "one string");
  check(round_trip(100000, 3, &entries) && entries == 3, "few distinct ones are three entries");
  check(round_trip(200000, 199999, &entries), "all but two differ");
  check(round_trip(50000, 200000, &entries) && entries == 50000, "all differ");
  check(round_trip(200000, 40000, &entries) && entries < 200000, "more distinct ones than the cache has places");
  sm_strings_out s;
  check(sm_strings_begin(&s, (size_t)UINT32_MAX) == SM_ERANGE, "too many elements are refused");
  test_long();
  test_damage();
  return report();
}
