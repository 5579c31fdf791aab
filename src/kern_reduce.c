/* kern_reduce.c: see kern_reduce.h.
 *
 * A block of floats is summed in 16 independent lanes of a sum and its error (Knuth's two-sum), lanes and
 * blocks are added in order the same way. If that is not finite (Inf, NaN, or a partial sum past the range) the
 * sum is taken again in long double, from first to last within each block.
 */
#include "kern_reduce.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 65536
#define GRAIN ((int64_t)1 << 19) /* elements that pay for a thread: some 150 us of work */
#define CHUNK 512                /* elements converted at a time */

typedef struct {
  double sum, error; /* their sum is the block's */
  long double total; /* of a second pass */
  int64_t whole, n, nonzero;
  double lo, hi;
  bool na, nan;
} part;

typedef struct {
  sm_dtype d;
  const uint8_t *x;
  int64_t n;
  bool skip;
  void (*block)(const void *job, const double *v, int64_t n, part *p); /* NULL: whole_block() */
  part *parts;
  sm_work work;
  double value; /* of first_equal() */
} job;

static bool is_float(sm_dtype d) { return sm_dtype_info_of(d)->kernel == SM_CLASS_FLOAT; }

static job job_of(const sm_numbers *of, const sm_work *work) {
  return (job){.d = of->d, .x = of->x, .n = of->n, .skip = of->skip, .work = sm_work_for(work, of->n, GRAIN)};
}

typedef double quad __attribute__((vector_size(32)));
typedef int64_t mask __attribute__((vector_size(32)));

static inline void two_sum(double *sum, double *error, double v) {
  double t = *sum + v, z = t - *sum;
  *error += (*sum - (t - z)) + (v - z);
  *sum = t;
}

/* Sixteen lanes, whatever the width of the machine's vectors, so that all machines of one arithmetic agree. They have
 * names of their own: an array of them would not stay in registers at -O2. */
static inline __attribute__((always_inline)) void sum_lanes(bool skip, const double *v, int64_t n, part *p) {
  quad s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, e0 = {0}, e1 = {0}, e2 = {0}, e3 = {0};
  mask there = {0};
  int64_t i = 0;
#define LANES(l)                         \
  do {                                   \
    quad x, t, z;                        \
    memcpy(&x, v + i + 4 * l, sizeof x); \
    if (skip) {                          \
      mask is = (mask)(x == x);          \
      x = (quad)(is & (mask)x);          \
      there -= is;                       \
    }                                    \
    t = s##l + x;                        \
    z = t - s##l;                        \
    e##l += (s##l - (t - z)) + (x - z);  \
    s##l = t;                            \
  } while (0)
  for (; i + 16 <= n; i += 16) {
    LANES(0);
    LANES(1);
    LANES(2);
    LANES(3);
  }
#undef LANES
  const quad s[4] = {s0, s1, s2, s3}, e[4] = {e0, e1, e2, e3};
  for (int l = 0; l < 4; l++)
    for (int h = 0; h < 4; h++) {
      two_sum(&p->sum, &p->error, s[l][h]);
      p->error += e[l][h];
    }
  p->n += skip ? (int64_t)(there[0] + there[1] + there[2] + there[3]) : i;
  for (; i < n; i++)
    if (!skip || v[i] == v[i]) {
      two_sum(&p->sum, &p->error, v[i]);
      p->n++;
    }
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2"))) static void sum_wide(bool skip, const double *v, int64_t n, part *p) {
  if (skip) sum_lanes(true, v, n, p);
  else sum_lanes(false, v, n, p);
}
#define HAVE_WIDE __builtin_cpu_supports("avx2")
#else
#define sum_wide sum_lanes
#define HAVE_WIDE false
#endif

static void sum_block(const void *arg, const double *v, int64_t n, part *p) {
  const job *j = arg;
  if (HAVE_WIDE) sum_wide(j->skip, v, n, p);
  else if (j->skip) sum_lanes(true, v, n, p);
  else sum_lanes(false, v, n, p);
}

static void note_missing(double v, part *p) {
  if (sm_is_na_real(v)) p->na = true;
  else p->nan = true;
}

static void long_sum_block(const void *arg, const double *v, int64_t n, part *p) {
  const job *j = arg;
  long double total = p->total;
  for (int64_t i = 0; i < n; i++) {
    if (v[i] == v[i]) p->n++;
    else note_missing(v[i], p);
    if (v[i] == v[i] || !j->skip) total += (long double)v[i];
  }
  p->total = total;
}

/* Two times four lanes, of names of their own as above. What is missing is neither less nor more than anything. */
static inline __attribute__((always_inline)) void extremes_lanes(const double *v, int64_t n, part *p) {
  quad lo0 = {INFINITY, INFINITY, INFINITY, INFINITY}, lo1 = lo0, hi0 = -lo0, hi1 = hi0;
  mask there = {0};
  int64_t i = 0;
#define CHOOSE(is, x, y) ((quad)(((is) & (mask)(x)) | (~(is) & (mask)(y))))
#define LANES(l)                                             \
  do {                                                       \
    quad x;                                                  \
    memcpy(&x, v + i + 4 * l, sizeof x);                     \
    mask less = (mask)(x < lo##l), more = (mask)(x > hi##l); \
    lo##l = CHOOSE(less, x, lo##l);                          \
    hi##l = CHOOSE(more, x, hi##l);                          \
    there -= (mask)(x == x);                                 \
  } while (0)
  for (; i + 8 <= n; i += 8) {
    LANES(0);
    LANES(1);
  }
#undef LANES
#undef CHOOSE
  const quad lo[2] = {lo0, lo1}, hi[2] = {hi0, hi1};
  for (int l = 0; l < 8; l++) {
    p->lo = lo[l / 4][l % 4] < p->lo ? lo[l / 4][l % 4] : p->lo;
    p->hi = hi[l / 4][l % 4] > p->hi ? hi[l / 4][l % 4] : p->hi;
  }
  int64_t present = (int64_t)(there[0] + there[1] + there[2] + there[3]);
  for (; i < n; i++) {
    p->lo = v[i] < p->lo ? v[i] : p->lo;
    p->hi = v[i] > p->hi ? v[i] : p->hi;
    present += v[i] == v[i];
  }
  p->n += present;
  for (i = 0; present < n && i < n; i++)
    if (v[i] != v[i]) note_missing(v[i], p);
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2"))) static void extremes_wide(const double *v, int64_t n, part *p) { extremes_lanes(v, n, p); }
#else
#define extremes_wide extremes_lanes
#endif

static void extremes_block(const void *arg, const double *v, int64_t n, part *p) {
  (void)arg;
  if (HAVE_WIDE) extremes_wide(v, n, p);
  else extremes_lanes(v, n, p);
}

static void count_block(const void *arg, const double *v, int64_t n, part *p) {
  (void)arg;
  for (int64_t i = 0; i < n; i++) {
    p->n += v[i] == v[i];
    p->nonzero += v[i] == v[i] && v[i] != 0;
    if (v[i] != v[i]) note_missing(v[i], p);
  }
}

/* Sum of m integers of up to 32 bits: exact. */
static void whole_block(const job *j, const void *at, int64_t m, part *p) {
#define WHOLE(code, T, present, value)     \
  case code: {                             \
    const T *x = at;                       \
    int64_t sum = 0, n = 0;                \
    for (int64_t i = 0; i < m; i++) {      \
      bool there = present;                \
      sum += there ? (int64_t)(value) : 0; \
      n += there;                          \
    }                                      \
    p->whole += sum;                       \
    p->n += n;                             \
    p->na |= n < m;                        \
    return;                                \
  }
  switch (j->d.code) {
    WHOLE(SM_I1, int8_t, true, x[i])
    WHOLE(SM_I2, int16_t, true, x[i])
    WHOLE(SM_I4, int32_t, x[i] != INT32_MIN, x[i])
    WHOLE(SM_U1, uint8_t, true, x[i])
    WHOLE(SM_U2, uint16_t, true, x[i])
    WHOLE(SM_U4, uint32_t, true, x[i])
    WHOLE(SM_B1, uint8_t, x[i] != SM_B1_NA, x[i] != 0)
  default: return;
  }
}

static void blocks_work(void *arg, int rank, int np) {
  job *j = arg;
  double buffer[CHUNK];
  int64_t to = sm_share(j->n, rank + 1, np, BLOCK), size = j->d.itemsize;
  bool aligned = (uintptr_t)j->x % j->d.itemsize == 0;
  int64_t step = aligned && (!j->block || j->d.code == SM_F8) ? BLOCK : CHUNK;
  for (int64_t i = sm_share(j->n, rank, np, BLOCK); i < to && !sm_stop_due(j->work.stop, rank); i += BLOCK) {
    int64_t end = i + BLOCK < to ? i + BLOCK : to;
    part *p = &j->parts[i / BLOCK];
    *p = (part){.lo = INFINITY, .hi = -INFINITY, .total = 0};
    for (int64_t c = i; c < end; c += step) {
      int64_t m = c + step < end ? step : end - c;
      const uint8_t *x = j->x + c * size;
      if (j->block) j->block(j, sm_convert_doubles(j->d, x, m, buffer), m, p);
      else whole_block(j, aligned ? x : memcpy(buffer, x, (size_t)(m * size)), m, p);
    }
  }
}

/* Reduce each block; *blocks is how many there are. The caller frees j->parts, also on failure. */
static int run(job *j, int64_t *blocks) {
  *blocks = (j->n + BLOCK - 1) / BLOCK;
  if (!j->parts) j->parts = malloc((size_t)(*blocks + 1) * sizeof *j->parts);
  if (!j->parts) return -ENOMEM;
  return sm_threads_run(&j->work, blocks_work, j);
}

static sm_tally tally_of(const job *j, int64_t blocks) {
  sm_tally t = {0, false, false};
  for (int64_t b = 0; b < blocks; b++) {
    t.n += j->parts[b].n;
    t.na |= j->parts[b].na;
    t.nan |= j->parts[b].nan;
  }
  return t;
}

static int sum_whole(job *j, sm_sum *out) {
  int64_t blocks;
  int rc = run(j, &blocks);
  if (rc < 0) return rc;
  out->tally = tally_of(j, blocks);
  for (int64_t b = 0; b < blocks; b++) {
    int64_t v = j->parts[b].whole;
    if (v > 0 ? out->whole > INT64_MAX - v : out->whole < INT64_MIN - v) return SM_ERANGE;
    out->whole += v;
  }
  out->sum = (long double)out->whole;
  return 0;
}

/* Sum in long double, with the NA and NaN that the fast pass leaves out. */
static int sum_long(job *j, sm_sum *out) {
  int64_t blocks;
  j->block = long_sum_block;
  int rc = run(j, &blocks);
  if (rc < 0) return rc;
  out->tally = tally_of(j, blocks);
  out->sum = 0;
  for (int64_t b = 0; b < blocks; b++) out->sum += j->parts[b].total;
  return 0;
}

static int sum_floats(job *j, sm_sum *out) {
  int64_t blocks;
  j->block = sum_block;
  int rc = run(j, &blocks);
  if (rc < 0) return rc;
  double sum = 0, error = 0;
  for (int64_t b = 0; b < blocks; b++) {
    two_sum(&sum, &error, j->parts[b].sum);
    error += j->parts[b].error;
  }
  out->sum = (long double)sum + (long double)error;
  out->tally = tally_of(j, blocks);
  return isfinite(sum) && isfinite(error) ? 0 : sum_long(j, out);
}

int sm_reduce_sum(const sm_numbers *of, const sm_work *work, sm_sum *out) {
  job j = job_of(of, work);
  sm_kernel_class kernel = sm_dtype_info_of(of->d)->kernel;
  *out = (sm_sum){{0, false, false}, 0, 0};
  int rc = kernel == SM_CLASS_FLOAT || kernel == SM_CLASS_WIDE ? sum_floats(&j, out) : sum_whole(&j, out);
  free(j.parts);
  return rc;
}

/* The value becomes the first element that equals it: which of the two zeros came first. */
static void first_equal(void *arg, int rank, int np) {
  job *j = arg;
  (void)np;
  for (int64_t i = 0; i < j->n; i++) {
    double one;
    sm_convert_read(j->d, j->x + i * j->d.itemsize, 1, SM_R_DBL, &one);
    if (one == j->value) {
      j->value = one;
      return;
    }
    if (i % BLOCK == 0 && sm_stop_due(j->work.stop, rank)) return;
  }
}

static int sign_of_zero(job *j, double *value) {
  if (*value != 0) return 0;
  j->value = 0;
  int rc = sm_threads_one(&j->work, first_equal, j);
  *value = j->value;
  return rc;
}

int sm_reduce_extremes(const sm_numbers *of, const sm_work *work, sm_extremes *out) {
  job j = job_of(of, work);
  int64_t blocks;
  j.block = extremes_block;
  int rc = run(&j, &blocks);
  *out = (sm_extremes){{0, false, false}, INFINITY, -INFINITY};
  if (rc == 0) out->tally = tally_of(&j, blocks);
  for (int64_t b = 0; rc == 0 && b < blocks; b++) {
    if (j.parts[b].lo < out->lo) out->lo = j.parts[b].lo;
    if (j.parts[b].hi > out->hi) out->hi = j.parts[b].hi;
  }
  if (out->tally.n == 0) {
    out->lo = INFINITY;
    out->hi = -INFINITY;
  }
  if (rc == 0 && is_float(j.d)) rc = sign_of_zero(&j, &out->lo);
  if (rc == 0 && is_float(j.d)) rc = sign_of_zero(&j, &out->hi);
  free(j.parts);
  return rc;
}

int sm_reduce_count(const sm_numbers *of, const sm_work *work, sm_count *out) {
  job j = job_of(of, work);
  int64_t blocks;
  j.block = count_block;
  int rc = run(&j, &blocks);
  *out = (sm_count){{0, false, false}, 0};
  if (rc == 0) out->tally = tally_of(&j, blocks);
  for (int64_t b = 0; rc == 0 && b < blocks; b++) out->nonzero += j.parts[b].nonzero;
  free(j.parts);
  return rc;
}
