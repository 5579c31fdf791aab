/* chan_strings.h: a character vector as memory that another process can read.
 *
 * A writer appends entries (bytes and a tag) and, an element each, the number of its entry; a string that
 * recurs soon is one entry. The three pieces, one behind the other, are a table as the reader has it:
 *
 *   uint64_t end[entries + 1]   entry k is bytes [end[k] >> 3, end[k + 1] >> 3); its tag is end[k + 1] & 7
 *   uint32_t index[length]      entry of each element; absent (as many entries as elements): its own number
 *   uint8_t bytes[]
 */
#ifndef CHAN_STRINGS_H
#define CHAN_STRINGS_H

#include "sm_base.h"

#define SM_STRING_NA 7u /* the tag of a missing value; others are the glue's, 0 to 6 */

/* ---- writer ---- */
typedef struct {
  uint64_t *end;
  uint32_t *index;
  uint8_t *bytes;
  size_t entries, length, nbytes;
  size_t bytes_size;
  const void **seen; /* cache: address of a string and its entry */
  uint32_t *seen_entry;
  bool repeats;
} sm_strings_out;

/* Room for `length` elements. -ENOMEM, and then nothing is held. */
int sm_strings_begin(sm_strings_out *s, size_t length);
/* The next element. key: equal for two elements only if they are the same string. -ENOMEM, SM_ERANGE (too many). */
int sm_strings_find(sm_strings_out *s, const void *key); /* 1: it has an entry and is done; 0: append it */
int sm_strings_append(sm_strings_out *s, const void *key, const char *p, size_t n, unsigned tag);
/* After the last element. `index` becomes NULL where each element has an entry of its own. */
void sm_strings_finish(sm_strings_out *s);
void sm_strings_free(sm_strings_out *s);

/* ---- reader ---- */
typedef struct {
  const uint64_t *end;
  const uint32_t *index; /* NULL: the identity */
  const uint8_t *bytes;
  size_t entries, length;
} sm_strings;

/* The table in nbytes[0] + nbytes[1] + nbytes[2] bytes at p (aligned to 8). SM_EFORMAT unless every entry and index lies within. */
int sm_strings_look(const uint8_t *p, const uint64_t nbytes[3], uint64_t length, sm_strings *out);

/* Sizes alone, before anything is read: do they make a table of `length`? */
bool sm_strings_sizes_valid(const uint64_t nbytes[3], uint64_t length);

static inline size_t sm_strings_entry(const sm_strings *s, size_t i) { return s->index ? s->index[i] : i; }
static inline unsigned sm_strings_get(const sm_strings *s, size_t k, const char **p, size_t *n) {
  uint64_t from = s->end[k] >> 3, to = s->end[k + 1] >> 3;
  *p = (const char *)s->bytes + from;
  *n = (size_t)(to - from);
  return (unsigned)(s->end[k + 1] & 7u);
}

#endif
