/* chan_strings: tables of strings of any bytes are refused or lie within them; what the writer makes, the reader finds. */
#include "../../src/chan_strings.h"

#include <limits.h>

#include "fuzz.h"

static void read_all(const sm_strings *s, const uint8_t *from, const uint8_t *to) {
  for (size_t i = 0; i < s->length; i++) {
    const char *p;
    size_t n, entry = sm_strings_entry(s, i);
    CHECK(entry < s->entries, "an element has an entry");
    unsigned tag = sm_strings_get(s, entry, &p, &n);
    CHECK(tag <= 7 && n <= INT_MAX, "with a tag and a length that R has");
    CHECK((const uint8_t *)p >= from && (const uint8_t *)p + n <= to, "whose bytes lie in the table");
  }
}

/* Sizes and bytes are the input's. */
static void any_table(fuzz_in *in) {
  uint64_t length = take_u8(in) & 1 ? take_u8(in) : take_u64(in), nbytes[3];
  nbytes[0] = take_u8(in) < 200 ? 8 * (uint64_t)(take_u8(in) % 20) : take_u64(in);
  nbytes[1] = take_u8(in) < 200 ? 4 * (length & 255) * (take_u8(in) & 1) : take_u64(in);
  nbytes[2] = take_u8(in) < 200 ? take_u8(in) : take_u64(in);
  if (!sm_strings_sizes_valid(nbytes, length)) {
    sm_strings none;
    CHECK(sm_strings_look(NULL, nbytes, length, &none) == SM_EFORMAT, "sizes that are none are refused before a byte is read");
    return;
  }
  uint64_t whole = nbytes[0] + nbytes[1] + nbytes[2];
  if (whole > 1 << 16) return;
  uint8_t *p = exactly((size_t)whole);
  memset(p, 0, (size_t)whole);
  uint64_t end = 0;
  for (uint64_t k = 1; k < nbytes[0] / 8; k++) {
    uint8_t kind = take_u8(in);
    end = kind < 220 ? end + (kind & 15) : take_u64(in);
    if (k + 1 == nbytes[0] / 8 && kind & 16) end = nbytes[2];
    uint64_t v = end << 3 | (kind >> 5);
    memcpy(p + 8 * k, &v, 8);
  }
  for (uint64_t i = 0; i < nbytes[1] / 4; i++) {
    uint32_t v = take_u8(in);
    if (v > 250) take(in, &v, 4);
    memcpy(p + nbytes[0] + 4 * i, &v, 4);
  }
  sm_strings s;
  int rc = sm_strings_look(p, nbytes, length, &s);
  CHECK(rc == 0 || rc == SM_EFORMAT, "a reader gives one of its codes");
  if (rc == 0) read_all(&s, p, p + whole);
  free(p);
}

typedef struct {
  const char *p;
  size_t n;
  unsigned tag;
} word;

static void round_trip(fuzz_in *in) {
  enum { WORDS = 16, MOST = 400 };
  word words[WORDS], *of[MOST];
  size_t length = 1 + (size_t)take_below(in, MOST - 1);
  for (int k = 0; k < WORDS; k++) {
    unsigned tag = take_u8(in);
    size_t n = (tag >> 3) % 12 < in->left ? (tag >> 3) % 12 : in->left;
    words[k] = (word){(const char *)in->at, n, tag & 7u};
    in->at += n;
    in->left -= n;
  }
  sm_strings_out out;
  if (sm_strings_begin(&out, length) < 0) exit(2);
  for (size_t i = 0; i < length; i++) {
    of[i] = &words[in->left ? take_u8(in) % WORDS : i % WORDS];
    if (sm_strings_find(&out, of[i])) continue;
    CHECK(sm_strings_append(&out, of[i], of[i]->p, of[i]->n, of[i]->tag) == 0, "an element is appended");
  }
  sm_strings_finish(&out);
  const uint64_t nbytes[3] = {(out.entries + 1) * 8, out.index ? length * 4 : 0, out.nbytes};
  uint8_t *p = exactly((size_t)(nbytes[0] + nbytes[1] + nbytes[2]));
  memcpy(p, out.end, (size_t)nbytes[0]);
  if (out.index) memcpy(p + nbytes[0], out.index, (size_t)nbytes[1]);
  if (out.nbytes) memcpy(p + nbytes[0] + nbytes[1], out.bytes, out.nbytes);
  sm_strings s;
  CHECK(sm_strings_look(p, nbytes, length, &s) == 0, "a reader takes what a writer made");
  for (size_t i = 0; i < length; i++) {
    const char *text;
    size_t n;
    unsigned tag = sm_strings_get(&s, sm_strings_entry(&s, i), &text, &n);
    CHECK(tag == of[i]->tag && n == of[i]->n && memcmp(text, of[i]->p, n) == 0, "and finds each string");
  }
  sm_strings_free(&out);
  free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_in in = {data, size};
  if (take_u8(&in) & 1) any_table(&in);
  else round_trip(&in);
  return 0;
}
