/* kern_map.c: see kern_map.h.
 *
 * Operands that do not already lie as doubles (or int32) are converted a chunk at a time in cache; an operand
 * that stands for all is a chunk filled once.
 */
#include "kern_map.h"

#include <math.h>
#include <string.h>

#define CHUNK 512
#define ROUND 65536              /* elements between looks at the stop */
#define GRAIN ((int64_t)1 << 18) /* elements that pay for a thread */

typedef union {
  double d[CHUNK];
  int32_t i[CHUNK];
} chunk;

typedef struct {
  sm_op op;
  sm_fn fn;
  bool unary, integer; /* compute with int32 */
  sm_operand a, b;
  int64_t n;
  void *out;
  sm_stop *stop;
  _Atomic int warn;
} map_job;

/* m elements from i on as doubles: where they lie, or in buf. */
static const double *doubles(const sm_operand *o, int64_t i, int64_t m, double *buf) {
  return sm_convert_doubles(o->d, (const uint8_t *)o->x + (size_t)i * o->d.itemsize, m, buf);
}

static const int32_t *integers(const sm_operand *o, int64_t i, int64_t m, int32_t *buf) {
  const uint8_t *x = (const uint8_t *)o->x + (size_t)i * o->d.itemsize;
  if (o->d.code == SM_I4 && (uintptr_t)x % sizeof(int32_t) == 0) return (const int32_t *)(const void *)x;
  sm_convert_read(o->d, x, m, SM_R_INT, buf);
  return buf;
}

#define EACH(expr) \
  for (int64_t e = 0; e < m; e++) out[e] = (expr)

static void op_doubles(sm_op op, const double *a, const double *b, int64_t m, double *out) {
  switch (op) {
  case SM_OP_ADD: EACH(a[e] + b[e]); break;
  case SM_OP_SUB: EACH(a[e] - b[e]); break;
  case SM_OP_MUL: EACH(a[e] * b[e]); break;
  default: EACH(a[e] / b[e]); break;
  }
}

/* Integer arithmetic as R's: NA in, NA out; what does not fit is NA. Gives whether that happened. */
static bool op_integers(sm_op op, const int32_t *a, const int32_t *b, int64_t m, int32_t *out) {
  bool over = false;
#define WIDE(sign)                                    \
  for (int64_t e = 0; e < m; e++) {                   \
    bool na = a[e] == INT32_MIN || b[e] == INT32_MIN; \
    int64_t v = (int64_t)a[e] sign(int64_t) b[e];     \
    bool fits = v > INT32_MIN && v <= INT32_MAX;      \
    over |= !na & !fits;                              \
    out[e] = na || !fits ? INT32_MIN : (int32_t)v;    \
  }
  switch (op) {
  case SM_OP_ADD: WIDE(+) break;
  case SM_OP_SUB: WIDE(-) break;
  default: WIDE(*) break;
  }
  return over;
}

#define COMPARE(T, missing)                                       \
  switch (op) {                                                   \
  case SM_OP_EQ: EACH(missing ? INT32_MIN : a[e] == b[e]); break; \
  case SM_OP_NE: EACH(missing ? INT32_MIN : a[e] != b[e]); break; \
  case SM_OP_LT: EACH(missing ? INT32_MIN : a[e] < b[e]); break;  \
  case SM_OP_GT: EACH(missing ? INT32_MIN : a[e] > b[e]); break;  \
  case SM_OP_LE: EACH(missing ? INT32_MIN : a[e] <= b[e]); break; \
  default: EACH(missing ? INT32_MIN : a[e] >= b[e]); break;       \
  }

static void compare_doubles(sm_op op, const double *a, const double *b, int64_t m, int32_t *out) {
  COMPARE(double, (a[e] != a[e] || b[e] != b[e]))
}

static void compare_integers(sm_op op, const int32_t *a, const int32_t *b, int64_t m, int32_t *out) {
  COMPARE(int32_t, (a[e] == INT32_MIN || b[e] == INT32_MIN))
}

/* R's log of one argument. */
static double log_of(double x) { return x > 0 ? log(x) : x == 0 ? -(double)INFINITY : (double)NAN; }
static double log2_of(double x) { return x > 0 ? log2(x) : x == 0 ? -(double)INFINITY : (double)NAN; }
static double log10_of(double x) { return x > 0 ? log10(x) : x == 0 ? -(double)INFINITY : (double)NAN; }

/* fn of doubles; gives whether a NaN came of what was none. A NaN stays the NaN (or NA) it was, as in R. */
static bool fn_doubles(sm_fn fn, const double *a, int64_t m, double *out) {
  int64_t made = 0;
  switch (fn) {
  case SM_FN_SQRT: EACH(sqrt(a[e])); break;
  case SM_FN_EXP: EACH(exp(a[e])); break;
  case SM_FN_ABS: EACH(fabs(a[e])); return false;
  case SM_FN_NEGATE: EACH(-a[e]); return false;
  case SM_FN_FLOOR: EACH(floor(a[e])); break;
  case SM_FN_CEILING: EACH(ceil(a[e])); break;
  case SM_FN_TRUNC: EACH(trunc(a[e])); break;
  case SM_FN_LOG: EACH(a[e] != a[e] ? a[e] : log_of(a[e])); break;
  case SM_FN_LOG2: EACH(a[e] != a[e] ? a[e] : log2_of(a[e])); break;
  case SM_FN_LOG10: EACH(a[e] != a[e] ? a[e] : log10_of(a[e])); break;
  case SM_FN_LOG1P: EACH(log1p(a[e])); break;
  case SM_FN_EXPM1: EACH(expm1(a[e])); break;
  case SM_FN_SIN: EACH(sin(a[e])); break;
  case SM_FN_COS: EACH(cos(a[e])); break;
  case SM_FN_TAN: EACH(tan(a[e])); break;
  case SM_FN_ASIN: EACH(asin(a[e])); break;
  case SM_FN_ACOS: EACH(acos(a[e])); break;
  case SM_FN_ATAN: EACH(atan(a[e])); break;
  case SM_FN_SINH: EACH(sinh(a[e])); break;
  case SM_FN_COSH: EACH(cosh(a[e])); break;
  case SM_FN_TANH: EACH(tanh(a[e])); break;
  }
  for (int64_t e = 0; e < m; e++) made += out[e] != out[e] && a[e] == a[e];
  return made > 0;
}

static void fn_integers(sm_fn fn, const int32_t *a, int64_t m, int32_t *out) {
  if (fn == SM_FN_ABS) EACH(a[e] >= 0 || a[e] == INT32_MIN ? a[e] : -a[e]);
  else EACH(a[e] == INT32_MIN ? a[e] : -a[e]);
}

/* Fill a whole chunk with the operand that stands for all. */
static void fill(const sm_operand *o, bool integer, chunk *c) {
  if (integer) {
    int32_t v, buf[1];
    v = *integers(o, 0, 1, buf);
    for (int e = 0; e < CHUNK; e++) c->i[e] = v;
  } else {
    double v, buf[1];
    v = *doubles(o, 0, 1, buf);
    for (int e = 0; e < CHUNK; e++) c->d[e] = v;
  }
}

/* One chunk; gives whether it warns. */
static bool compute(const map_job *j, int64_t i, int64_t m, chunk *a, chunk *b) {
  bool compares = !j->unary && j->op >= SM_OP_EQ;
  if (j->integer) {
    const int32_t *x = j->a.one ? a->i : integers(&j->a, i, m, a->i);
    int32_t *out = (int32_t *)j->out + i;
    if (j->unary) {
      fn_integers(j->fn, x, m, out);
      return false;
    }
    const int32_t *y = j->b.one ? b->i : integers(&j->b, i, m, b->i);
    if (!compares) return op_integers(j->op, x, y, m, out);
    compare_integers(j->op, x, y, m, out);
    return false;
  }
  const double *x = j->a.one ? a->d : doubles(&j->a, i, m, a->d);
  if (j->unary) return fn_doubles(j->fn, x, m, (double *)j->out + i);
  const double *y = j->b.one ? b->d : doubles(&j->b, i, m, b->d);
  if (compares) compare_doubles(j->op, x, y, m, (int32_t *)j->out + i);
  else op_doubles(j->op, x, y, m, (double *)j->out + i);
  return false;
}

static void map_work(void *arg, int rank, int np) {
  map_job *j = arg;
  chunk a, b;
  bool warn = false;
  int64_t to = sm_share(j->n, rank + 1, np, ROUND);
  if (j->a.one) fill(&j->a, j->integer, &a);
  if (!j->unary && j->b.one) fill(&j->b, j->integer, &b);
  for (int64_t i = sm_share(j->n, rank, np, ROUND); i < to; i += CHUNK) {
    if (i % ROUND == 0 && sm_stop_due(j->stop, rank)) break;
    warn |= compute(j, i, i + CHUNK < to ? CHUNK : to - i, &a, &b);
  }
  if (warn) atomic_store(&j->warn, 1);
}

static int run(map_job *j, sm_mapped *out, const sm_work *work) {
  sm_work part = sm_work_for(work, out->n, GRAIN);
  j->n = out->n;
  j->out = out->at;
  j->stop = work->stop;
  int rc = sm_threads_run(&part, map_work, j);
  out->warn = atomic_load(&j->warn) != 0;
  return rc;
}

int sm_map_op(sm_op op, sm_operand a, sm_operand b, sm_mapped *out, const sm_work *work) {
  bool integer = sm_map_is_integer(a.d) && sm_map_is_integer(b.d) && op != SM_OP_DIV;
  map_job j = {.op = op, .integer = integer, .a = a, .b = b};
  return run(&j, out, work);
}

int sm_map_fn(sm_fn fn, sm_operand a, sm_mapped *out, const sm_work *work) {
  bool integer = sm_map_is_integer(a.d) && (fn == SM_FN_ABS || fn == SM_FN_NEGATE);
  map_job j = {.fn = fn, .unary = true, .integer = integer, .a = a};
  return run(&j, out, work);
}
