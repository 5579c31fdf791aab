/* kern_keys.c: see kern_keys.h. One scan, one coder and one key function a type, by macro. */
#include "kern_keys.h"

#include <math.h>
#include <string.h>

#define SIGN ((uint64_t)1 << 63)

static inline uint64_t double_key(double x) {
  uint64_t u;
  x += 0.0; /* -0 becomes +0 */
  memcpy(&u, &x, sizeof u);
  return u ^ ((uint64_t)((int64_t)u >> 63) | SIGN);
}

/* Codes are cut to their bits: values that have changed since they were scanned still name a bucket that exists. */
static inline uint64_t code_mask(int bits) { return bits >= 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1; }

/* Loops over STEP elements have a constant count and no state from one element to the next, so that compilers make
 * vectors of them at -O2. M is an integer as wide as T. x[-1] of rises and falls, x[n] of ties must be there; of floats none
 * is missing where they rise or fall, so with `ends` the first and the last are taken for the range. */
#define STEP 512
#define ALWAYS static inline __attribute__((always_inline))

#define NEIGHBOURS(name, T, M, ends)                                                                                               \
  ALWAYS bool all_rise_##name(const T *x, int64_t n) {                                                                             \
    M yes = 1;                                                                                                                     \
    for (int64_t i = 0; i < n; i++) yes &= (M)(x[i - 1] <= x[i]);                                                                  \
    return yes;                                                                                                                    \
  }                                                                                                                                \
  ALWAYS bool all_fall_##name(const T *x, int64_t n) {                                                                             \
    M yes = 1;                                                                                                                     \
    for (int64_t i = 0; i < n; i++) yes &= (M)(x[i - 1] >= x[i]);                                                                  \
    return yes;                                                                                                                    \
  }                                                                                                                                \
  ALWAYS bool any_tie_##name(const T *x, int64_t n) {                                                                              \
    M yes = 0;                                                                                                                     \
    for (int64_t i = 0; i < n; i++) yes |= (M)(x[i] == x[i + 1]);                                                                  \
    return yes;                                                                                                                    \
  }                                                                                                                                \
  static bool rises_##name(const T *x, int64_t n) { return n == STEP ? all_rise_##name(x, STEP) : all_rise_##name(x, n); }         \
  static bool falls_##name(const T *x, int64_t n) { return n == STEP ? all_fall_##name(x, STEP) : all_fall_##name(x, n); }         \
  static bool ties_##name(const void *data, int64_t from, int64_t n) {                                                             \
    const T *x = (const T *)data + from;                                                                                           \
    return n == STEP ? any_tie_##name(x, STEP) : any_tie_##name(x, n);                                                             \
  }                                                                                                                                \
  /* Looks at [from, to) and, for the orders that *s still has, at the element before it. */                                       \
  static void scan_##name(const void *data, int64_t from, int64_t to, sm_keys_stats *s) {                                          \
    const T *x = data;                                                                                                             \
    range_##name r = start_##name();                                                                                               \
    bool up = s->ascending, down = s->descending;                                                                                  \
    for (int64_t i = from, m; i < to; i += m) {                                                                                    \
      m = i == 0 ? 1 : to - i < STEP ? to - i : STEP;                                                                              \
      up = up && (i == 0 || rises_##name(x + i, m));                                                                               \
      down = down && (i == 0 || falls_##name(x + i, m));                                                                           \
      if (ends && i > 0 && (up || down)) {                                                                                         \
        widen_##name(x + i, 1, &r);                                                                                                \
        widen_##name(x + i + m - 1, 1, &r);                                                                                        \
        r.present += m - 2;                                                                                                        \
      } else if (m == STEP) {                                                                                                      \
        widen_##name(x + i, STEP, &r);                                                                                             \
      } else {                                                                                                                     \
        widen_##name(x + i, m, &r);                                                                                                \
      }                                                                                                                            \
    }                                                                                                                              \
    bool any = r.present > 0;                                                                                                      \
    *s = (sm_keys_stats){to - from - r.present, up, down, false, any ? key_##name(r.lo) : UINT64_MAX, any ? key_##name(r.hi) : 0}; \
  }

#define INTEGERS(name, T, least, most, NA, value, sign)                                                                \
  ALWAYS uint64_t key_##name(T x) { return (uint64_t)(int64_t)(value) ^ sign; }                                        \
  typedef struct {                                                                                                     \
    T lo, hi;                                                                                                          \
    int64_t present;                                                                                                   \
  } range_##name;                                                                                                      \
  ALWAYS range_##name start_##name(void) { return (range_##name){most, least, 0}; }                                    \
  ALWAYS void widen_##name(const T *x, int64_t n, range_##name *r) {                                                   \
    T lo = r->lo, hi = r->hi;                                                                                          \
    int32_t missing = 0;                                                                                               \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      T v = x[i], gone = (T) - (T)(NA);                                                                                \
      T low = (T)(v ^ ((v ^ (T)most) & gone)), high = (T)(v ^ ((v ^ (T)least) & gone));                                \
      missing += (NA);                                                                                                 \
      lo = low < lo ? low : lo;                                                                                        \
      hi = high > hi ? high : hi;                                                                                      \
    }                                                                                                                  \
    r->lo = lo;                                                                                                        \
    r->hi = hi;                                                                                                        \
    r->present += n - missing;                                                                                         \
  }                                                                                                                    \
  NEIGHBOURS(name, T, T, false)                                                                                        \
  static void code_##name(const void *data, const sm_keys_map *m, bool dec, int64_t from, int64_t n, uint64_t *out) {  \
    const T *x = (const T *)data + from;                                                                               \
    uint64_t base = m->base, flip = dec ? UINT64_MAX : 0, missing = m->missing, mask = code_mask(m->bits);             \
    int shift = m->shift;                                                                                              \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      T v = x[i];                                                                                                      \
      uint64_t q = (((key_##name(v) - base) ^ flip) - flip) >> shift & mask;                                           \
      out[i] = (NA) ? missing : q;                                                                                     \
    }                                                                                                                  \
  }                                                                                                                    \
  ALWAYS void narrow_##name(const T *restrict x, const sm_keys_map *m, bool dec, int64_t n, uint16_t *restrict out) {  \
    uint32_t base = (uint32_t)m->base, flip = dec ? UINT32_MAX : 0, missing = (uint32_t)m->missing;                    \
    uint32_t mask = ((uint32_t)1 << m->bits) - 1;                                                                      \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      T v = x[i];                                                                                                      \
      uint32_t q = ((((uint32_t)key_##name(v) - base) ^ flip) - flip) & mask, gone = -(uint32_t)(NA);                  \
      out[i] = (uint16_t)(q ^ ((q ^ missing) & gone));                                                                 \
    }                                                                                                                  \
  }                                                                                                                    \
  static void small_##name(const void *data, const sm_keys_map *m, bool dec, int64_t from, int64_t n, uint16_t *out) { \
    const T *x = (const T *)data + from;                                                                               \
    if (n == STEP) narrow_##name(x, m, dec, STEP, out);                                                                \
    else narrow_##name(x, m, dec, n, out);                                                                             \
  }

INTEGERS(i1, int8_t, INT8_MIN, INT8_MAX, false, x, SIGN)
INTEGERS(i2, int16_t, INT16_MIN, INT16_MAX, false, x, SIGN)
INTEGERS(i4, int32_t, INT32_MIN, INT32_MAX, v == INT32_MIN, x, SIGN)
INTEGERS(i8, int64_t, INT64_MIN, INT64_MAX, false, x, SIGN)
INTEGERS(i8na, int64_t, INT64_MIN, INT64_MAX, v == INT64_MIN, x, SIGN)
INTEGERS(u1, uint8_t, 0, UINT8_MAX, false, x, SIGN)
INTEGERS(u2, uint16_t, 0, UINT16_MAX, false, x, SIGN)
INTEGERS(u4, uint32_t, 0, UINT32_MAX, false, x, SIGN)
INTEGERS(u8, uint64_t, 0, UINT64_MAX, false, x, 0)
INTEGERS(b1, uint8_t, 0, UINT8_MAX, v == 0x80, x != 0, SIGN)

#define FLOATS(name, T, M)                                                                                            \
  ALWAYS uint64_t key_##name(T x) { return double_key((double)x); }                                                   \
  typedef struct {                                                                                                    \
    T lo, hi;                                                                                                         \
    int64_t present;                                                                                                  \
  } range_##name;                                                                                                     \
  ALWAYS range_##name start_##name(void) { return (range_##name){INFINITY, -INFINITY, 0}; }                           \
  ALWAYS void widen_##name(const T *x, int64_t n, range_##name *r) {                                                  \
    T lo = r->lo, hi = r->hi, lo1 = lo, lo2 = lo, lo3 = lo, hi1 = hi, hi2 = hi, hi3 = hi;                             \
    M present = 0;                                                                                                    \
    int64_t i = 0;                                                                                                    \
    for (; i + 4 <= n; i += 4) {                                                                                      \
      WIDEN(lo, hi, 0)                                                                                                \
      WIDEN(lo1, hi1, 1)                                                                                              \
      WIDEN(lo2, hi2, 2)                                                                                              \
      WIDEN(lo3, hi3, 3)                                                                                              \
    }                                                                                                                 \
    for (; i < n; i++) WIDEN(lo, hi, 0)                                                                               \
    for (i = 0; i < n; i++) present += (M)(x[i] == x[i]);                                                             \
    lo = lo1 < lo ? lo1 : lo;                                                                                         \
    hi = hi1 > hi ? hi1 : hi;                                                                                         \
    lo2 = lo3 < lo2 ? lo3 : lo2;                                                                                      \
    hi2 = hi3 > hi2 ? hi3 : hi2;                                                                                      \
    r->lo = lo2 < lo ? lo2 : lo;                                                                                      \
    r->hi = hi2 > hi ? hi2 : hi;                                                                                      \
    r->present += present;                                                                                            \
  }                                                                                                                   \
  NEIGHBOURS(name, T, M, true)                                                                                        \
  static bool whole_##name(const void *data, int64_t from, int64_t to) {                                              \
    const T *x = data;                                                                                                \
    for (int64_t i = from; i < to; i++) {                                                                             \
      double v = (double)x[i], size = v < 0 ? -v : v;                                                                 \
      if (size > 9007199254740992.0 || (v == v && (double)(int64_t)v != v)) return false;                             \
    }                                                                                                                 \
    return true;                                                                                                      \
  }                                                                                                                   \
  static void code_##name(const void *data, const sm_keys_map *m, bool dec, int64_t from, int64_t n, uint64_t *out) { \
    const T *x = (const T *)data + from;                                                                              \
    if (m->linear) {                                                                                                  \
      double origin = m->origin, scale = m->scale, top = m->top;                                                      \
      uint64_t missing = m->missing;                                                                                  \
      for (int64_t i = 0; i < n; i++) {                                                                               \
        double v = ((double)x[i] - origin) * scale;                                                                   \
        v = v < top ? v : top;                                                                                        \
        v = v > 0 ? v : 0;                                                                                            \
        uint64_t q = (uint64_t)(int64_t)v;                                                                            \
        out[i] = x[i] == x[i] ? q : missing;                                                                          \
      }                                                                                                               \
      return;                                                                                                         \
    }                                                                                                                 \
    uint64_t base = m->base, flip = dec ? UINT64_MAX : 0, missing = m->missing, mask = code_mask(m->bits);            \
    int shift = m->shift;                                                                                             \
    for (int64_t i = 0; i < n; i++) {                                                                                 \
      uint64_t q = (((key_##name(x[i]) - base) ^ flip) - flip) >> shift & mask;                                       \
      out[i] = x[i] == x[i] ? q : missing;                                                                            \
    }                                                                                                                 \
  }

#define WIDEN(lo, hi, e)                \
  {                                     \
    lo = x[i + e] < lo ? x[i + e] : lo; \
    hi = x[i + e] > hi ? x[i + e] : hi; \
  }

FLOATS(f8, double, int64_t)
FLOATS(f4, float, int32_t)

typedef void (*scan_fn)(const void *, int64_t, int64_t, sm_keys_stats *);
typedef void (*code_fn)(const void *, const sm_keys_map *, bool, int64_t, int64_t, uint64_t *);
typedef void (*small_fn)(const void *, const sm_keys_map *, bool, int64_t, int64_t, uint16_t *);
typedef bool (*ties_fn)(const void *, int64_t, int64_t);

static const struct {
  size_t width;
  scan_fn scan;
  code_fn code;
  ties_fn ties;
  small_fn small; /* NULL: by code */
} table[] = {
    [SM_KEY_F8] = {sizeof(double), scan_f8, code_f8, ties_f8, NULL},
    [SM_KEY_F4] = {sizeof(float), scan_f4, code_f4, ties_f4, NULL},
    [SM_KEY_I1] = {sizeof(int8_t), scan_i1, code_i1, ties_i1, small_i1},
    [SM_KEY_I2] = {sizeof(int16_t), scan_i2, code_i2, ties_i2, small_i2},
    [SM_KEY_I4] = {sizeof(int32_t), scan_i4, code_i4, ties_i4, small_i4},
    [SM_KEY_I8] = {sizeof(int64_t), scan_i8, code_i8, ties_i8, small_i8},
    [SM_KEY_I8NA] = {sizeof(int64_t), scan_i8na, code_i8na, ties_i8na, small_i8na},
    [SM_KEY_U1] = {sizeof(uint8_t), scan_u1, code_u1, ties_u1, small_u1},
    [SM_KEY_U2] = {sizeof(uint16_t), scan_u2, code_u2, ties_u2, small_u2},
    [SM_KEY_U4] = {sizeof(uint32_t), scan_u4, code_u4, ties_u4, small_u4},
    [SM_KEY_U8] = {sizeof(uint64_t), scan_u8, code_u8, ties_u8, small_u8},
    [SM_KEY_B1] = {sizeof(uint8_t), scan_b1, code_b1, ties_b1, small_b1},
    [SM_KEY_STR] = {.width = 0},
    [SM_KEY_PTR] = {.width = sizeof(char *)},
};

typedef struct {
  const sm_keys *k;
  sm_stop *stop;
  sm_keys_stats part[SM_THREADS_MAX];
} scan_job;

static void stats_merge(sm_keys_stats *a, const sm_keys_stats *b) {
  a->missing += b->missing;
  a->ascending &= b->ascending;
  a->descending &= b->descending;
  a->whole &= b->whole;
  if (b->lo < a->lo) a->lo = b->lo;
  if (b->hi > a->hi) a->hi = b->hi;
}

static void scan_work(void *arg, int rank, int np) {
  scan_job *j = arg;
  const int64_t block = 1 << 16;
  int64_t to = sm_share(j->k->n, rank + 1, np, block);
  sm_keys_stats all = {0, true, true, true, UINT64_MAX, 0};
  for (int64_t i = sm_share(j->k->n, rank, np, block); i < to && !sm_stop_due(j->stop, rank); i += block) {
    sm_keys_stats s = all;
    int64_t end = i + block < to ? i + block : to;
    table[j->k->type].scan(j->k->data, i, end, &s);
    if (j->k->type == SM_KEY_F8) s.whole = all.whole && whole_f8(j->k->data, i, end);
    if (j->k->type == SM_KEY_F4) s.whole = all.whole && whole_f4(j->k->data, i, end);
    stats_merge(&all, &s);
  }
  j->part[rank] = all;
}

int sm_keys_scan(const sm_keys *k, const sm_work *work, sm_keys_stats *out) {
  scan_job j = {.k = k, .stop = work->stop};
  for (int i = 0; i < SM_THREADS_MAX; i++) j.part[i] = (sm_keys_stats){0, true, true, true, UINT64_MAX, 0};
  int rc = sm_threads_run(work, scan_work, &j);
  *out = j.part[0];
  for (int i = 1; i < SM_THREADS_MAX; i++) stats_merge(out, &j.part[i]);
  if (out->missing < 0) out->missing = 0; /* data that change under the scan */
  if (out->missing > k->n) out->missing = k->n;
  if (out->missing > 0) out->ascending = out->descending = false;
  return rc;
}

void sm_keys_code(const sm_keys *k, const sm_keys_map *map, int64_t from, int64_t m, uint64_t *out) {
  table[k->type].code(k->data, map, k->decreasing, from, m, out);
}

void sm_keys_code_small(const sm_keys *k, const sm_keys_map *map, int64_t from, int64_t m, uint16_t *out) {
  uint64_t q[STEP];
  for (int64_t i = 0; i < m; i += STEP) {
    int64_t n = m - i < STEP ? m - i : STEP;
    if (table[k->type].small) {
      table[k->type].small(k->data, map, k->decreasing, from + i, n, out + i);
      continue;
    }
    sm_keys_code(k, map, from + i, n, q);
    for (int64_t e = 0; e < n; e++) out[i + e] = (uint16_t)q[e];
  }
}

bool sm_keys_ties(const sm_keys *k, int64_t from, int64_t m) {
  bool yes = k->type == SM_KEY_B1; /* whose equal elements may have different bytes */
  for (int64_t i = 0; i < m && !yes; i += STEP) yes = table[k->type].ties(k->data, from + i, m - i < STEP ? m - i : STEP);
  return yes;
}

size_t sm_keys_width(const sm_keys *k) { return k->type == SM_KEY_STR ? k->width : table[k->type].width; }

static const char *text_at(const sm_keys *k, int64_t i, size_t *limit) {
  if (k->type == SM_KEY_STR) {
    *limit = k->width;
    return (const char *)k->data + (size_t)i * k->width;
  }
  *limit = SIZE_MAX;
  return ((const char *const *)k->data)[i];
}

static uint64_t text_key(const sm_keys *k, int64_t i, int64_t depth) {
  size_t limit;
  const char *s = text_at(k, i, &limit);
  uint64_t key = 0;
  for (size_t b = 0; b < 8; b++) {
    size_t at = (size_t)depth + b;
    if (at >= limit || s[at] == 0) break;
    key |= (uint64_t)(unsigned char)s[at] << (56 - 8 * b);
  }
  return key;
}

bool sm_keys_missing(const sm_keys *k, int64_t i) {
  switch (k->type) {
  case SM_KEY_F8: return ((const double *)k->data)[i] != ((const double *)k->data)[i];
  case SM_KEY_F4: return ((const float *)k->data)[i] != ((const float *)k->data)[i];
  case SM_KEY_I4: return ((const int32_t *)k->data)[i] == INT32_MIN;
  case SM_KEY_I8NA: return ((const int64_t *)k->data)[i] == INT64_MIN;
  case SM_KEY_B1: return ((const uint8_t *)k->data)[i] == 0x80;
  case SM_KEY_STR: return ((const uint8_t *)k->data)[(size_t)i * k->width] == 0xFF;
  case SM_KEY_PTR: return !((const char *const *)k->data)[i];
  default: return false;
  }
}

#define AT(code, T, name) \
  case code: key = key_##name(((const T *)k->data)[i]); break;
uint64_t sm_keys_at(const sm_keys *k, int64_t i, int64_t depth) {
  uint64_t key = 0;
  switch (k->type) {
    AT(SM_KEY_F8, double, f8)
    AT(SM_KEY_F4, float, f4)
    AT(SM_KEY_I1, int8_t, i1)
    AT(SM_KEY_I2, int16_t, i2)
    AT(SM_KEY_I4, int32_t, i4)
    AT(SM_KEY_I8, int64_t, i8)
    AT(SM_KEY_I8NA, int64_t, i8na)
    AT(SM_KEY_U1, uint8_t, u1)
    AT(SM_KEY_U2, uint16_t, u2)
    AT(SM_KEY_U4, uint32_t, u4)
    AT(SM_KEY_U8, uint64_t, u8)
    AT(SM_KEY_B1, uint8_t, b1)
  case SM_KEY_STR:
  case SM_KEY_PTR: key = text_key(k, i, depth); break;
  case SM_KEY_NONE: break;
  }
  return k->decreasing ? ~key : key;
}

bool sm_keys_final(const sm_keys *k, uint64_t key, int64_t depth) {
  if (!sm_keys_is_string(k)) return true;
  if (k->decreasing) key = ~key;
  return (key & 0xFF) == 0 || (k->type == SM_KEY_STR && (size_t)depth + 8 >= k->width);
}

int sm_keys_compare(const sm_keys *k, int64_t i, int64_t j) {
  if (!sm_keys_is_string(k)) {
    uint64_t a = sm_keys_at(k, i, 0), b = sm_keys_at(k, j, 0);
    return (a > b) - (a < b);
  }
  size_t limit;
  const char *a = text_at(k, i, &limit), *b = text_at(k, j, &limit);
  int c = a == b ? 0 : k->type == SM_KEY_STR ? strncmp(a, b, limit) : strcmp(a, b);
  return k->decreasing ? -c : c;
}
