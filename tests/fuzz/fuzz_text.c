/* arr_text: strings of any bytes and encoding into items of any width and back; items of any bytes; UTF-8 beside a plain decoder. */
#include "../../src/arr_text.h"

#include "fuzz.h"

/* By the code points, instead of by the table of byte ranges. */
static bool plain_utf8(const uint8_t *p, size_t n) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  for (size_t i = 0; i < n;) {
    size_t len = p[i] < 0x80 ? 1 : p[i] >> 5 == 6 ? 2 : p[i] >> 4 == 14 ? 3 : p[i] >> 3 == 30 ? 4 : 0;
    if (len == 0 || len > n - i) return false;
    uint32_t c = len == 1 ? p[i] : p[i] & (0x7Fu >> len);
    for (size_t k = 1; k < len; k++) {
      if (p[i + k] >> 6 != 2) return false;
      c = c << 6 | (p[i + k] & 0x3F);
    }
    if (c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return false;
    i += len;
  }
  return true;
}

static bool ascii(const uint8_t *p, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (p[i] > 0x7F) return false;
  return true;
}

static void round_trip(fuzz_in *in) {
  uint8_t how = take_u8(in);
  sm_text_encoding encoding = how & 3, home = how >> 2 & 3;
  bool native_utf8 = how >> 4 & 1;
  size_t extra = how >> 5, n = take_u8(in) % 48;
  uint8_t *p = exactly(n);
  take(in, p, n);
  for (size_t i = 0; i < n; i++)
    if (p[i] == 0) p[i] = 'x'; /* R's strings have no NUL */
  CHECK(sm_text_is_utf8((const char *)p, n) == plain_utf8(p, n), "UTF-8 is what decodes");
  CHECK(sm_text_is_ascii((const char *)p, n) == ascii(p, n), "ASCII is what has no high bit");
  sm_text t = sm_text_take((const char *)p, n, encoding, home, native_utf8);
  size_t size = sm_text_size(&t), width = size + extra > 0 ? size + extra : 1;
  uint8_t *item = exactly(width);
  memset(item, 0xAA, width);
  sm_text_put(&t, item, width);
  sm_text g = sm_text_get(item, width, home);
  CHECK(g.p && g.n == n && memcmp(g.p, p, n) == 0, "the bytes come back");
  if (ascii(p, n)) CHECK((g.encoding == SM_TEXT_BYTES) == (n > 0 && encoding == SM_TEXT_BYTES), "of ASCII, bytes stay bytes");
  else if (g.encoding != encoding)
    CHECK(native_utf8 && encoding != SM_TEXT_LATIN1 && encoding != SM_TEXT_BYTES && g.encoding != SM_TEXT_LATIN1 &&
              g.encoding != SM_TEXT_BYTES && plain_utf8(p, n),
          "the encoding comes back, or one of the same meaning");
  CHECK(sm_text_any_marked(item, width, 1) == (width >= 2 && item[0] == 0xFF && item[1] != 0), "a mark is seen");
  free(item);
  width = 1 + extra; /* what does not fit is cut off */
  item = exactly(width);
  sm_text_put(&t, item, width);
  sm_text_get(item, width, home);
  sm_text none = {0};
  sm_text_put(&none, item, width);
  CHECK(!sm_text_get(item, width, home).p, "NA comes back from any width");
  free(item);
  free(p);
}

static void any_items(fuzz_in *in) {
  size_t width = 1 + (size_t)take_below(in, 12), n = 1 + (size_t)take_below(in, 20);
  sm_text_encoding home = take_u8(in) & 3;
  uint8_t *items = exactly(width * n);
  take(in, items, width * n);
  bool marked = false;
  for (size_t k = 0; k < n; k++) {
    const uint8_t *item = items + k * width;
    sm_text t = sm_text_get(item, width, home);
    marked |= width >= 2 && item[0] == 0xFF && item[1] != 0;
    if (!t.p) {
      CHECK(item[0] == 0xFF, "NA has its mark");
      continue;
    }
    CHECK((const uint8_t *)t.p >= item && (const uint8_t *)t.p + t.n <= item + width, "a string lies in its item");
    CHECK(t.encoding <= SM_TEXT_NATIVE && !memchr(t.p, 0, t.n), "and is one that R has");
    CHECK(t.encoding != SM_TEXT_UTF8 || t.marked || plain_utf8((const uint8_t *)t.p, t.n), "unmarked UTF-8 is UTF-8");
  }
  CHECK(sm_text_any_marked(items, width, (int64_t)n) == marked, "marks among items are seen");
  free(items);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_in in = {data, size};
  if (take_u8(&in) & 1) round_trip(&in);
  else any_items(&in);
  return 0;
}
