/* arr_index.c: see arr_index.h. */
#include "arr_index.h"

#include <string.h>

/* Shorter stretches than this are cheaper as positions than as runs. */
#define RUN_MIN 16

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

void sm_axis_range(sm_axis *a, int64_t extent, int64_t start, int64_t step, int64_t n) {
  memset(a, 0, sizeof *a);
  a->kind = SM_AXIS_RANGE;
  a->extent = extent;
  a->start = start;
  a->step = n > 1 ? step : 1;
  a->n = n;
}

/* What one pass over a numeric index finds. */
typedef struct {
  int64_t positive, negative, zero, na;
  int64_t first, step, last; /* of the positive values, while they stay in step */
  bool regular;
  int64_t bad, bad_value; /* first position past the extent, or -1 */
} index_census;

/* True if the block is all positive, in bounds and in step with what came before. */
static bool census_regular(index_census *c, const int64_t *v, int64_t n, int64_t extent) {
  if (!c->regular || c->zero || c->na || c->negative) return false;
  int64_t first = c->positive ? c->first : v[0], step = c->step, last = c->positive ? c->last : v[0];
  if (v[0] < 1 || v[0] > extent || v[n - 1] < 1 || v[n - 1] > extent) return false;
  if (c->positive == 0) step = n > 1 ? (int64_t)((uint64_t)v[1] - (uint64_t)v[0]) : 1;
  else if (c->positive == 1) step = v[0] - last;
  /* Within these bounds no multiple below wraps around, so a sequence whose ends lie in the extent lies in it. */
  if (step > extent || step < -extent) return false;
  if (c->positive && v[0] != last + step) return false;
  int64_t differs = 0;
  for (int64_t k = 1; k < n; k++) differs |= v[k] ^ (int64_t)((uint64_t)v[0] + (uint64_t)step * (uint64_t)k);
  if (differs) return false;
  c->first = first;
  c->step = step;
  c->last = v[n - 1];
  c->positive += n;
  return true;
}

static void census_block(index_census *c, const int64_t *v, int64_t n, int64_t from, int64_t extent) {
  if (census_regular(c, v, n, extent)) return;
  c->regular = false;
  int64_t positive = 0, above = 0;
  for (int64_t k = 0; k < n; k++) {
    positive += v[k] > 0;
    above += v[k] > extent;
  }
  c->positive += positive;
  if (above && c->bad < 0)
    for (int64_t k = 0; k < n; k++)
      if (v[k] > extent) {
        c->bad = from + k;
        c->bad_value = v[k];
        break;
      }
  if (positive == n) return;
  for (int64_t k = 0; k < n; k++) {
    if (v[k] == SM_INDEX_NA) c->na++;
    else if (v[k] < 0) c->negative++;
    else if (v[k] == 0) c->zero++;
  }
}

int sm_axis_numeric(sm_axis *a, int64_t extent, sm_index_fetch fetch, const void *src, int64_t srclen, sm_index_fault *fault) {
  index_census c = {.regular = true, .bad = -1};
  int64_t buf[SM_BLOCK];
  for (int64_t from = 0; from < srclen; from += SM_BLOCK) {
    int64_t n = min64(SM_BLOCK, srclen - from);
    fetch(src, from, n, buf);
    census_block(&c, buf, n, from, extent);
  }
  if (c.negative && (c.positive || c.na)) return SM_EMISUSE;
  if (c.bad >= 0) {
    fault->at = c.bad;
    fault->value = c.bad_value;
    return SM_ERANGE;
  }
  if (c.regular && c.positive) {
    sm_axis_range(a, extent, c.first - 1, c.step, c.positive);
    return 0;
  }
  memset(a, 0, sizeof *a);
  a->extent = extent;
  a->fetch = fetch;
  a->src = src;
  a->srclen = srclen;
  a->kind = c.negative ? SM_AXIS_EXCEPT : SM_AXIS_LIST;
  a->n = c.positive + c.na;
  a->has_na = c.na > 0;
  return c.negative ? 1 : 0;
}

void sm_axis_except(sm_axis *a, uint8_t *bits) {
  int64_t buf[SM_BLOCK], out = 0;
  for (int64_t from = 0; from < a->srclen; from += SM_BLOCK) {
    int64_t n = min64(SM_BLOCK, a->srclen - from);
    a->fetch(a->src, from, n, buf);
    for (int64_t k = 0; k < n; k++) {
      if (buf[k] >= 0 || buf[k] < -a->extent) continue;
      int64_t p = -buf[k] - 1;
      uint8_t bit = (uint8_t)(1u << (p & 7));
      out += !(bits[p >> 3] & bit);
      bits[p >> 3] |= bit;
    }
  }
  a->bits = bits;
  a->n = a->extent - out;
}

int sm_axis_logical(sm_axis *a, int64_t extent, sm_index_fetch fetch, const void *src, int64_t srclen, sm_index_fault *fault) {
  memset(a, 0, sizeof *a);
  a->kind = SM_AXIS_LOGICAL;
  a->extent = extent;
  a->fetch = fetch;
  a->src = src;
  a->srclen = srclen;
  if (srclen == 0) return 0;
  int64_t buf[SM_BLOCK], whole = extent / srclen, rest = extent % srclen, in_rest = 0, in_all = 0;
  for (int64_t from = 0; from < srclen; from += SM_BLOCK) {
    int64_t n = min64(SM_BLOCK, srclen - from);
    fetch(src, from, n, buf);
    for (int64_t k = 0; k < n; k++) {
      if (buf[k] == 0) continue;
      if (from + k >= extent) {
        fault->at = from + k;
        fault->value = from + k + 1;
        return SM_ERANGE;
      }
      a->has_na |= buf[k] == SM_INDEX_NA;
      in_all++;
      in_rest += from + k < rest;
    }
  }
  a->n = whole * in_all + in_rest;
  return 0;
}

static int64_t next_list(const sm_axis *a, sm_cursor *c, int64_t *out, int64_t cap) {
  int64_t n = 0;
  while (n == 0 && c->at < a->srclen) {
    int64_t want = min64(cap, a->srclen - c->at);
    a->fetch(a->src, c->at, want, out);
    c->at += want;
    if (!a->has_na && a->n == a->srclen) {
      for (int64_t k = 0; k < want; k++) out[k]--;
      return want;
    }
    for (int64_t k = 0; k < want; k++)
      if (out[k] != 0) out[n++] = out[k] == SM_INDEX_NA ? SM_POS_NA : out[k] - 1;
  }
  return n;
}

static int64_t next_logical(const sm_axis *a, sm_cursor *c, int64_t *out, int64_t cap) {
  int64_t n = 0;
  while (n == 0 && a->srclen && c->at < a->extent) {
    int64_t from = c->at % a->srclen, want = min64(min64(cap, a->extent - c->at), a->srclen - from);
    a->fetch(a->src, from, want, out);
    for (int64_t k = 0; k < want; k++) {
      int64_t v = out[k];
      out[n] = v == SM_INDEX_NA ? SM_POS_NA : c->at + k;
      n += v != 0;
    }
    c->at += want;
  }
  return n;
}

static int64_t next_except(const sm_axis *a, sm_cursor *c, int64_t *out, int64_t cap) {
  int64_t n = 0;
  while (n < cap && c->at < a->extent) {
    if ((c->at & 7) == 0 && a->bits[c->at >> 3] == 0xFF) {
      c->at += 8;
      continue;
    }
    if (!(a->bits[c->at >> 3] >> (c->at & 7) & 1)) out[n++] = c->at;
    c->at++;
  }
  return n;
}

int64_t sm_axis_next(const sm_axis *a, sm_cursor *c, int64_t *out, int64_t cap) {
  if (cap > SM_BLOCK) cap = SM_BLOCK;
  switch (a->kind) {
  case SM_AXIS_RANGE: {
    int64_t n = min64(cap, a->n - c->at), first = a->start + c->at * a->step;
    for (int64_t k = 0; k < n; k++) out[k] = first + k * a->step;
    c->at += n > 0 ? n : 0;
    return n > 0 ? n : 0;
  }
  case SM_AXIS_LIST: return next_list(a, c, out, cap);
  case SM_AXIS_LOGICAL: return next_logical(a, c, out, cap);
  case SM_AXIS_EXCEPT: return next_except(a, c, out, cap);
  }
  return 0;
}

size_t sm_plan_buffer(int naxis) { return (size_t)(naxis > 0 ? naxis : 1) * SM_BLOCK * sizeof(int64_t); }

static bool is_whole(const sm_axis *a) { return a->kind == SM_AXIS_RANGE && a->start == 0 && a->step == 1 && a->n == a->extent; }

/* Fold what needs no walk: an axis with one element becomes an offset, a whole axis joins the next range. */
static void plan_fold(sm_plan *p, const sm_axis *axes, int naxis) {
  int64_t stride = 1;
  for (int k = 0; k < naxis; k++) {
    const sm_axis *a = &axes[k];
    sm_plan_axis *last = p->naxis ? &p->axis[p->naxis - 1] : NULL;
    if (a->n == 1 && !a->has_na) {
      int64_t pos[SM_BLOCK];
      sm_cursor c = {0};
      sm_axis_next(a, &c, pos, SM_BLOCK);
      p->base += pos[0] * stride;
    } else if (last && is_whole(&last->axis) && a->kind == SM_AXIS_RANGE && a->step == 1 && last->stride * last->axis.extent == stride) {
      int64_t e = last->axis.extent;
      sm_axis_range(&last->axis, e * a->extent, a->start * e, 1, a->n * e);
    } else {
      p->axis[p->naxis].axis = *a;
      p->axis[p->naxis].stride = stride;
      p->naxis++;
    }
    stride *= a->extent;
  }
}

void sm_plan_init(sm_plan *p, const sm_axis *axes, int naxis, void *buffer) {
  p->naxis = 0;
  p->base = 0;
  p->n = 1;
  p->has_na = false;
  for (int k = 0; k < naxis; k++) {
    p->n = axes[k].n && p->n > INT64_MAX / axes[k].n ? INT64_MAX : p->n * axes[k].n;
    p->has_na |= axes[k].has_na;
  }
  if (p->n > 0) plan_fold(p, axes, naxis);
  for (int k = 0; k < p->naxis; k++) {
    p->axis[k].buf = (int64_t *)buffer + (size_t)k * SM_BLOCK;
    p->axis[k].whole = false;
  }
  sm_plan_rewind(p);
}

/* Fill the buffer of an axis with its next stretch, scaled by the stride. False at its end. */
static bool axis_fill(sm_plan_axis *a) {
  if (a->whole) return false;
  bool from_start = a->cursor.at == 0;
  a->have = sm_axis_next(&a->axis, &a->cursor, a->buf, SM_BLOCK);
  a->at = 0;
  if (a->stride != 1)
    for (int64_t k = 0; k < a->have; k++)
      if (a->buf[k] != SM_POS_NA) a->buf[k] *= a->stride;
  a->whole = from_start && a->have == a->axis.n;
  return a->have > 0;
}

static void axis_rewind(sm_plan_axis *a) {
  a->at = 0;
  if (a->whole) return;
  a->cursor.at = 0;
  axis_fill(a);
}

/* Axis 0 as a range in steps of 1 is given as runs and needs no buffer. */
static bool plan_by_runs(const sm_plan *p) {
  const sm_plan_axis *a = &p->axis[0];
  return a->axis.kind == SM_AXIS_RANGE && a->axis.step == 1 && a->stride == 1 && (p->naxis == 1 || a->axis.n >= RUN_MIN);
}

void sm_plan_rewind(sm_plan *p) {
  p->done = p->n == 0;
  if (p->done) return;
  bool runs = p->naxis > 0 && plan_by_runs(p);
  if (runs) p->axis[0].at = 0;
  for (int k = runs; k < p->naxis; k++) axis_rewind(&p->axis[k]);
}

/* Step the axes from 1 on; false when all are through. */
static bool plan_advance(sm_plan *p) {
  for (int k = 1; k < p->naxis; k++) {
    sm_plan_axis *a = &p->axis[k];
    if (++a->at < a->have || axis_fill(a)) return true;
    axis_rewind(a);
  }
  return false;
}

/* Offset of the outer axes, or SM_POS_NA. */
static int64_t plan_outer(const sm_plan *p) {
  int64_t base = p->base;
  for (int k = 1; k < p->naxis; k++) {
    int64_t v = p->axis[k].buf[p->axis[k].at];
    if (v == SM_POS_NA) return SM_POS_NA;
    base += v;
  }
  return base;
}

static sm_span next_run(sm_plan *p) {
  const sm_axis *a = &p->axis[0].axis;
  int64_t outer = plan_outer(p);
  sm_span s = {a->n, outer + a->start, NULL};
  if (outer == SM_POS_NA) { /* no element at all: NA in blocks, counted down in axis[0].at */
    int64_t left = a->n - p->axis[0].at;
    s.n = min64(left, SM_BLOCK);
    for (int64_t k = 0; k < s.n; k++) p->out[k] = SM_POS_NA;
    s.pos = p->out;
    p->axis[0].at += s.n;
    if (left > s.n) return s;
    p->axis[0].at = 0;
  }
  p->done = !plan_advance(p);
  return s;
}

static sm_span next_block(sm_plan *p) {
  sm_plan_axis *a = &p->axis[0];
  int64_t n = 0;
  while (n < SM_BLOCK && !p->done) {
    int64_t outer = plan_outer(p), take = min64(SM_BLOCK - n, a->have - a->at);
    const int64_t *v = a->buf + a->at;
    if (outer == SM_POS_NA)
      for (int64_t k = 0; k < take; k++) p->out[n + k] = SM_POS_NA;
    else if (a->axis.has_na)
      for (int64_t k = 0; k < take; k++) p->out[n + k] = v[k] == SM_POS_NA ? SM_POS_NA : v[k] + outer;
    else
      for (int64_t k = 0; k < take; k++) p->out[n + k] = v[k] + outer;
    n += take;
    a->at += take;
    if (a->at < a->have || axis_fill(a)) continue;
    axis_rewind(a);
    p->done = !plan_advance(p);
  }
  return (sm_span){n, 0, p->out};
}

sm_span sm_plan_next(sm_plan *p) {
  if (p->done) return (sm_span){0, 0, NULL};
  if (p->naxis == 0) {
    p->done = true;
    return (sm_span){1, p->base, NULL};
  }
  return plan_by_runs(p) ? next_run(p) : next_block(p);
}
