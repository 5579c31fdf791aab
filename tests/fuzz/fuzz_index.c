/* arr_index, arr_select: what a subscript of any numbers selects, beside a plain loop; and reads and writes through the plan. */
#include "../../src/arr_select.h"

#include "fuzz.h"

#define MOST 2500
#define EXTENT 40
#define AXES 4

static void fetch(const void *src, int64_t from, int64_t n, int64_t *out) {
  memcpy(out, (const int64_t *)src + from, (size_t)n * sizeof *out);
}

typedef struct {
  int64_t index[MOST], n;
  int64_t pos[MOST], npos;
  int want; /* what the axis must give back */
} subscript;

static void expect_numeric(subscript *s, int64_t extent) {
  int64_t positive = 0, negative = 0, na = 0, past = 0;
  for (int64_t k = 0; k < s->n; k++) {
    int64_t v = s->index[k];
    if (v == SM_INDEX_NA) na++;
    else if (v < 0) negative++;
    else if (v > 0) positive++;
    past += v > extent;
  }
  s->want = negative && (positive || na) ? SM_EMISUSE : past ? SM_ERANGE : negative ? 1 : 0;
  if (s->want == 1) {
    for (int64_t p = 0; p < extent; p++) {
      bool out = false;
      for (int64_t k = 0; k < s->n; k++) out |= s->index[k] == -p - 1;
      if (!out) s->pos[s->npos++] = p;
    }
    return;
  }
  for (int64_t k = 0; s->want == 0 && k < s->n; k++)
    if (s->index[k] != 0) s->pos[s->npos++] = s->index[k] == SM_INDEX_NA ? SM_POS_NA : s->index[k] - 1;
}

static void expect_logical(subscript *s, int64_t extent) {
  for (int64_t k = 0; k < s->n; k++) {
    if (s->index[k] != SM_INDEX_NA) s->index[k] = s->index[k] & 1;
    if (s->index[k] && k >= extent) s->want = SM_ERANGE;
  }
  for (int64_t p = 0; s->want == 0 && s->n > 0 && p < extent; p++) {
    int64_t v = s->index[p % s->n];
    if (v) s->pos[s->npos++] = v == SM_INDEX_NA ? SM_POS_NA : p;
  }
}

static void take_values(fuzz_in *in, subscript *s) {
  uint8_t kind = take_u8(in);
  s->n = kind < 200 ? kind % 24 : (int64_t)take_below(in, MOST);
  if (kind & 1) { /* an arithmetic sequence that may wrap around, as a numeric index that is held to be a range */
    uint64_t v = (uint64_t)take_number(in), step = (uint64_t)take_number(in);
    for (int64_t k = 0; k < s->n; k++, v += step) s->index[k] = (int64_t)v;
    if (kind & 2 && s->n > 0) s->index[take_below(in, (uint64_t)s->n)] = take_number(in);
    return;
  }
  for (int64_t k = 0; k < s->n; k++) s->index[k] = in->left ? take_number(in) : k % 3;
}

/* A subscript from the input and its axis; false if it is one that is refused. */
static bool take_subscript(fuzz_in *in, subscript *s, sm_axis *a, uint8_t *bits, int64_t extent) {
  sm_index_fault fault = {-1, 0};
  bool logical = take_u8(in) & 1;
  s->npos = 0;
  s->want = 0;
  take_values(in, s);
  if (logical) expect_logical(s, extent);
  else expect_numeric(s, extent);
  int rc = logical ? sm_axis_logical(a, extent, fetch, s->index, s->n, &fault) : sm_axis_numeric(a, extent, fetch, s->index, s->n, &fault);
  CHECK(rc == s->want, "a subscript is taken, or refused, as its values say");
  if (rc == SM_ERANGE) CHECK(fault.at >= 0 && fault.at < s->n, "the fault stands in the subscript");
  if (rc < 0) return false;
  if (rc == 1) {
    memset(bits, 0, EXTENT / 8 + 1);
    sm_axis_except(a, bits);
  }
  CHECK(a->n == s->npos, "the axis counts what it selects");
  return true;
}

/* Position of the k-th element that the subscripts select. */
static int64_t position_of(const subscript *s, const sm_axis *axes, int naxis, int64_t k) {
  int64_t want = 0, stride = 1;
  for (int j = 0; j < naxis; j++) {
    int64_t p = s[j].pos[k % s[j].npos];
    k /= s[j].npos;
    if (p == SM_POS_NA || want == SM_POS_NA) want = SM_POS_NA;
    else want += p * stride;
    stride *= axes[j].extent;
  }
  return want;
}

static void stage(const void *ctx, int64_t from, int64_t n, void *out) { memcpy(out, (const int16_t *)ctx + from, (size_t)n * 2); }

static void read_and_write(sm_plan *plan, const subscript *s, const sm_axis *axes, int naxis, int64_t length) {
  sm_dtype d = {SM_I2, 0, 2};
  int16_t *data = exactly((size_t)length * 2), *values = exactly((size_t)(plan->n > 0 ? plan->n : 1) * 2);
  int32_t *got = exactly((size_t)plan->n * 4);
  uint8_t *scratch = exactly(SM_BLOCK * 2);
  for (int64_t i = 0; i < length; i++) data[i] = (int16_t)i;
  sm_plan_rewind(plan);
  sm_select_read(d, data, plan, SM_R_INT, got);
  for (int64_t k = 0; k < plan->n; k++) {
    int64_t p = position_of(s, axes, naxis, k);
    CHECK(got[k] == (p == SM_POS_NA ? INT32_MIN : (int16_t)p), "what is read is what the subscripts select");
    values[k] = (int16_t)(k + 7);
  }
  sm_plan_rewind(plan);
  sm_select_write(d, data, plan, &(sm_source){plan->n > 0 ? plan->n : 1, NULL, stage, values}, scratch);
  int16_t *want = exactly((size_t)length * 2);
  for (int64_t i = 0; i < length; i++) want[i] = (int16_t)i;
  for (int64_t k = 0; k < plan->n; k++) {
    int64_t p = position_of(s, axes, naxis, k);
    if (p != SM_POS_NA) want[p] = (int16_t)(k + 7);
  }
  CHECK(memcmp(data, want, (size_t)length * 2) == 0, "what is written is what the subscripts select, and nothing else");
  free(data);
  free(values);
  free(got);
  free(scratch);
  free(want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static subscript s[AXES];
  static sm_plan plan;
  uint8_t bits[AXES][EXTENT / 8 + 1];
  sm_axis axes[AXES];
  fuzz_in in = {data, size};
  int naxis = 1 + (int)take_below(&in, AXES);
  int64_t length = 1, all = 1;
  for (int j = 0; j < naxis; j++) {
    int64_t extent = (int64_t)take_below(&in, naxis == 1 ? EXTENT : 8);
    length *= extent;
    if (!take_subscript(&in, &s[j], &axes[j], bits[j], extent)) return 0;
    all *= s[j].npos;
    if (all > 30000) return 0;
  }
  void *buffer = exactly(sm_plan_buffer(naxis));
  sm_plan_init(&plan, axes, naxis, buffer);
  CHECK(plan.n == all, "the plan counts the product of its axes");
  int64_t at = 0;
  for (sm_span p = sm_plan_next(&plan); p.n; p = sm_plan_next(&plan))
    for (int64_t k = 0; k < p.n; k++, at++) {
      CHECK(at < all, "the walk ends");
      CHECK((p.pos ? p.pos[k] : p.start + k) == position_of(s, axes, naxis, at), "the walk goes where the subscripts say");
    }
  CHECK(at == all, "the walk misses nothing");
  read_and_write(&plan, s, axes, naxis, length);
  free(buffer);
  return 0;
}
