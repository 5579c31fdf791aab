/* kern_keys.h: what is sorted or searched, and unsigned keys in its order.
 *
 * A key is a uint64_t such that a < b as values means key(a) < key(b). -0 and +0 have the same key.
 * For strings there is a key for every depth: the 8 bytes from that byte on, zero-padded, big-endian.
 * NA and NaN have no key; sm_keys_scan() counts them and sm_keys_code() sets them apart.
 *
 * Data in shared memory may change at any time. Every function here reads within the data's bounds whatever it finds,
 * and gives codes within their bits; what the values of two calls have to do with each other is not known. Functions that
 * look at data (all that take an index of an element) are called from within sm_threads_run() or sm_threads_one().
 */
#ifndef KERN_KEYS_H
#define KERN_KEYS_H

#include "arr_dtype.h"
#include "kern_threads.h"

typedef struct {
  sm_key_type type;
  const void *data;
  int64_t n;
  size_t width;    /* SM_KEY_STR: bytes an element; else ignored */
  bool decreasing; /* keys and codes are those of the reverse order */
} sm_keys;

typedef struct {
  int64_t missing;
  bool ascending;  /* no missing value, and no element greater than its successor */
  bool descending; /* no missing value, and none less than its successor */
  bool whole;      /* floats: every value that is there is an integer of at most 53 bits */
  uint64_t lo, hi; /* least and greatest key as if `decreasing` were false; lo > hi if all are missing */
} sm_keys_stats;

/* Values to codes of at most 62 bits, monotone in the order asked for (not strictly, unless `exact`). */
typedef struct {
  bool linear; /* floats: (x - origin) * scale, clamped to [0, top]; else (key - base) >> shift */
  bool exact;  /* equal codes mean equal values */
  int bits;    /* codes are below 2^bits */
  int shift;
  uint64_t base;
  double origin, scale, top;
  uint64_t missing; /* the code of missing values */
} sm_keys_map;

/* Look at all numeric values (not for strings). Gives 0 or a stop code. */
int sm_keys_scan(const sm_keys *k, const sm_work *work, sm_keys_stats *out);

/* Codes of the elements from, ..., from + m - 1: below 2^map->bits, or map->missing, also where a value lies outside of what
 * was scanned because it has changed since. Not for strings. */
void sm_keys_code(const sm_keys *k, const sm_keys_map *map, int64_t from, int64_t m, uint64_t *out);

/* Bytes an element of numbers, or of pointers. */
size_t sm_keys_width(const sm_keys *k);

/* True if element i is missing (not for strings of fixed width). */
bool sm_keys_missing(const sm_keys *k, int64_t i);

/* The same codes for a map of at most 15 bits, in less time. */
void sm_keys_code_small(const sm_keys *k, const sm_keys_map *map, int64_t from, int64_t m, uint16_t *out);

/* False if none of the elements from, ..., from + m - 1 equals its successor. Numbers, none of them missing. */
bool sm_keys_ties(const sm_keys *k, int64_t from, int64_t m);

/* Key of element i (which is not missing), complemented for decreasing; depth is for strings only. */
uint64_t sm_keys_at(const sm_keys *k, int64_t i, int64_t depth);

/* True if equal keys at this depth mean equal elements: numbers always, strings if they end in `key`. */
bool sm_keys_final(const sm_keys *k, uint64_t key, int64_t depth);

/* Order of the elements i and j, neither missing: negative, 0, positive. */
int sm_keys_compare(const sm_keys *k, int64_t i, int64_t j);

static inline bool sm_keys_is_string(const sm_keys *k) { return k->type >= SM_KEY_STR; }

/* Bits that x needs; none for 0. */
static inline int sm_keys_bits(uint64_t x) {
  int n = 0;
  for (; x; x >>= 1) n++;
  return n;
}

#endif
