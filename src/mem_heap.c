/* mem_heap.c: see mem_heap.h. */
#define _GNU_SOURCE
#include "mem_heap.h"
#include "mem_huge.h"
#include "mem_limit.h"

#include <stdlib.h>
#include <sys/mman.h>
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

#define RESERVE_MAX ((uint64_t)1 << 30)  /* of one worker: M_TRIM_THRESHOLD and M_TOP_PAD are ints, so less than 2 GiB */
#define RESERVE_MIN ((size_t)1 << 26)    /* a smaller stretch holds too few vectors to pay for its set-up */
#define RESERVE_SLACK ((size_t)64 << 20) /* what the heap may hold above the stretch before a free() trims it */
#define HUGE_MIN ((size_t)8 << 20)       /* below four huge pages the unaligned ends outweigh the gain */
#define WARM_NS 500000000u               /* a guest reports free blocks to its host one to two seconds after they fell free */

/* Advice for the whole pages of p[0, n). */
static void advise(void *p, size_t n, int advice) {
  uintptr_t from = ((uintptr_t)p + SM_PAGE - 1) & ~(uintptr_t)(SM_PAGE - 1), to = ((uintptr_t)p + n) & ~(uintptr_t)(SM_PAGE - 1);
  if (to > from) (void)madvise((void *)from, to - from, advice);
}

#ifdef MADV_HUGEPAGE
static void advise_huge(void *p, size_t n, bool huge) { advise(p, n, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE); }
#else
static void advise_huge(void *p, size_t n, bool huge) { (void)p, (void)n, (void)huge; }
#endif

void sm_heap_want_huge(void *p, size_t n) {
  if (n >= HUGE_MIN && sm_huge_is_cheap()) advise_huge(p, n, true);
}

#ifdef CAN_RESERVE
static bool forks_huge;   /* heaps of processes forked from now on are to come in huge pages */
static uint64_t freed_ns; /* when forks last gave back memory, 0: never */

size_t sm_heap_before_fork(int nproc) {
  if (!sm_limit_space_is_free()) return 0;
  void *volatile block = malloc((size_t)1 << 20); /* glibc merges its free blocks before it serves a large request */
  free(block);
  size_t reserve = (size_t)sm_limit_share(4 * (uint64_t)nproc, RESERVE_MAX);
  forks_huge = sm_huge_is_cheap() || (freed_ns > 0 && sm_clock_ns() - freed_ns < WARM_NS);
  return reserve < RESERVE_MIN ? 0 : reserve;
}

void sm_heap_tune_child(size_t reserve) {
  size_t keep = reserve + RESERVE_SLACK;
  if (reserve == 0 || keep > INT32_MAX || !sm_limit_space_is_free()) return;
  mallopt(M_TRIM_THRESHOLD, (int)keep);
  mallopt(M_MMAP_THRESHOLD, 32 << 20); /* glibc's own upper limit: it ends up there once a block of that size was freed */
  mallopt(M_MMAP_MAX, 0);              /* the stretch is to lie at the top of the heap, not in a mapping of its own */
  void *volatile block = malloc(reserve);
  mallopt(M_MMAP_MAX, 65536);       /* glibc's default */
  mallopt(M_TOP_PAD, (int)reserve); /* what a trim leaves */
  if (block) {
    advise(block, reserve, MADV_DONTNEED); /* pages inherited from the parent's heap would be copied one by one when written */
    advise_huge(block, reserve, forks_huge);
  }
  free(block);
}

void sm_heap_forks_ended(void) { freed_ns = sm_clock_ns(); }
#else
size_t sm_heap_before_fork(int nproc) {
  (void)nproc;
  return 0;
}
void sm_heap_tune_child(size_t reserve) { (void)reserve; }
void sm_heap_forks_ended(void) {}
#endif
