/* mem_heap.c: see mem_heap.h. */
#define _GNU_SOURCE
#include "mem_heap.h"

#include <stdlib.h>
#include <sys/mman.h>

#define KEEP_BLOCK ((size_t)32 * 1024 * 1024 - 65536)
#define HUGE_MIN ((size_t)32 * 1024 * 1024)

void sm_heap_keep(void) {
  static bool done = false;
  if (done) return;
  done = true;
#ifdef __GLIBC__
  /* glibc gives a freed block of up to 32 MB back to the system, and raises its threshold for doing so to the
   * size of that block: one that was never touched does it. volatile, or the pair is optimized away */
  void *volatile block = malloc(KEEP_BLOCK);
  free(block);
#endif
}

void sm_heap_advise(void *p, size_t n) {
#ifdef MADV_HUGEPAGE
  if (n < HUGE_MIN) return;
  uintptr_t from = ((uintptr_t)p + SM_PAGE - 1) & ~(uintptr_t)(SM_PAGE - 1), to = ((uintptr_t)p + n) & ~(uintptr_t)(SM_PAGE - 1);
  if (to > from) (void)madvise((void *)from, to - from, MADV_HUGEPAGE);
#else
  (void)p, (void)n;
#endif
}
