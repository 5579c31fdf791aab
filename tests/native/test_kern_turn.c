/* kern_turn: arrays with their axes reversed, of any shape and item size, against the definition. */
#include "../../src/kern_turn.h"
#include "check.h"

static bool never(void *arg) {
  (void)arg;
  return false;
}

static int refuse(void (*fn)(void *), void *ctx) {
  (void)fn, (void)ctx;
  return SM_ECHANGED;
}

static _Atomic size_t backed;

static int back(void *ctx, size_t offset, size_t n) {
  if (ctx && offset > 0) return SM_ENOROOM;
  backed += n;
  return 0;
}

static void swap_bytes(uint8_t *p, size_t item, int width) {
  for (size_t at = 0; width > 1 && at < item; at += (size_t)width)
    for (int i = 0; i < width / 2; i++) {
      uint8_t t = p[at + (size_t)i];
      p[at + (size_t)i] = p[at + (size_t)(width - 1 - i)];
      p[at + (size_t)(width - 1 - i)] = t;
    }
}

/* Every element of the target against the one of the source with the same indices. */
static int right(const sm_turn *t, int64_t n) {
  int64_t at[SM_TURN_NDIM] = {0};
  uint8_t item[64];
  for (int64_t e = 0; e < n; e++) {
    int64_t c = 0;
    for (int k = 0; k < t->ndim; k++) c = c * t->dim[k] + at[k];
    memcpy(item, (const uint8_t *)t->from + (size_t)c * t->itemsize, t->itemsize);
    swap_bytes(item, t->itemsize, t->swap);
    if (memcmp(item, (const uint8_t *)t->to + (size_t)e * t->itemsize, t->itemsize) != 0) return 0;
    for (int k = 0; k < t->ndim && ++at[k] == t->dim[k]; k++) at[k] = 0;
  }
  return 1;
}

static void turn(int ndim, const int64_t *dim, size_t item, int swap, int np) {
  int64_t n = 1;
  for (int k = 0; k < ndim; k++) n *= dim[k];
  size_t nbytes = (size_t)n * item;
  uint8_t *from = malloc(nbytes + 1), *to = malloc(nbytes + 1);
  for (size_t i = 0; i < nbytes; i++) from[i + 1] = (uint8_t)draw(); /* no alignment */
  sm_turn t = {from + 1, to, ndim, dim, item, swap, NULL, NULL};
  sm_stop stop;
  sm_stop_init(&stop, never, NULL);
  check_case(sm_turn_run(&t, &(sm_work){np, &stop, NULL}) == 0 && right(&t, n), "turned", n, (int)item);
  free(from);
  free(to);
}

int main(void) {
  static const int64_t shape[][5] = {{5, 7, 1, 1, 1},     {1, 1, 1, 1, 1},      {0, 3, 1, 1, 1},      {1000, 1, 1, 1, 1},
                                     {1, 9, 1, 4, 1},     {3, 4, 5, 6, 7},      {700, 500, 1, 1, 1},  {2, 90000, 2, 1, 1},
                                     {3, 300, 200, 1, 1}, {200000, 2, 1, 1, 1}, {2, 150000, 1, 1, 1}, {17, 19, 23, 29, 1}};
  static const struct {
    size_t item;
    int swap;
  } kind[] = {{1, 1}, {2, 1}, {4, 1}, {8, 1}, {16, 1}, {2, 2}, {4, 4}, {8, 8}, {16, 8}, {5, 1}, {33, 1}};
  for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++)
    for (size_t k = 0; k < sizeof kind / sizeof kind[0]; k++) turn(5, shape[s], kind[k].item, kind[k].swap, 1 + (int)(s % 3));
  turn(0, NULL, 8, 1, 1);
  static const int64_t square[] = {2000, 2000};
  uint8_t *from = calloc(4000000, 1), *to = malloc(4000000);
  sm_turn t = {from, to, 2, square, 1, 1, back, NULL};
  sm_stop stop;
  sm_stop_init(&stop, never, NULL);
  check(sm_turn_run(&t, &(sm_work){3, &stop, refuse}) == SM_ECHANGED, "memory that is no longer there");
  sm_stop_init(&stop, never, NULL);
  backed = 0;
  check(sm_turn_run(&t, &(sm_work){3, &stop, NULL}) == 0 && backed == 4000000, "all of the target is backed once");
  t.ctx = &t;
  check(sm_turn_run(&t, &(sm_work){3, &stop, NULL}) == SM_ENOROOM, "memory that cannot be had");
  sm_stop_init(&stop, never, NULL);
  sm_stop_set(&stop, SM_EINTR);
  check(sm_turn_run(&t, &(sm_work){1, &stop, NULL}) == SM_EINTR, "a stop");
  free(from);
  free(to);
  return report();
}
