/* kern_search.c: see kern_search.h.
 *
 * A needle starts from where the one before it was found: doubling steps away from there, then bisection. Sorted
 * needles so cost what lies between them; others the logarithm of the length. Each step compares values, so data
 * is never copied.
 */
#include "kern_search.h"

#include <string.h>

#define BLOCK 256
#define GRAIN 2048

/* A value of any type, in a form that compares exactly with every other of its kind. */
typedef struct {
  enum { REAL, WHOLE, TEXT, MISSING } kind;
  double real;
  int64_t whole;
  const char *text;
  size_t length;
} value;

typedef struct {
  const sm_keys *data, *needle;
  bool right;
  sm_places out;
  sm_stop *stop;
} search_job;

static value whole_value(int64_t v) { return (value){.kind = WHOLE, .whole = v}; }

static value real_value(double v) {
  if (v != v) return (value){.kind = MISSING};
  return (value){.kind = REAL, .real = v};
}

static value value_at(const sm_keys *k, int64_t i) {
#define WHOLE_AT(T) return whole_value((int64_t)((const T *)k->data)[i]);
#define MAYBE_AT(T, NA)                                         \
  {                                                             \
    T v = ((const T *)k->data)[i];                              \
    return v == NA ? (value){.kind = MISSING} : whole_value(v); \
  }
  const char *s = NULL;
  switch (k->type) {
  case SM_KEY_F8: return real_value(((const double *)k->data)[i]);
  case SM_KEY_F4: return real_value((double)((const float *)k->data)[i]);
  case SM_KEY_I1: WHOLE_AT(int8_t)
  case SM_KEY_I2: WHOLE_AT(int16_t)
  case SM_KEY_I8: WHOLE_AT(int64_t)
  case SM_KEY_U1: WHOLE_AT(uint8_t)
  case SM_KEY_U2: WHOLE_AT(uint16_t)
  case SM_KEY_U4: WHOLE_AT(uint32_t)
  case SM_KEY_U8:
  case SM_KEY_NONE: break;
  case SM_KEY_I4: MAYBE_AT(int32_t, INT32_MIN)
  case SM_KEY_I8NA: MAYBE_AT(int64_t, INT64_MIN)
  case SM_KEY_B1: {
    uint8_t b = ((const uint8_t *)k->data)[i];
    return b == 0x80 ? (value){.kind = MISSING} : whole_value(b != 0);
  }
  case SM_KEY_STR:
    s = (const char *)k->data + (size_t)i * k->width;
    if ((unsigned char)s[0] == 0xFF) return (value){.kind = MISSING};
    const char *end = memchr(s, 0, k->width);
    return (value){.kind = TEXT, .text = s, .length = end ? (size_t)(end - s) : k->width};
  case SM_KEY_PTR:
    s = ((const char *const *)k->data)[i];
    if (!s) return (value){.kind = MISSING};
    return (value){.kind = TEXT, .text = s, .length = strlen(s)};
  }
  return (value){.kind = MISSING};
}

/* Whole number against real, exactly: past 2^63 by size, else by the whole part and then the fraction. */
static int whole_to_real(int64_t w, double r) {
  if (r >= 9223372036854775808.0) return -1;
  if (r < -9223372036854775808.0) return 1;
  int64_t part = (int64_t)r;
  if (w != part) return w < part ? -1 : 1;
  double rest = r - (double)part;
  return (rest < 0) - (rest > 0);
}

static int text_order(const value *a, const value *b) {
  size_t n = a->length < b->length ? a->length : b->length;
  int c = memcmp(a->text, b->text, n);
  return c != 0 ? c : (a->length > b->length) - (a->length < b->length);
}

static int value_order(const value *a, const value *b) {
  if (a->kind == MISSING || b->kind == MISSING) return (a->kind == MISSING) - (b->kind == MISSING);
  if (a->kind == TEXT) return text_order(a, b);
  if (a->kind == WHOLE && b->kind == WHOLE) return (a->whole > b->whole) - (a->whole < b->whole);
  if (a->kind == WHOLE) return whole_to_real(a->whole, b->real);
  if (b->kind == WHOLE) return -whole_to_real(b->whole, a->real);
  return (a->real > b->real) - (a->real < b->real);
}

/* True if element i belongs before the needle. */
static inline bool before(const search_job *j, int64_t i, const value *needle) {
  value v = value_at(j->data, i);
  int c = value_order(&v, needle);
  return c < 0 || (c == 0 && j->right);
}

/* The number of elements before the needle; `hint` is a guess. */
static int64_t find(const search_job *j, const value *needle, int64_t hint) {
  int64_t n = j->data->n, lo, hi, step = 1;
  if (hint < n && before(j, hint, needle)) { /* the answer lies in (hint, n] */
    lo = hint + 1;
    for (hi = lo; hi < n && before(j, hi, needle); hi = n - hi > step ? hi + step : n) {
      lo = hi + 1;
      step *= 2;
    }
  } else { /* in [0, hint] */
    hi = hint;
    for (lo = hi; lo > 0; step *= 2) {
      int64_t at = lo > step ? lo - step : 0;
      if (before(j, at, needle)) {
        lo = at + 1;
        break;
      }
      hi = lo = at;
    }
  }
  while (lo < hi) {
    int64_t mid = lo + (hi - lo) / 2;
    if (before(j, mid, needle)) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

/* Doubles among doubles without NaN needles, unsorted ones: plain bisection, without branches to mispredict. */
static int64_t bisect_doubles(const double *x, int64_t n, double v, bool right) {
  const double *at = x;
  if (n == 0) return 0;
  while (n > 1) {
    int64_t half = n / 2;
    bool go = right ? !(at[half - 1] > v) & (at[half - 1] == at[half - 1]) : at[half - 1] < v;
    at = go ? at + half : at;
    n -= half;
  }
  bool go = right ? *at <= v : *at < v;
  return at - x + go;
}

/* find() for doubles, the needle not NaN. */
static int64_t find_double(const double *x, int64_t n, double v, bool right, int64_t hint) {
#define BEFORE(i) (right ? x[i] <= v : x[i] < v)
  int64_t lo = 0, hi = hint, step = 1;
  if (hint < n && BEFORE(hint)) {
    lo = hint + 1;
    for (hi = lo; hi < n && BEFORE(hi); hi = n - hi > step ? hi + step : n) {
      lo = hi + 1;
      step *= 2;
    }
  } else {
    for (int64_t at = hint; at > 0 && lo == 0; step *= 2) {
      at = at > step ? at - step : 0;
      if (BEFORE(at)) lo = at + 1;
      else hi = at;
    }
  }
  while (lo < hi) {
    int64_t mid = lo + (hi - lo) / 2;
    if (BEFORE(mid)) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

static void search_work(void *arg, int rank, int np) {
  search_job *j = arg;
  const sm_keys *d = j->data, *q = j->needle;
  int64_t to = sm_share(q->n, rank + 1, np, BLOCK), hint = 0;
  bool doubles = d->type == SM_KEY_F8 && q->type == SM_KEY_F8;
  for (int64_t i = sm_share(q->n, rank, np, BLOCK); i < to && !sm_stop_due(j->stop, rank); i += BLOCK) {
    int64_t end = i + BLOCK < to ? i + BLOCK : to;
    const double *x = q->data;
    bool sorted = true;
    for (int64_t e = i + 1; doubles && e < end; e++) sorted &= x[e - 1] <= x[e];
    for (int64_t e = i; e < end; e++) {
      if (doubles && x[e] == x[e]) {
        hint = sorted ? find_double(d->data, d->n, x[e], j->right, hint) : bisect_doubles(d->data, d->n, x[e], j->right);
      } else {
        value v = value_at(q, e);
        hint = find(j, &v, hint);
      }
      switch (j->out.type) {
      case SM_PLACE_I4: ((int32_t *)j->out.at)[e] = (int32_t)(hint + 1); break;
      case SM_PLACE_I8: ((int64_t *)j->out.at)[e] = hint + 1; break;
      case SM_PLACE_F8: ((double *)j->out.at)[e] = (double)(hint + 1); break;
      }
    }
  }
}

int sm_search(const sm_keys *data, const sm_keys *needle, bool right, sm_places out, const sm_work *work) {
  search_job j = {data, needle, right, out, work->stop};
  sm_work part = sm_work_for(work, needle->n, GRAIN);
  return sm_threads_run(&part, search_work, &j);
}
