/* arr_text: strings to items and back, in all encodings and widths, and items of any bytes. */
#include "arr_text.h"

#include "check.h"

static bool comes_back(const char *p, size_t n, sm_text_encoding e, sm_text_encoding home, bool native_utf8) {
  uint8_t item[64];
  sm_text t = sm_text_take(p, n, e, home, native_utf8);
  size_t size = sm_text_size(&t);
  if (size > 40) return false;
  bool ok = true;
  for (size_t width = size > 0 ? size : 1; width < size + 3; width++) {
    memset(item, 0x5A, sizeof item);
    sm_text_put(&t, item, width);
    sm_text back = sm_text_get(item, width, home);
    sm_text_encoding want = t.ascii && (n == 0 || e != SM_TEXT_BYTES) ? SM_TEXT_NATIVE : e;
    bool alike = back.encoding == want || (native_utf8 && !t.marked && (want == SM_TEXT_UTF8 || want == SM_TEXT_NATIVE) &&
                                           (back.encoding == SM_TEXT_UTF8 || back.encoding == SM_TEXT_NATIVE));
    ok &= back.p != NULL && back.n == n && memcmp(back.p, p, n) == 0 && alike && item[width] == 0x5A;
    ok &= sm_text_any_marked(item, width, 1) == t.marked;
  }
  return ok;
}

static void round_trips(void) {
  static const unsigned char pool[] = {'a', 'z', 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xFF, 0xFE, 0x01, 0x04, 0xF0, 0x9F, 0x98, 0x80, 0xED};
  for (int round = 0; round < 200000; round++) {
    char text[16];
    size_t n = draw() % 13;
    for (size_t i = 0; i < n; i++) text[i] = (char)pool[draw() % sizeof pool];
    check_at(comes_back(text, n, (sm_text_encoding)(draw() % 4), (sm_text_encoding)(draw() % 4), draw() % 2), "round trip", round);
  }
  uint8_t item[8];
  sm_text na = {0};
  for (size_t width = 1; width < 8; width++) {
    sm_text_put(&na, item, width);
    sm_text back = sm_text_get(item, width, SM_TEXT_UTF8);
    check_at(sm_text_size(&na) == 1 && back.p == NULL && !sm_text_any_marked(item, width, 1), "NA", (int64_t)width);
  }
}

/* Nothing past an item is looked at: it lies at the end of a block of its own size. */
static void any_bytes(void) {
  for (int round = 0; round < 100000; round++) {
    size_t width = 1 + draw() % 6;
    uint8_t *item = malloc(width);
    for (size_t i = 0; i < width; i++) item[i] = draw() % 3 ? (uint8_t)draw() : draw() % 2 ? 0xFF : (uint8_t)(draw() % 6);
    sm_text t = sm_text_get(item, width, (sm_text_encoding)(draw() % 4));
    check_at(!t.p || ((const uint8_t *)t.p >= item && (const uint8_t *)t.p + t.n <= item + width), "within the item", round);
    free(item);
  }
}

static void validity(void) {
  static const struct {
    const char *text;
    bool good;
  } cases[] = {{"", true},
               {"abc", true},
               {"\xC3\xA9", true},
               {"\xC3", false},
               {"\xC0\x80", false},
               {"\xE2\x82\xAC", true},
               {"\xED\xA0\x80", false},
               {"\xF0\x9F\x98\x80", true},
               {"\xF4\x90\x80\x80", false},
               {"\x80", false},
               {"\xE0\x80\x80", false},
               {"a\xFF", false},
               {"\xF0\x80\x80\x80", false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    check_at(sm_text_is_utf8(cases[i].text, strlen(cases[i].text)) == cases[i].good, "UTF-8", (int64_t)i);
}

int main(void) {
  round_trips();
  any_bytes();
  validity();
  return report();
}
