/* arr_select.c: see arr_select.h. */
#include "arr_select.h"

#include <string.h>

typedef struct {
  uint64_t a, b;
} pair64;

/* Distances ahead at which a random gather asks for its cache lines. */
#define AHEAD 16

#if defined(__GNUC__)
#define PREFETCH(p) __builtin_prefetch(p)
#else
#define PREFETCH(p) (void)0
#endif

#define GATHER(T)                                                                                 \
  for (int64_t k = 0; k < n; k++) {                                                               \
    T v;                                                                                          \
    if (k + AHEAD < n && pos[k + AHEAD] >= 0) PREFETCH(from + (size_t)pos[k + AHEAD] * sizeof v); \
    if (pos[k] >= 0) memcpy(&v, from + (size_t)pos[k] * sizeof v, sizeof v);                      \
    else memset(&v, 0, sizeof v);                                                                 \
    memcpy(to + (size_t)k * sizeof v, &v, sizeof v);                                              \
  }

void sm_gather(const void *base, size_t itemsize, const int64_t *pos, int64_t n, void *dst) {
  const uint8_t *from = base;
  uint8_t *to = dst;
  switch (itemsize) {
  case 1: GATHER(uint8_t) return;
  case 2: GATHER(uint16_t) return;
  case 4: GATHER(uint32_t) return;
  case 8: GATHER(uint64_t) return;
  case 16: GATHER(pair64) return;
  }
  for (int64_t k = 0; k < n; k++) {
    if (pos[k] >= 0) memcpy(to + (size_t)k * itemsize, from + (size_t)pos[k] * itemsize, itemsize);
    else memset(to + (size_t)k * itemsize, 0, itemsize);
  }
}

#define SCATTER(T, step)                                                   \
  for (int64_t k = 0; k < n; k++) {                                        \
    T v;                                                                   \
    memcpy(&v, from + (size_t)(k * step) * sizeof v, sizeof v);            \
    if (pos[k] >= 0) memcpy(to + (size_t)pos[k] * sizeof v, &v, sizeof v); \
  }

static void scatter(uint8_t *to, size_t itemsize, const int64_t *pos, int64_t n, const uint8_t *from, int64_t step) {
  switch (itemsize) {
  case 1: SCATTER(uint8_t, step) return;
  case 2: SCATTER(uint16_t, step) return;
  case 4: SCATTER(uint32_t, step) return;
  case 8: SCATTER(uint64_t, step) return;
  case 16: SCATTER(pair64, step) return;
  }
  for (int64_t k = 0; k < n; k++)
    if (pos[k] >= 0) memcpy(to + (size_t)pos[k] * itemsize, from + (size_t)(k * step) * itemsize, itemsize);
}

void sm_scatter(void *base, size_t itemsize, const int64_t *pos, int64_t n, const void *src) { scatter(base, itemsize, pos, n, src, 1); }

void sm_scatter_fill(void *base, size_t itemsize, const int64_t *pos, int64_t n, const void *item) {
  scatter(base, itemsize, pos, n, item, 0);
}

void sm_fill(void *dst, size_t itemsize, int64_t n, const void *item) {
  uint8_t *to = dst;
  if (n <= 0) return;
  if (itemsize == 1) {
    memset(to, *(const uint8_t *)item, (size_t)n);
    return;
  }
  /* double what is there, up to 32 KiB, then copy that on */
  size_t all = (size_t)n * itemsize, have = itemsize, most = 32768 / itemsize * itemsize;
  memcpy(to, item, itemsize);
  while (have < all) {
    size_t step = have < most || most == 0 ? have : most;
    if (step > all - have) step = all - have;
    memcpy(to + have, to, step);
    have += step;
  }
}

void sm_select_read(sm_dtype d, const void *data, sm_plan *p, sm_rtype t, void *dst) {
  const uint8_t *from = data;
  uint8_t *to = dst, items[SM_BLOCK * 16];
  size_t size = sm_rtype_size(t);
  bool same = sm_rtype_same(d, t);
  for (sm_span s = sm_plan_next(p); s.n; s = sm_plan_next(p)) {
    if (!s.pos) {
      sm_convert_read(d, from + (size_t)s.start * d.itemsize, s.n, t, to);
    } else if (same) {
      sm_gather(data, d.itemsize, s.pos, s.n, to);
    } else {
      sm_gather(data, d.itemsize, s.pos, s.n, items);
      sm_convert_read(d, items, s.n, t, to);
    }
    if (s.pos && p->has_na)
      for (int64_t k = 0; k < s.n; k++)
        if (s.pos[k] == SM_POS_NA) sm_convert_na(t, 1, to + (size_t)k * size);
    to += (size_t)s.n * size;
  }
}

static void put(sm_dtype d, uint8_t *to, const sm_span *s, int64_t done, int64_t n, const void *items) {
  if (s->pos) sm_scatter(to, d.itemsize, s->pos + done, n, items);
  else memcpy(to + (size_t)(s->start + done) * d.itemsize, items, (size_t)n * d.itemsize);
}

void sm_select_write(sm_dtype d, void *data, sm_plan *p, const sm_source *src, void *scratch) {
  const uint8_t *items = src->items;
  int64_t at = 0;
  if (!items && src->n <= SM_BLOCK) { /* staged once, used again and again */
    src->stage(src->ctx, 0, src->n, scratch);
    items = scratch;
  }
  for (sm_span s = sm_plan_next(p); s.n; s = sm_plan_next(p)) {
    if (src->n == 1) {
      if (s.pos) sm_scatter_fill(data, d.itemsize, s.pos, s.n, items);
      else sm_fill((uint8_t *)data + (size_t)s.start * d.itemsize, d.itemsize, s.n, items);
      continue;
    }
    for (int64_t done = 0; done < s.n;) {
      int64_t n = s.n - done < src->n - at ? s.n - done : src->n - at;
      if (!items && n > SM_BLOCK) n = SM_BLOCK;
      if (!items) src->stage(src->ctx, at, n, scratch);
      put(d, data, &s, done, n, items ? items + (size_t)at * d.itemsize : scratch);
      done += n;
      at = at + n == src->n ? 0 : at + n;
    }
  }
}
