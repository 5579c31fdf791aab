/* Kernels whose input another process writes all the time: nothing is read or written out of bounds (the sanitizer sees to
 * that), and what comes out is a permutation, a position or a number, or SM_ECHANGED. SHAREDMEM_LIVE_SECONDS: how long, 1 if not
 * set. The writer is a process, so that its writes are no data race to a thread sanitizer. */
#include <math.h>
#include <time.h>

#include "kern_prod.h"
#include "kern_search.h"
#include "kern_sort.h"

#include "check.h"

#define N 200000 /* eight bytes each: several threads, several buckets, direct ways for narrow types */
#define PATTERNS 8

typedef struct {
  uint8_t *data;
  uint8_t *pattern[PATTERNS];
} live;

/* Bytes that are different things to every type: random, in order, reversed, few values, missing values, narrow, whole, text. */
static void make_patterns(live *l) {
  for (int p = 0; p < PATTERNS; p++) {
    double *d = malloc(N * 8);
    for (int64_t i = 0; i < N; i++) {
      switch (p) {
      case 0: d[i] = draw_unit() * 1e3; break;
      case 1: d[i] = (double)i * 1e12; break;
      case 2: d[i] = -(double)i; break;
      case 3: d[i] = (double)(draw() % 50); break;
      case 4: d[i] = draw() % 3 == 0 ? (double)NAN : -1e300 * draw_unit(); break;
      case 5: memset(&d[i], (int)(draw() % 4), 8); break;
      case 6: memset(&d[i], draw() % 2 ? 0xFF : 0x80, 8); break;
      default:
        for (int b = 0; b < 8; b++) ((uint8_t *)&d[i])[b] = (uint8_t)(draw() % 5 ? 'a' + draw() % 3 : 0);
      }
    }
    l->pattern[p] = (uint8_t *)d;
  }
}

static void write_always(void *arg, int rank) {
  live *l = arg;
  (void)rank;
  for (uint64_t k = 0;; k++) {
    size_t part = N * 8 / (1 + k % 3); /* a part now and then, so that patterns mix */
    memcpy(l->data + (k % 2 ? N * 8 - part : 0), l->pattern[draw() % PATTERNS], part);
  }
}

/* Every place once; of dropped missing values any subset. */
static int is_permutation(const double *place, int64_t length, int64_t n) {
  char *seen = calloc((size_t)n, 1);
  int ok = 1;
  for (int64_t i = 0; ok && i < length; i++) {
    ok = place[i] >= 1 && place[i] <= (double)n && !seen[(int64_t)place[i] - 1];
    if (ok) seen[(int64_t)place[i] - 1] = 1;
  }
  free(seen);
  return ok;
}

static int n_sorted, n_changed;

static void sort_once(const live *l, sm_key_type type, size_t width) {
  sm_stop stop;
  sm_stop_init(&stop, NULL, NULL);
  sm_keys k = {type, l->data, N * 8 / (int64_t)width, width, draw() % 2};
  if (width < 4) k.n = N;
  sm_work work = {1 + (int)(draw() % 3), &stop, NULL};
  sm_missing missing = (sm_missing)(draw() % 3);
  sm_argsort_plan plan;
  int rc = sm_argsort_look(&k, &work, &plan);
  check(rc == 0, "a look at live data");
  if (rc < 0) return;
  int64_t length = k.n - (missing == SM_MISSING_DROP ? plan.stats.missing : 0);
  check(length >= 0 && length <= k.n, "length of the result of live data");
  double *place = malloc((size_t)length * sizeof *place); /* exactly, so that the sanitizer sees what lies past it */
  rc = sm_argsort_run(&plan, missing, (sm_places){SM_PLACE_F8, place});
  sm_argsort_free(&plan);
  check(rc == SM_ECHANGED || (rc == 0 && is_permutation(place, length, k.n)), "argsort of live data");
  n_sorted += rc == 0;
  n_changed += rc == SM_ECHANGED;
  free(place);
}

static void search_once(const live *l, sm_key_type type, size_t width) {
  sm_stop stop;
  sm_stop_init(&stop, NULL, NULL);
  int64_t m = 3000;
  int32_t *place = malloc((size_t)m * sizeof *place);
  sm_work work = {2, &stop, NULL};
  sm_keys data = {type, l->data, N * 8 / (int64_t)width, width, false};
  sm_keys needle = {type, l->data + width * 500, m, width, false};
  int ok = sm_search(&data, &needle, draw() % 2, (sm_places){SM_PLACE_I4, place}, &work) == 0;
  for (int64_t i = 0; ok && i < m; i++) ok = place[i] >= 1 && place[i] <= data.n + 1;
  check(ok, "search in live data");
  free(place);
}

static void reduce_once(const live *l, sm_dtype d) {
  sm_stop stop;
  sm_stop_init(&stop, NULL, NULL);
  sm_work work = {2, &stop, NULL};
  size_t odd = draw() % 2;
  sm_numbers of = {d, l->data + odd, (int64_t)((N * 8 - 8) / d.itemsize), draw() % 2};
  sm_sum sum;
  sm_extremes ends;
  sm_count count;
  sm_tally tally;
  long double product;
  int rc = sm_reduce_sum(&of, &work, &sum);
  check(rc == 0 || rc == SM_ERANGE, "sum of live data");
  check(sm_reduce_extremes(&of, &work, &ends) == 0 && ends.tally.n <= of.n, "extremes of live data");
  check(sm_reduce_count(&of, &work, &count) == 0 && count.nonzero <= of.n, "count of live data");
  check(sm_prod(&of, &work, &tally, &product) == 0, "product of live data");
}

static double now(void) { return (double)sm_clock_ns() * 1e-9; }

int main(void) {
  const char *text = getenv("SHAREDMEM_LIVE_SECONDS");
  double end = now() + (text ? atof(text) : 1);
  live l = {.data = shared_memory(N * 8)};
  make_patterns(&l);
  pid_t writer = start_child(write_always, &l, 0);
  for (int round = 0; round == 0 || now() < end; round++) {
    for (int i = 0; sm_dtype_row(i); i++) {
      const sm_dtype_info *row = sm_dtype_row(i);
      size_t width = row->d.itemsize ? row->d.itemsize : 8;
      if (row->key != SM_KEY_NONE) sort_once(&l, row->key, width);
      if (row->key != SM_KEY_NONE) search_once(&l, row->key, width);
      if (row->kernel != SM_CLASS_NONE) reduce_once(&l, row->d);
    }
    sort_once(&l, SM_KEY_I8NA, 8);
    sort_once(&l, SM_KEY_U8, 8);
    sort_once(&l, SM_KEY_STR, 3);
  }
  kill(writer, SIGKILL);
  end_of(writer);
  memcpy(l.data, l.pattern[0], N * 8);
  int before = n_sorted;
  sort_once(&l, SM_KEY_F8, 8);
  check(n_sorted == before + 1, "data at rest are sorted at the first try");
  printf("%d sorted, %d seen to have changed\n", n_sorted, n_changed);
  for (int p = 0; p < PATTERNS; p++) free(l.pattern[p]);
  return report();
}
