/* arr_index, arr_select: what a plan selects, beside a plain loop over the same subscripts. */
#include "../../src/arr_select.h"
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 88172645463325252u;

static int64_t below(int64_t n) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return n > 0 ? (int64_t)(state % (uint64_t)n) : 0;
}

static void fetch(const void *src, int64_t from, int64_t n, int64_t *out) {
  memcpy(out, (const int64_t *)src + from, (size_t)n * sizeof *out);
}

#define MOST 6000

typedef struct {
  int64_t index[MOST], n;  /* as R gives it */
  int64_t pos[MOST], npos; /* what it selects, by a plain loop */
  uint8_t bits[MOST / 8 + 2];
} subscript;

/* A random subscript of one of six kinds, its axis, and what it selects. */
static void random_subscript(subscript *s, sm_axis *a, int64_t extent, int64_t longest) {
  sm_index_fault f;
  int kind = (int)below(6), rc = 0;
  s->n = s->npos = 0;
  if (kind == 0) { /* everything or a stretch in steps */
    int64_t step = below(3) == 0 ? -1 : 1 + below(3);
    for (int64_t v = step < 0 ? extent : 1 + below(extent); v >= 1 && v <= extent && s->n < longest; v += step) s->index[s->n++] = v;
  } else if (kind == 1) { /* scattered, with zeros and NA */
    int64_t n = extent ? below(longest) : 0;
    for (int64_t k = 0; k < n; k++) s->index[s->n++] = below(9) == 0 ? 0 : below(11) == 0 ? SM_INDEX_NA : 1 + below(extent);
  } else if (kind == 2) { /* a complement, also of what is not there */
    int64_t n = 1 + below(longest - 1);
    for (int64_t k = 0; k < n; k++) s->index[s->n++] = -1 - below(extent + 5);
  } else if (kind == 3) { /* logical, recycled */
    int64_t n = extent ? 1 + below(extent < longest ? extent : longest) : 0;
    for (int64_t k = 0; k < n; k++) s->index[s->n++] = below(7) == 0 ? SM_INDEX_NA : below(2);
    for (int64_t p = 0; p < extent && n; p++) {
      int64_t v = s->index[p % n];
      if (v) s->pos[s->npos++] = v == SM_INDEX_NA ? SM_POS_NA : p;
    }
    rc = sm_axis_logical(a, extent, fetch, s->index, s->n, &f);
    check(rc == 0 && a->n == s->npos, "a logical subscript is counted");
    return;
  } else if (kind == 4) { /* all */
    sm_axis_range(a, extent, 0, 1, extent);
    for (int64_t p = 0; p < extent; p++) s->pos[s->npos++] = p;
    return;
  } else if (extent) { /* one, many times */
    int64_t v = 1 + below(extent), n = 1 + below(longest - 1);
    for (int64_t k = 0; k < n; k++) s->index[s->n++] = v;
  }
  rc = sm_axis_numeric(a, extent, fetch, s->index, s->n, &f);
  if (kind == 2) {
    memset(s->bits, 0, sizeof s->bits);
    check(rc == 1, "a complement is seen");
    sm_axis_except(a, s->bits);
    for (int64_t p = 0; p < extent; p++) {
      int out = 0;
      for (int64_t k = 0; k < s->n; k++) out |= s->index[k] == -p - 1;
      if (!out) s->pos[s->npos++] = p;
    }
  } else {
    check(rc == 0, "a numeric subscript is taken");
    for (int64_t k = 0; k < s->n; k++)
      if (s->index[k]) s->pos[s->npos++] = s->index[k] == SM_INDEX_NA ? SM_POS_NA : s->index[k] - 1;
  }
  if (a->n != s->npos) check(0, "the count is that of the plain loop");
}

/* Walk a plan twice and compare with the product of the subscripts. */
static int plan_agrees(const sm_axis *axes, subscript *const *subs, int naxis) {
  static sm_plan plan;
  void *buffer = malloc(sm_plan_buffer(naxis));
  int ok = 1;
  sm_plan_init(&plan, axes, naxis, buffer);
  int64_t all = 1;
  for (int k = 0; k < naxis; k++) all *= subs[k]->npos;
  ok &= plan.n == all;
  for (int round = 0; round < 2 && ok; round++) {
    int64_t at = 0;
    for (sm_span s = sm_plan_next(&plan); s.n; s = sm_plan_next(&plan))
      for (int64_t k = 0; k < s.n && ok; k++, at++) {
        int64_t rest = at, want = 0, stride = 1;
        for (int j = 0; j < naxis; j++) {
          int64_t p = subs[j]->pos[rest % subs[j]->npos];
          rest /= subs[j]->npos;
          if (p == SM_POS_NA || want == SM_POS_NA) want = SM_POS_NA;
          else want += p * stride;
          stride *= axes[j].extent;
        }
        ok &= at < all && (s.pos ? s.pos[k] : s.start + k) == want;
      }
    ok &= at == all;
    sm_plan_rewind(&plan);
  }
  free(buffer);
  return ok;
}

static void test_random_plans(void) {
  subscript *subs[4];
  sm_axis axes[4];
  int one = 1, many = 1;
  for (int k = 0; k < 4; k++) subs[k] = malloc(sizeof(subscript));
  for (int trial = 0; trial < 400; trial++) {
    random_subscript(subs[0], &axes[0], below(4) == 0 ? below(5000) : below(30), 3000);
    one &= plan_agrees(axes, subs, 1);
  }
  for (int trial = 0; trial < 1500; trial++) {
    int naxis = 2 + (int)below(3);
    for (int k = 0; k < naxis; k++)
      random_subscript(subs[k], &axes[k], k == 0 && below(10) == 0 ? below(3000) : below(9), k == 0 ? 2500 : 12);
    many &= plan_agrees(axes, subs, naxis);
  }
  check(one, "plans over one axis give what a plain loop gives");
  check(many, "plans over several axes give what nested loops give");
  for (int k = 0; k < 4; k++) free(subs[k]);
}

static void test_faults(void) {
  sm_axis a;
  sm_index_fault f = {0, 0};
  int64_t past[] = {1, 2, 6, 3}, mixed[] = {1, -1}, na_neg[] = {SM_INDEX_NA, -1}, huge[] = {INT64_MAX, 1};
  check(sm_axis_numeric(&a, 5, fetch, past, 4, &f) == SM_ERANGE && f.at == 2 && f.value == 6, "a position past the extent is found");
  check(sm_axis_numeric(&a, 5, fetch, mixed, 2, &f) == SM_EMISUSE, "mixed signs are refused");
  check(sm_axis_numeric(&a, 5, fetch, na_neg, 2, &f) == SM_EMISUSE, "NA beside negatives is refused");
  check(sm_axis_numeric(&a, 5, fetch, huge, 2, &f) == SM_ERANGE, "a huge position is refused");
  int64_t too_long[] = {0, 0, 0, 1};
  check(sm_axis_logical(&a, 3, fetch, too_long, 4, &f) == SM_ERANGE && f.at == 3, "TRUE past the extent is refused");
  too_long[3] = 0;
  check(sm_axis_logical(&a, 3, fetch, too_long, 4, &f) == 0 && a.n == 0, "FALSE past the extent is not");
  int64_t up[3000];
  for (int k = 0; k < 3000; k++) up[k] = 10 + 2 * k;
  check(sm_axis_numeric(&a, 10000, fetch, up, 3000, &f) == 0 && a.kind == SM_AXIS_RANGE && a.step == 2 && a.start == 9,
        "a stretch in steps becomes a range");
  up[2999]++;
  check(sm_axis_numeric(&a, 10000, fetch, up, 3000, &f) == 0 && a.kind == SM_AXIS_LIST, "one that is out of step does not");
}

/* Steps so large that their multiples wrap around come back into the extent. */
static void test_wrapping_steps(void) {
  sm_axis a;
  sm_index_fault f = {-1, 0};
  int64_t half[] = {1, INT64_MIN + 1, 1};
  check(sm_axis_numeric(&a, 5, fetch, half, 3, &f) == SM_EMISUSE, "a step of half the numbers there are is no range");
  uint64_t v = 1;
  int64_t quarter[2000];
  for (int k = 0; k < 5; k++, v += UINT64_C(1) << 62) quarter[k] = (int64_t)v;
  check(sm_axis_numeric(&a, 5, fetch, quarter, 5, &f) == SM_EMISUSE, "nor is one of a quarter");
  v = 1;
  for (int k = 0; k < 1025; k++, v += UINT64_C(1) << 54) quarter[k] = (int64_t)v; /* the second block goes on in step */
  check(sm_axis_numeric(&a, 5, fetch, quarter, 1025, &f) != 0, "nor one that comes round in another block");
  check(sm_axis_numeric(&a, INT64_C(1) << 52, fetch, (int64_t[]){1, INT64_C(1) << 52}, 2, &f) == 0 && a.kind == SM_AXIS_RANGE,
        "the largest step within the largest extent is");
}

static void stage_ints(const void *ctx, int64_t from, int64_t n, void *out) {
  sm_convert_write((sm_dtype){SM_I2, 0, 2}, SM_R_INT, (const int32_t *)ctx + from, n, out);
}

static void test_write(void) {
  static sm_plan plan;
  int64_t buffer[SM_BLOCK];
  sm_dtype d = {SM_I2, 0, 2};
  int16_t data[5000] = {0};
  int32_t values[1500];
  uint8_t scratch[SM_BLOCK * 2];
  sm_axis a;
  for (int k = 0; k < 1500; k++) values[k] = k + 1;
  sm_source src = {1500, NULL, stage_ints, values};
  sm_axis_range(&a, 5000, 4999, -1, 5000);
  sm_plan_init(&plan, &a, 1, buffer);
  sm_select_write(d, data, &plan, &src, scratch);
  int ok = 1;
  for (int k = 0; k < 5000; k++) ok &= data[4999 - k] == k % 1500 + 1;
  check(ok, "values are recycled over a walk backwards");
  src.n = 7;
  sm_axis_range(&a, 5000, 10, 1, 4000);
  sm_plan_init(&plan, &a, 1, buffer);
  sm_select_write(d, data, &plan, &src, scratch);
  ok = data[9] == 4999 - 9 - 3 * 1500 + 1 && data[4010] == (4999 - 4010) % 1500 + 1;
  for (int k = 0; k < 4000; k++) ok &= data[10 + k] == k % 7 + 1;
  check(ok, "few values are recycled over a run, and its neighbours stay");
  src.n = 1;
  sm_plan_rewind(&plan);
  sm_select_write(d, data, &plan, &src, scratch);
  ok = 1;
  for (int k = 0; k < 4000; k++) ok &= data[10 + k] == 1;
  check(ok, "one value fills");
}

static void test_fill(void) {
  int ok = 1;
  for (size_t size = 1; size <= 40000; size = size * 3 + 1) {
    int64_t n = 5 + (int64_t)(100000 / size);
    uint8_t *item = malloc(size), *to = malloc((size_t)n * size + 1);
    for (size_t k = 0; k < size; k++) item[k] = (uint8_t)(k * 7 + 1);
    to[(size_t)n * size] = 0xAB;
    sm_fill(to, size, n, item);
    for (int64_t k = 0; k < n; k++) ok &= memcmp(to + (size_t)k * size, item, size) == 0;
    ok &= to[(size_t)n * size] == 0xAB;
    free(item);
    free(to);
  }
  check(ok, "items of any width fill, and no byte more");
}

/* Items at scattered places, some of them nowhere, beside a plain loop; what lies between stays. */
static void test_scatter(void) {
  int ok = 1, fill = 1;
  for (size_t size = 1; size <= 20; size++) {
    uint8_t items[50 * 20], to[90 * 20], want[90 * 20];
    int64_t pos[50];
    for (size_t k = 0; k < sizeof items; k++) items[k] = (uint8_t)below(256);
    for (int once = 0; once < 2; once++) {
      memset(to, 0xAB, sizeof to);
      memset(want, 0xAB, sizeof want);
      for (int k = 0; k < 50; k++) {
        pos[k] = below(9) == 0 ? SM_POS_NA : below(90);
        for (size_t b = 0; pos[k] >= 0 && b < size; b++) want[(size_t)pos[k] * size + b] = items[(once ? 0 : (size_t)k) * size + b];
      }
      if (once) sm_scatter_fill(to, size, pos, 50, items);
      else sm_scatter(to, size, pos, 50, items);
      if (once) fill &= memcmp(to, want, sizeof to) == 0;
      else ok &= memcmp(to, want, sizeof to) == 0;
    }
  }
  check(ok, "items of any width go to their places");
  check(fill, "and so does one to many places");
}

int main(void) {
  test_random_plans();
  test_scatter();
  test_faults();
  test_wrapping_steps();
  test_write();
  test_fill();
  return report();
}
