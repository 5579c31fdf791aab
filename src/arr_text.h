/* arr_text.h: R's strings as items of S<n>, byte for byte and with their encoding.
 *
 * An item holds the bytes of a string, padded with NUL to n. Bytes outside of ASCII are in the array's own
 * encoding (sm_dtype.raw, SM_TEXT_UTF8 unless copy() found another one in all of its strings); where they are no UTF-8 in an
 * array of SM_TEXT_UTF8, they are read as SM_TEXT_BYTES. A string that this cannot say is marked by two bytes in front,
 * which no text begins with:
 *
 *   FF            (then NUL, or the end of the item) NA
 *   FF 01 .. 04   text in SM_TEXT_UTF8, SM_TEXT_LATIN1, SM_TEXT_BYTES, SM_TEXT_NATIVE follows
 */
#ifndef ARR_TEXT_H
#define ARR_TEXT_H

#include "arr_dtype.h"

/* As R's Encoding() has them; SM_TEXT_NATIVE is "unknown" there. */
typedef enum { SM_TEXT_UTF8, SM_TEXT_LATIN1, SM_TEXT_BYTES, SM_TEXT_NATIVE } sm_text_encoding;

typedef struct {
  const char *p; /* NULL for NA */
  size_t n;      /* bytes */
  sm_text_encoding encoding;
  bool ascii;
  bool marked; /* needs the two bytes in front */
} sm_text;

/* True if all n bytes are ASCII; if they are UTF-8. */
bool sm_text_is_ascii(const char *p, size_t n);
bool sm_text_is_utf8(const char *p, size_t n);

/* A string, looked at for an array of encoding `home`. native_utf8: the encoding of the session is UTF-8. */
sm_text sm_text_take(const char *p, size_t n, sm_text_encoding encoding, sm_text_encoding home, bool native_utf8);

/* Bytes an item needs to hold it. */
size_t sm_text_size(const sm_text *t);

/* The two bytes in front of a marked string; gives 2. */
size_t sm_text_mark(const sm_text *t, uint8_t mark[2]);

/* Write the item of `width` bytes; what does not fit is cut off (callers compare sm_text_size() first). */
void sm_text_put(const sm_text *t, void *item, size_t width);

/* The string in an item of `width` bytes, which stays where it is. */
sm_text sm_text_get(const void *item, size_t width, sm_text_encoding home);

/* True if bytes other than NUL come after a NUL: a string that R cannot hold whole. */
bool sm_text_is_cut(const void *item, size_t width);

/* True if one of n items is marked, so that order by bytes is not the order of the strings. */
bool sm_text_any_marked(const void *items, size_t width, int64_t n);

#endif
