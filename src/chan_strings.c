/* chan_strings.c: see chan_strings.h.
 *
 * The cache costs one probe a string: it finds most repeats where there are few distinct strings. The repeats that it misses make the
 * table longer, never wrong.
 */
#include "chan_strings.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define SEEN_BITS 15
#define SEEN ((size_t)1 << SEEN_BITS)

int sm_strings_begin(sm_strings_out *s, size_t length) {
  memset(s, 0, sizeof *s);
  if (length > UINT32_MAX - 1u) return SM_ERANGE;
  s->bytes_size = length * 8 + 4096;
  s->end = malloc((length + 1) * sizeof *s->end);
  s->index = malloc((length > 0 ? length : 1) * sizeof *s->index);
  s->bytes = malloc(s->bytes_size);
  s->seen = calloc(SEEN, sizeof *s->seen);
  s->seen_entry = malloc(SEEN * sizeof *s->seen_entry);
  if (!s->end || !s->index || !s->bytes || !s->seen || !s->seen_entry) {
    sm_strings_free(s);
    return -ENOMEM;
  }
  s->end[0] = 0;
  return 0;
}

static size_t slot_of(const void *key) {
  return (size_t)(((uint64_t)(uintptr_t)key >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> (64 - SEEN_BITS));
}

int sm_strings_find(sm_strings_out *s, const void *key) {
  size_t at = slot_of(key);
  if (s->seen[at] != key) return 0;
  s->index[s->length++] = s->seen_entry[at];
  s->repeats = true;
  return 1;
}

int sm_strings_append(sm_strings_out *s, const void *key, const char *p, size_t n, unsigned tag) {
  if (n > s->bytes_size - s->nbytes) {
    size_t size = s->bytes_size + s->bytes_size / 2 + n;
    uint8_t *bigger = realloc(s->bytes, size);
    if (!bigger) return -ENOMEM;
    s->bytes = bigger;
    s->bytes_size = size;
  }
  if (n > 0) memcpy(s->bytes + s->nbytes, p, n);
  s->nbytes += n;
  size_t at = slot_of(key);
  s->seen[at] = key;
  s->seen_entry[at] = (uint32_t)s->entries;
  s->index[s->length++] = (uint32_t)s->entries;
  s->end[++s->entries] = (uint64_t)s->nbytes << 3 | tag;
  return 0;
}

void sm_strings_finish(sm_strings_out *s) {
  free(s->seen);
  free(s->seen_entry);
  s->seen = NULL;
  s->seen_entry = NULL;
  if (s->repeats) return;
  free(s->index);
  s->index = NULL;
}

void sm_strings_free(sm_strings_out *s) {
  free(s->end);
  free(s->index);
  free(s->bytes);
  free(s->seen);
  free(s->seen_entry);
  memset(s, 0, sizeof *s);
}

bool sm_strings_sizes_valid(const uint64_t nbytes[3], uint64_t length) {
  if (length == 0 || length > UINT32_MAX - 1u) return false;
  if (nbytes[0] < 16 || nbytes[0] % 8 != 0 || nbytes[0] / 8 - 1 > length) return false;
  if (nbytes[1] == 0 ? nbytes[0] / 8 - 1 != length : nbytes[1] != length * 4) return false;
  return nbytes[2] <= (uint64_t)1 << 60;
}

int sm_strings_look(const uint8_t *p, const uint64_t nbytes[3], uint64_t length, sm_strings *out) {
  if (!sm_strings_sizes_valid(nbytes, length)) return SM_EFORMAT;
  const uint64_t *end = (const uint64_t *)(const void *)p;
  const uint32_t *index = nbytes[1] ? (const uint32_t *)(const void *)(p + nbytes[0]) : NULL;
  size_t entries = (size_t)(nbytes[0] / 8 - 1);
  if (end[0] != 0) return SM_EFORMAT;
  bool good = true;
  for (size_t k = 0; k < entries; k++) {
    uint64_t from = end[k] >> 3, to = end[k + 1] >> 3;
    good &= to >= from && to - from <= INT_MAX;
  }
  if (!good || end[entries] >> 3 != nbytes[2]) return SM_EFORMAT;
  for (size_t i = 0; index && i < length; i++) good &= index[i] < entries;
  if (!good) return SM_EFORMAT;
  *out = (sm_strings){end, index, p + nbytes[0] + nbytes[1], entries, (size_t)length};
  return 0;
}
