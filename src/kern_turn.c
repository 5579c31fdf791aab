/* kern_turn.c: see kern_turn.h.
 *
 * The box of all indices is halved along its longest axis again and again: to tasks, which the threads take one by one,
 * and these to tiles that fit a cache both as they lie in the source and as they lie in the target.
 * So no extent, however long or short, makes a walk that touches each cache line only for one element.
 *
 * Every thread walks all halvings down to the tasks, which costs nothing beside the tasks, and works on those whose number it
 * has drawn.
 */
#include "kern_turn.h"

#include <string.h>

#define SLICE ((size_t)1 << 20)
#define TASK_BYTES ((int64_t)1 << 20)
#define TILE_BYTES ((int64_t)16 << 10)

typedef struct turn_job turn_job;
typedef void (*turn_plane)(const uint8_t *from, uint8_t *to, const turn_job *j, const int64_t *dim);

struct turn_job {
  const sm_turn *t;
  sm_stop *stop;
  turn_plane plane;
  int ndim;                                                                      /* axes longer than 1, at least 2 */
  int64_t dim[SM_TURN_NDIM], from_stride[SM_TURN_NDIM], to_stride[SM_TURN_NDIM]; /* in elements */
  size_t nbytes;
  _Atomic int64_t next; /* task, or slice to be backed */
};

typedef struct {
  const uint8_t *from;
  uint8_t *to;
  int64_t dim[SM_TURN_NDIM];
} turn_box;

typedef struct {
  turn_job *job;
  int rank;
  int64_t seen, mine; /* tasks passed; the number this thread has drawn */
} turn_walk;

/* ---- tiles ---- */

/* Elements over the first and last axis of a tile: the target is written in runs along the first one. */
#define PLANE(name, T, turned)                                                                                     \
  static void name(const uint8_t *from, uint8_t *to, const turn_job *j, const int64_t *dim) {                      \
    int last = j->ndim - 1;                                                                                        \
    int64_t from_step = j->from_stride[0] * (int64_t)sizeof(T), to_step = j->to_stride[last] * (int64_t)sizeof(T); \
    for (int64_t c = 0; c < dim[last]; c++, from += sizeof(T), to += to_step)                                      \
      for (int64_t r = 0; r < dim[0]; r++) {                                                                       \
        T v;                                                                                                       \
        memcpy(&v, from + r * from_step, sizeof v);                                                                \
        v = turned;                                                                                                \
        memcpy(to + r * (int64_t)sizeof(T), &v, sizeof v);                                                         \
      }                                                                                                            \
  }

typedef struct {
  uint64_t re, im;
} pair;

PLANE(plane_1, uint8_t, v)
PLANE(plane_2, uint16_t, v)
PLANE(plane_4, uint32_t, v)
PLANE(plane_8, uint64_t, v)
PLANE(plane_16, pair, v)
PLANE(plane_2_swap, uint16_t, (uint16_t)(v >> 8 | v << 8))
PLANE(plane_4_swap, uint32_t, __builtin_bswap32(v))
PLANE(plane_8_swap, uint64_t, __builtin_bswap64(v))
PLANE(plane_16_swap, pair, ((pair){__builtin_bswap64(v.re), __builtin_bswap64(v.im)}))

/* Strings, whose width is anything. */
static void plane_any(const uint8_t *from, uint8_t *to, const turn_job *j, const int64_t *dim) {
  int last = j->ndim - 1;
  size_t item = j->t->itemsize;
  for (int64_t c = 0; c < dim[last]; c++)
    for (int64_t r = 0; r < dim[0]; r++)
      memcpy(to + (size_t)(c * j->to_stride[last] + r) * item, from + (size_t)(r * j->from_stride[0] + c) * item, item);
}

static turn_plane plane_for(const sm_turn *t) {
  switch (t->itemsize) {
  case 1: return plane_1;
  case 2: return t->swap == 2 ? plane_2_swap : plane_2;
  case 4: return t->swap == 4 ? plane_4_swap : plane_4;
  case 8: return t->swap == 8 ? plane_8_swap : plane_8;
  case 16: return t->swap == 8 ? plane_16_swap : plane_16;
  default: return plane_any;
  }
}

static void turn_tile(const turn_job *j, const turn_box *b) {
  int64_t at[SM_TURN_NDIM] = {0}, item = (int64_t)j->t->itemsize;
  const uint8_t *from = b->from;
  uint8_t *to = b->to;
  for (;;) {
    j->plane(from, to, j, b->dim);
    int k = 1; /* the axes between first and last as an odometer */
    for (; k < j->ndim - 1; k++) {
      from += j->from_stride[k] * item;
      to += j->to_stride[k] * item;
      if (++at[k] < b->dim[k]) break;
      from -= at[k] * j->from_stride[k] * item;
      to -= at[k] * j->to_stride[k] * item;
      at[k] = 0;
    }
    if (k >= j->ndim - 1) return;
  }
}

/* ---- boxes ---- */

/* fn(arg, box) for every part of the box that takes at most `most` bytes, or is one element. */
static void halve(const turn_job *j, const turn_box *b, int64_t most, void (*fn)(void *, const turn_box *), void *arg) {
  int64_t item = (int64_t)j->t->itemsize, bytes = item;
  int longest = 0;
  for (int k = 0; k < j->ndim; k++) {
    bytes *= b->dim[k];
    if (b->dim[k] > b->dim[longest]) longest = k;
  }
  if (bytes <= most || b->dim[longest] == 1) {
    fn(arg, b);
    return;
  }
  turn_box part = *b;
  int64_t n = b->dim[longest], half = (n + 1) / 2;
  if (half > 16) half = (half + 15) / 16 * 16; /* whole cache lines */
  part.dim[longest] = half;
  halve(j, &part, most, fn, arg);
  part.from += half * j->from_stride[longest] * item;
  part.to += half * j->to_stride[longest] * item;
  part.dim[longest] = n - half;
  halve(j, &part, most, fn, arg);
}

static void each_tile(void *arg, const turn_box *b) { turn_tile(arg, b); }

static void each_task(void *arg, const turn_box *b) {
  turn_walk *w = arg;
  turn_job *j = w->job;
  if (w->seen++ != w->mine || sm_stop_due(j->stop, w->rank)) return;
  halve(j, b, TILE_BYTES, each_tile, j);
  w->mine = atomic_fetch_add(&j->next, 1);
}

static void turn_work(void *arg, int rank, int np) {
  turn_job *j = arg;
  turn_walk w = {.job = j, .rank = rank, .mine = atomic_fetch_add(&j->next, 1)};
  turn_box all = {.from = j->t->from, .to = j->t->to};
  (void)np;
  memcpy(all.dim, j->dim, sizeof all.dim);
  halve(j, &all, TASK_BYTES, each_task, &w);
}

/* The target's tiles are no runs of memory, so all of it is backed before, slice by slice. */
static void back_work(void *arg, int rank, int np) {
  turn_job *j = arg;
  (void)np;
  while (!sm_stop_due(j->stop, rank)) {
    size_t at = (size_t)atomic_fetch_add(&j->next, 1) * SLICE;
    if (at >= j->nbytes) return;
    int rc = j->t->back(j->t->ctx, at, j->nbytes - at < SLICE ? j->nbytes - at : SLICE);
    if (rc < 0) sm_stop_set(j->stop, rc);
  }
}

int sm_turn_run(const sm_turn *t, const sm_work *work) {
  turn_job j = {.t = t, .stop = work->stop, .plane = plane_for(t)};
  int64_t n = 1;
  for (int k = 0; k < t->ndim; k++) {
    if (t->dim[k] > 1) j.dim[j.ndim++] = t->dim[k];
    n *= t->dim[k];
  }
  if (n == 0) return 0;
  while (j.ndim < 2) j.dim[j.ndim++] = 1;
  j.from_stride[j.ndim - 1] = j.to_stride[0] = 1;
  for (int k = 1; k < j.ndim; k++) {
    j.to_stride[k] = j.to_stride[k - 1] * j.dim[k - 1];
    j.from_stride[j.ndim - 1 - k] = j.from_stride[j.ndim - k] * j.dim[j.ndim - k];
  }
  j.nbytes = (size_t)n * t->itemsize;
  sm_work shared = sm_work_for(work, (int64_t)j.nbytes, 2 * TASK_BYTES);
  int rc = t->back ? sm_threads_run(&shared, back_work, &j) : 0;
  atomic_store(&j.next, 0);
  return rc < 0 ? rc : sm_threads_run(&shared, turn_work, &j);
}
