/* mem_heap.c: see mem_heap.h. */
#define _GNU_SOURCE
#include "mem_heap.h"
#include "mem_limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OTHER_ALLOCATOR 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OTHER_ALLOCATOR 1
#endif
#endif
#if defined(__GLIBC__) && defined(__linux__) && !defined(OTHER_ALLOCATOR)
#define CAN_RESERVE 1
#endif

#define KEEP_MAX ((uint64_t)512 << 20)
#define RESERVE_MAX ((uint64_t)1 << 30)
#define RESERVE_MIN ((size_t)1 << 26)
#define HUGE_MIN ((size_t)32 * 1024 * 1024)

static pid_t reserved_by; /* the process that has asked last; its forks inherit the memory, not the wish */

/* Advice for the whole pages of p[0, n). */
static void advise(void *p, size_t n, int advice) {
  uintptr_t from = ((uintptr_t)p + SM_PAGE - 1) & ~(uintptr_t)(SM_PAGE - 1), to = ((uintptr_t)p + n) & ~(uintptr_t)(SM_PAGE - 1);
  if (to > from) (void)madvise((void *)from, to - from, advice);
}

void sm_heap_advise(void *p, size_t n) {
#ifdef MADV_HUGEPAGE
  if (n >= HUGE_MIN) advise(p, n, MADV_HUGEPAGE);
#else
  (void)p, (void)n;
#endif
}

/* One of `parts` of the memory that is to be had, at most `most` bytes. */
static size_t share(uint64_t parts, uint64_t most) {
  uint64_t available = 0;
  sm_limit_check(0, &available);
  available /= parts;
  return (size_t)(available < most ? available : most);
}

#ifdef CAN_RESERVE
static bool space_is_free(void) {
  static int known = 0; /* 1: yes, -1: no */
  if (known) return known > 0;
  struct rlimit limit;
  int counted = 2;
  FILE *f = fopen("/proc/sys/vm/overcommit_memory", "r");
  if (f) {
    if (fscanf(f, "%d", &counted) != 1) counted = 2;
    fclose(f);
  }
  bool limited = getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur != RLIM_INFINITY ||
                 getrlimit(RLIMIT_DATA, &limit) < 0 || limit.rlim_cur != RLIM_INFINITY;
  known = counted == 2 || limited ? -1 : 1;
  return known > 0;
}

size_t sm_heap_prepare(int nproc) {
  if (!space_is_free()) return 0;
  void *volatile block = malloc((size_t)1 << 20); /* a large request has glibc merge its free blocks first */
  free(block);
  size_t reserve = share(4 * (uint64_t)nproc, RESERVE_MAX);
  return reserve < RESERVE_MIN ? 0 : reserve;
}

void sm_heap_reserve(size_t reserve) {
  reserved_by = sm_pid();
  if (reserve == 0 || !space_is_free()) return;
  size_t keep = reserve + ((size_t)64 << 20);
  if (keep > INT32_MAX) return;
  mallopt(M_TRIM_THRESHOLD, (int)keep);
  mallopt(M_MMAP_THRESHOLD, 32 << 20); /* where glibc itself ends up once a block of that size was freed */
  mallopt(M_MMAP_MAX, 0); /* the stretch is to be at the top of the heap, not a mapping of its own */
  void *volatile block = malloc(reserve);
  mallopt(M_MMAP_MAX, 65536); /* glibc's default */
  if (block) {
    advise(block, reserve, MADV_DONTNEED); /* what a parent kept there would have to be copied page by page */
    sm_heap_advise(block, reserve);
  }
  free(block);
}
#else
size_t sm_heap_prepare(int nproc) {
  (void)nproc;
  return 0;
}
void sm_heap_reserve(size_t reserve) {
  reserved_by = sm_pid();
  (void)reserve;
}
#endif

void sm_heap_keep(void) {
  if (reserved_by != sm_pid()) sm_heap_reserve(share(32, KEEP_MAX));
}
