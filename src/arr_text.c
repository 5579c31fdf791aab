/* arr_text.c: see arr_text.h. */
#include "arr_text.h"

#include <string.h>

#define MARK 0xFF

bool sm_text_is_ascii(const char *p, size_t n) {
  unsigned char all = 0;
  for (size_t i = 0; i < n; i++) all |= (unsigned char)p[i];
  return all < 0x80;
}

/* Length of the UTF-8 sequence at p, of which n > 0 bytes are there; 0 if it is none (Unicode 15, table 3-7). */
static size_t sequence(const unsigned char *p, size_t n) {
  unsigned char low = 0x80, high = 0xBF;
  size_t len = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
  if (len < 2 || len > n) return len > n ? 0 : len;
  if (p[0] == 0xE0) low = 0xA0;
  if (p[0] == 0xED) high = 0x9F;
  if (p[0] == 0xF0) low = 0x90;
  if (p[0] == 0xF4) high = 0x8F;
  if (p[1] < low || p[1] > high) return 0;
  for (size_t i = 2; i < len; i++)
    if (p[i] < 0x80 || p[i] > 0xBF) return 0;
  return len;
}

bool sm_text_is_utf8(const char *p, size_t n) {
  const unsigned char *u = (const unsigned char *)p;
  for (size_t i = 0, len; i < n; i += len)
    if ((len = sequence(u + i, n - i)) == 0) return false;
  return true;
}

/* What bytes outside of ASCII are read as in an array of encoding `home`. */
static sm_text_encoding read_as(const char *p, size_t n, sm_text_encoding home) {
  return home == SM_TEXT_UTF8 && !sm_text_is_utf8(p, n) ? SM_TEXT_BYTES : home;
}

sm_text sm_text_take(const char *p, size_t n, sm_text_encoding encoding, sm_text_encoding home, bool native_utf8) {
  sm_text t = {.p = p, .n = n, .encoding = encoding, .ascii = sm_text_is_ascii(p, n)};
  if (t.ascii) {
    t.marked = n > 0 && encoding == SM_TEXT_BYTES; /* R's empty string has no encoding */
    return t;
  }
  sm_text_encoding read = read_as(p, n, home);
  bool same = read == encoding;
  if (native_utf8 && !same && (read == SM_TEXT_UTF8 || read == SM_TEXT_NATIVE) && (encoding == SM_TEXT_UTF8 || encoding == SM_TEXT_NATIVE))
    same = sm_text_is_utf8(p, n);
  t.marked = !same || (unsigned char)p[0] == MARK;
  return t;
}

size_t sm_text_size(const sm_text *t) { return t->p ? t->n + (t->marked ? 2 : 0) : 1; }

size_t sm_text_mark(const sm_text *t, uint8_t mark[2]) {
  mark[0] = MARK;
  mark[1] = (uint8_t)(1 + t->encoding);
  return 2;
}

void sm_text_put(const sm_text *t, void *item, size_t width) {
  unsigned char *to = item;
  size_t at = 0, n;
  if (!t->p) to[at++] = MARK;
  if (t->p && t->marked && width > 2) at = sm_text_mark(t, to);
  n = !t->p ? 0 : t->n < width - at ? t->n : width - at;
  if (n > 0) memcpy(to + at, t->p, n);
  memset(to + at + n, 0, width - at - n);
}

static bool is_marked(const unsigned char *p, size_t width) { return width > 2 && p[0] == MARK && p[1] >= 1 && p[1] <= 4; }

bool sm_text_is_cut(const void *item, size_t width) {
  const unsigned char *p = memchr(item, 0, width), *end = (const unsigned char *)item + width;
  unsigned char any = 0;
  for (; p && p < end; p++) any |= *p;
  return any != 0;
}

sm_text sm_text_get(const void *item, size_t width, sm_text_encoding home) {
  const unsigned char *p = item;
  sm_text t = {.encoding = home};
  if (p[0] == MARK && (width == 1 || p[1] == 0)) return t;
  t.marked = is_marked(p, width);
  if (t.marked) {
    t.encoding = (sm_text_encoding)(p[1] - 1);
    p += 2;
    width -= 2;
  }
  const void *end = memchr(p, 0, width);
  t.p = (const char *)p;
  t.n = end ? (size_t)((const unsigned char *)end - p) : width;
  t.ascii = sm_text_is_ascii(t.p, t.n);
  if (t.ascii && !t.marked) t.encoding = SM_TEXT_NATIVE;
  else if (!t.marked) t.encoding = read_as(t.p, t.n, home);
  return t;
}

bool sm_text_any_marked(const void *items, size_t width, int64_t n) {
  const unsigned char *p = items;
  if (width < 2) return false;
  for (int64_t k = 0; k < n; k++, p += width)
    if (p[0] == MARK && p[1] != 0) return true;
  return false;
}
