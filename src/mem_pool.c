/* mem_pool.c: see mem_pool.h.
 *
 * Layout: one stretch of address space, made at the first use in a process, cut into extents in the order of their
 * addresses; neighbours that are free are one. What does not fit is a mapping of its own.
 * Fork: a free extent is not inherited. One that was in use at a fork and has been given back since may be shared with children; it
 * loses those pages before it is used again, for each would be copied at the first write. The stretch is its maker's. A child begins
 * another one; extents it has inherited are mappings like any other. Errors: all advice may fail.
 */
#define _GNU_SOURCE
#include "mem_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem_heap.h"
#include "mem_limit.h"

#define KEEP_MAX ((uint64_t)512 << 20)
#define KEEP_MIN ((uint64_t)32 << 20)
#define EXTENTS 256
#define SMALL_STEP ((size_t)64 << 10)
#define LARGE_STEP ((size_t)2 << 20)
#define LARGE ((size_t)8 << 20)
#define STEP ((uintptr_t)2 << 20)
#define PRESENT 63 /* bits of an entry of /proc/self/pagemap */
#define EXCLUSIVE 56
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

typedef struct {
  size_t at, n;
  bool used;
} extent;

static struct {
  pid_t owner; /* 0: nobody yet */
  uint8_t *base;
  size_t size; /* 0 where no stretch is to be had */
  int count;
  extent list[EXTENTS];
  size_t live;
} pool;

static void inherit(const extent *e, bool by_forks) {
#ifdef MADV_DONTFORK
  (void)madvise(pool.base + e->at, e->n, by_forks ? MADV_DOFORK : MADV_DONTFORK);
#else
  (void)e, (void)by_forks;
#endif
}

/* Do others map some of these pages, at most STEP bytes? false where it cannot be told. */
static bool others_map(int pagemap, uintptr_t from, uintptr_t to) {
  uint64_t entry[STEP / SM_PAGE];
  ssize_t got = pread(pagemap, entry, (size_t)(to - from) / SM_PAGE * sizeof *entry, (off_t)(from / SM_PAGE * sizeof *entry));
  for (ssize_t i = 0; i < got / (ssize_t)sizeof *entry; i++)
    if ((entry[i] >> PRESENT & 1) && !(entry[i] >> EXCLUSIVE & 1)) return true;
  return false;
}

/* Children that were forked while a block was in use may have its pages still. */
static void drop_shared(const extent *e) {
  uintptr_t from = (uintptr_t)pool.base + e->at, end = from + e->n;
  int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (pagemap < 0) return;
  for (uintptr_t to; from < end; from = to) {
    to = (from / STEP + 1) * STEP;
    if (to > end) to = end;
    if (others_map(pagemap, from, to)) (void)madvise((void *)from, to - from, MADV_DONTNEED);
  }
  close(pagemap);
}

static void begin(void) {
  memset(&pool, 0, sizeof pool);
  pool.owner = sm_pid();
  size_t size = (size_t)sm_limit_share(32, KEEP_MAX) / LARGE_STEP * LARGE_STEP;
  if (size < KEEP_MIN || !sm_limit_space_is_free()) return;
  uint8_t *p = mmap(NULL, size + LARGE_STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return;
  uint8_t *base = (uint8_t *)(((uintptr_t)p + LARGE_STEP - 1) / LARGE_STEP * LARGE_STEP);
  if (base > p) munmap(p, (size_t)(base - p));
  if (base < p + LARGE_STEP) munmap(base + size, (size_t)(p + LARGE_STEP - base));
  pool.base = base;
  pool.size = size;
  pool.count = 1;
  pool.list[0] = (extent){0, size, false};
  sm_heap_want_huge(base, size);
  inherit(&pool.list[0], false);
}

static size_t rounded(size_t n) {
  size_t step = n < LARGE ? SMALL_STEP : LARGE_STEP;
  return (n + step - 1) / step * step;
}

/* The smallest free extent of at least n bytes that can be had; -1 if there is none. */
static int best_fit(size_t n) {
  int best = -1;
  for (int i = 0; i < pool.count; i++) {
    const extent *e = &pool.list[i];
    if (e->used || e->n < n || (best >= 0 && e->n >= pool.list[best].n)) continue;
    if (e->n > n && pool.count == EXTENTS) continue;
    best = i;
  }
  return best;
}

int sm_pool_take(size_t nbytes, sm_extent *out) {
  if (pool.owner != sm_pid()) begin();
  if (nbytes == 0 || nbytes > SIZE_MAX / 2) return -ENOMEM;
  size_t n = rounded(nbytes);
  int i = best_fit(n);
  if (i < 0) {
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return -errno;
    sm_heap_want_huge(p, n);
    *out = (sm_extent){p, n, pool.owner};
  } else {
    extent *e = &pool.list[i];
    if (e->n > n) {
      memmove(e + 1, e, (size_t)(pool.count++ - i) * sizeof *e);
      e[1].at += n;
      e[1].n -= n;
      e->n = n;
    }
    e->used = true;
    drop_shared(e);
    inherit(e, true);
    *out = (sm_extent){pool.base + e->at, n, pool.owner};
  }
  pool.live += n;
  return 0;
}

/* Two neighbours become one. */
static void join(int i) {
  extent *e = &pool.list[i];
  e->n += e[1].n;
  memmove(e + 1, e + 2, (size_t)(--pool.count - i - 1) * sizeof *e);
}

void sm_pool_give(sm_extent *b) {
  if (!b->p) return;
  bool here = b->owner == sm_pid();
  size_t at = (size_t)((uintptr_t)b->p - (uintptr_t)pool.base);
  int i = 0;
  while (here && i < pool.count && pool.list[i].at != at) i++;
  if (!here || i == pool.count) {
    munmap(b->p, b->nbytes);
  } else {
    pool.list[i].used = false;
    inherit(&pool.list[i], false);
    if (i + 1 < pool.count && !pool.list[i + 1].used) join(i);
    if (i > 0 && !pool.list[i - 1].used) join(i - 1);
  }
  if (here) pool.live -= b->nbytes;
  b->p = NULL;
}

size_t sm_pool_live(void) { return pool.owner == sm_pid() ? pool.live : 0; }

void sm_pool_trim(void) {
  if (pool.owner != sm_pid()) return;
  for (int i = 0; i < pool.count; i++)
    if (!pool.list[i].used) (void)madvise(pool.base + pool.list[i].at, pool.list[i].n, MADV_DONTNEED);
}
