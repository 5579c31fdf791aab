/* kern_cell.c: see kern_cell.h.
 *
 * Most significant digit first: one stable distribution by as many bits as make cells of about one word,
 * then one insertion pass over all small cells. Cells that stay large go through the same again. Words that still
 * tie when their code has no more bits are coded anew from their own range of keys, which is narrower by
 * at least the bits of a code, so numbers need three levels at most; strings go on 8 bytes deeper, and after
 * LEVELS levels by comparison, so the stack is bounded for any input.
 */
#include "kern_cell.h"

#include <string.h>

#define SMALL 24
#define DIGIT 11
#define LEVELS 4

typedef struct {
  const sm_cell_job *job;
  bool exact;
  int level;
  int64_t depth; /* strings: bytes known to be equal within a tie */
} rule;

static void resolve(rule r, uint64_t *a, uint64_t *b, int64_t m, int64_t pos);

void sm_cell_emit(const sm_cell_job *j, const uint64_t *v, int64_t m, int64_t pos) {
  uint64_t mask = ((uint64_t)1 << j->index_bits) - 1;
#define EMIT(T)                                                             \
  {                                                                         \
    T *o = (T *)j->out.at + pos;                                            \
    for (int64_t i = 0; i < m; i++) o[i] = (T)(int64_t)((v[i] & mask) + 1); \
    return;                                                                 \
  }
  switch (j->out.type) {
  case SM_PLACE_I4: EMIT(int32_t)
  case SM_PLACE_I8: EMIT(int64_t)
  case SM_PLACE_F8: EMIT(double)
  }
}

static void insertion(uint64_t *a, int64_t m) {
  for (int64_t i = 1; i < m; i++) {
    uint64_t v = a[i];
    int64_t j = i;
    for (; j > 0 && a[j - 1] > v; j--) a[j] = a[j - 1];
    a[j] = v;
  }
}

/* Write sorted words; runs of one code are resolved first unless codes are exact. */
static void emit_sorted(const rule *r, uint64_t *a, uint64_t *b, int64_t m, int64_t pos) {
  int k = r->job->index_bits;
  if (!r->exact) {
    int64_t ties = 0;
    for (int64_t i = 1; i < m; i++) ties += a[i] >> k == a[i - 1] >> k;
    for (int64_t i = 0, end; ties > 0 && i < m; i = end) {
      for (end = i + 1; end < m && a[end] >> k == a[i] >> k; end++) {}
      if (end - i > 1) resolve(*r, a + i, b + i, end - i, pos + i);
      else sm_cell_emit(r->job, a + i, 1, pos + i);
    }
    if (ties > 0) return;
  }
  sm_cell_emit(r->job, a, m, pos);
}

/* The lowest bit, at least k, above which all words agree. */
static int common_above(const uint64_t *a, int64_t m, int k) {
  uint64_t differ = 0;
  for (int64_t i = 1; i < m; i++) differ |= a[i] ^ a[0];
  for (differ >>= k; differ; differ >>= 1) k++;
  return k;
}

/* Count words by the d bits from shift on, end[c] being where cell c begins; gives the greatest count. */
static int64_t count_cells(const uint64_t *a, int64_t m, int shift, int d, int64_t *end) {
  uint64_t mask = ((uint64_t)1 << d) - 1;
  int64_t most = 0, sum = 0;
  memset(end, 0, sizeof *end << d);
  for (int64_t i = 0; i < m; i++) end[a[i] >> shift & mask]++;
  for (int64_t c = 0; c <= (int64_t)mask; c++) {
    int64_t n = end[c];
    most = n > most ? n : most;
    end[c] = sum;
    sum += n;
  }
  return most;
}

/* a[0, m) agree above bit `hi`. */
static void sort_below(const rule *r, uint64_t *a, uint64_t *b, int64_t m, int hi, int64_t pos) {
  int64_t end[1 << DIGIT], most;
  int k = r->job->index_bits, d = 5;
  if (m <= SMALL) {
    insertion(a, m);
    emit_sorted(r, a, b, m, pos);
    return;
  }
  if (sm_stop_due(r->job->stop, r->job->rank)) return;
  if (hi > k) hi = common_above(a, m, k);
  if (hi == k) {
    emit_sorted(r, a, b, m, pos);
    return;
  }
  while (d < DIGIT && (int64_t)2 << d <= m) d++;
  if (hi - k < d) d = hi - k;
  int shift = hi - d;
  hi = shift;
  most = count_cells(a, m, shift, d, end);
  uint64_t mask = ((uint64_t)1 << d) - 1;
  for (int64_t i = 0; i < m; i++) b[end[a[i] >> shift & mask]++] = a[i];
  if (most <= SMALL) {
    insertion(b, m);
    emit_sorted(r, b, a, m, pos);
    return;
  }
  int64_t from = 0, start = 0; /* [from, start): small cells not yet written */
  for (int64_t c = 0; c <= (int64_t)mask; start = end[c++]) {
    if (end[c] - start <= SMALL) continue;
    insertion(b + from, start - from);
    emit_sorted(r, b + from, a + from, start - from, pos + from);
    sort_below(r, b + start, a + start, end[c] - start, hi, pos + start);
    from = end[c];
  }
  insertion(b + from, m - from);
  emit_sorted(r, b + from, a + from, m - from, pos + from);
}

void sm_cell_sort(const sm_cell_job *j, uint64_t *a, uint64_t *b, int64_t m, int64_t pos) {
  rule r = {j, j->exact, 0, 0};
  sort_below(&r, a, b, m, j->index_bits + j->code_bits, pos);
}

/* Stable merge sort of indices by comparison; runs of 8 first. */
static uint64_t *sort_by_comparison(const sm_cell_job *j, uint64_t *a, uint64_t *b, int64_t m) {
  const sm_keys *k = j->keys;
  for (int64_t s = 0; s < m; s += 8)
    for (int64_t i = s + 1; i < m && i < s + 8; i++) {
      uint64_t v = a[i];
      int64_t p = i;
      for (; p > s && sm_keys_compare(k, (int64_t)a[p - 1], (int64_t)v) > 0; p--) a[p] = a[p - 1];
      a[p] = v;
    }
  for (int64_t width = 8; width < m && !sm_stop_due(j->stop, j->rank); width *= 2) {
    for (int64_t s = 0; s < m; s += 2 * width) {
      int64_t mid = s + width < m ? s + width : m, to = s + 2 * width < m ? s + 2 * width : m;
      int64_t x = s, y = mid;
      for (int64_t o = s; o < to; o++) {
        bool left = x < mid && (y == to || sm_keys_compare(k, (int64_t)a[x], (int64_t)a[y]) <= 0);
        b[o] = left ? a[x++] : a[y++];
      }
    }
    uint64_t *t = a;
    a = b;
    b = t;
  }
  return a;
}

static bool one_pointer(const sm_keys *k, const uint64_t *a, int64_t m) {
  if (k->type != SM_KEY_PTR) return false;
  const char *const *s = k->data;
  for (int64_t i = 1; i < m; i++)
    if (s[a[i]] != s[a[0]]) return false;
  return true;
}

/* Sort words of one code by their elements, at equal elements by place, and write them. */
static void resolve(rule r, uint64_t *a, uint64_t *b, int64_t m, int64_t pos) {
  const sm_cell_job *j = r.job;
  int bits = 64 - j->index_bits, range = 0;
  uint64_t mask = ((uint64_t)1 << j->index_bits) - 1, lo, hi;
  for (int64_t i = 0; i < m; i++) a[i] &= mask;
  if (one_pointer(j->keys, a, m)) {
    sm_cell_emit(j, a, m, pos);
    return;
  }
  if (m <= SMALL || r.level == LEVELS) {
    sm_cell_emit(j, sort_by_comparison(j, a, b, m), m, pos);
    return;
  }
  for (;; r.depth += 8) {
    lo = UINT64_MAX, hi = 0;
    for (int64_t i = 0; i < m; i++) {
      uint64_t key = sm_keys_at(j->keys, (int64_t)a[i], r.depth);
      lo = key < lo ? key : lo;
      hi = key > hi ? key : hi;
    }
    if (lo != hi) break;
    if (sm_keys_final(j->keys, lo, r.depth)) {
      sm_cell_emit(j, a, m, pos);
      return;
    }
  }
  while (range < 64 && (hi - lo) >> range) range++;
  int shift = range > bits ? range - bits : 0;
  for (int64_t i = 0; i < m; i++) a[i] |= (sm_keys_at(j->keys, (int64_t)a[i], r.depth) - lo) >> shift << j->index_bits;
  r.exact = shift == 0 && !sm_keys_is_string(j->keys);
  r.level++;
  sort_below(&r, a, b, m, j->index_bits + range - shift, pos);
}
