/* kern_prod.c: see kern_prod.h.
 *
 * Each block has a product of its own, from first to last. If all of them and the product of those before stay in range
 * that is the result. Else it is taken again from first to last, but blocks that can only change the sign of a 0 or an
 * infinity are passed over by what the first pass saw of them.
 */
#include "kern_prod.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 65536
#define GRAIN ((int64_t)1 << 17)
#define CHUNK 512 /* elements converted at a time */

typedef struct {
  long double total;
  int64_t n;
  bool na, nan;
  bool plain, negative; /* no factor is Inf, NaN or 0; how many are negative is odd */
} part;

typedef struct {
  sm_dtype d;
  const uint8_t *x;
  int64_t n;
  bool skip;
  int64_t blocks;
  part *parts;
  part again;
  sm_work work;
} job;

static inline bool settled(long double total) { return total == 0 || isinf(total); }

/* Whether no factor is Inf, NaN or 0, and whether an odd number of them is negative. */
static inline __attribute__((always_inline)) bool all_plain(const double *v, int64_t n, bool *negative) {
  uint64_t sign = 0;
  int64_t plain = 1;
  for (int64_t i = 0; i < n; i++) {
    uint64_t bits;
    memcpy(&bits, v + i, sizeof bits);
    sign ^= bits;
    plain &= (int64_t)(v[i] != 0) & (int64_t)(v[i] - v[i] == 0);
  }
  *negative = sign >> 63;
  return plain;
}

/* A product that is 0 or infinite stays so, but for its sign, by plain factors; one that does not become so had none
 * but plain factors. */
static void multiply(const job *j, const double *v, int64_t n, part *p) {
  long double total = p->total;
  for (int64_t i = 0, m; i < n; i += m) {
    bool plain = false, negative = false, was = settled(total), sign = signbit(total) != 0;
    m = n - i < CHUNK ? n - i : CHUNK;
    if (was) plain = m == CHUNK ? all_plain(v + i, CHUNK, &negative) : all_plain(v + i, m, &negative);
    if (was && plain) {
      p->n += m;
      total = negative ? -total : total;
    } else {
      for (int64_t e = i; e < i + m; e++) {
        if (v[e] != v[e]) {
          if (sm_is_na_real(v[e])) p->na = true;
          else p->nan = true;
          if (j->skip) continue;
        }
        p->n++;
        total *= (long double)v[e];
      }
      if (!was && total == total && !settled(total)) {
        plain = true; /* but for what was skipped, which the next pass skips in the same way */
        negative = (signbit(total) != 0) != sign;
      } else if (!was) {
        plain = all_plain(v + i, m, &negative);
      }
    }
    p->plain &= plain;
    p->negative ^= negative;
  }
  p->total = total;
}

/* Go on with the product by the elements of block b, first to last. */
static void multiply_block(const job *j, int64_t b, part *p) {
  double buffer[CHUNK];
  int64_t to = (b + 1) * BLOCK < j->n ? (b + 1) * BLOCK : j->n;
  for (int64_t i = b * BLOCK; i < to; i += CHUNK) {
    int64_t m = i + CHUNK < to ? CHUNK : to - i;
    multiply(j, sm_convert_doubles(j->d, j->x + i * j->d.itemsize, m, buffer), m, p);
  }
}

static void blocks_work(void *arg, int rank, int np) {
  job *j = arg;
  int64_t to = sm_share(j->n, rank + 1, np, BLOCK);
  for (int64_t i = sm_share(j->n, rank, np, BLOCK); i < to && !sm_stop_due(j->work.stop, rank); i += BLOCK) {
    j->parts[i / BLOCK] = (part){.total = 1, .plain = true};
    multiply_block(j, i / BLOCK, &j->parts[i / BLOCK]);
  }
}

/* The product of all; *tame says whether it and all partial products that are known stay in range. */
static long double combine(const job *j, bool *tame, sm_tally *tally) {
  long double p = 1;
  *tame = true;
  *tally = (sm_tally){0, false, false};
  for (int64_t b = 0; b < j->blocks; b++) {
    const part *t = &j->parts[b];
    p *= t->total;
    *tame = *tame && isnormal(t->total) && isnormal(p);
    tally->n += t->n;
    tally->na |= t->na;
    tally->nan |= t->nan;
  }
  return p;
}

/* Take the product again from first to last. */
static void again_work(void *arg, int rank, int np) {
  job *j = arg;
  part *one = &j->again;
  (void)np;
  for (int64_t b = 0; b < j->blocks && !sm_stop_due(j->work.stop, rank); b++) {
    if (settled(one->total) && j->parts[b].plain) one->total = j->parts[b].negative ? -one->total : one->total;
    else multiply_block(j, b, one);
  }
}

int sm_prod(const sm_numbers *of, const sm_work *work, sm_tally *tally, long double *out) {
  job j = {.d = of->d, .x = of->x, .n = of->n, .skip = of->skip, .work = sm_work_for(work, of->n, GRAIN), .again = {.total = 1}};
  bool tame;
  j.blocks = (j.n + BLOCK - 1) / BLOCK;
  j.parts = malloc((size_t)(j.blocks + 1) * sizeof *j.parts);
  if (!j.parts) return -ENOMEM;
  int rc = sm_threads_run(&j.work, blocks_work, &j);
  if (rc == 0) *out = combine(&j, &tame, tally);
  if (rc == 0 && !tame) {
    rc = sm_threads_one(&j.work, again_work, &j);
    *out = j.again.total;
  }
  free(j.parts);
  return rc;
}
