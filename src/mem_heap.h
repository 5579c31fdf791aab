/* mem_heap.h: fresh private memory at less cost.
 *
 * To fault in fresh pages costs several times the copy into them. These functions tune malloc in worker processes, and advise
 * the kernel about single blocks; the session's own malloc stays as it is. All of them only advise; none can fail.
 */
#ifndef MEM_HEAP_H
#define MEM_HEAP_H

#include "sm_base.h"

/* Any process: ask for huge pages behind n bytes at p that are about to be written from end to end, where they are cheap. */
void sm_heap_want_huge(void *p, size_t n);

/* Parent, before it forks nproc workers: the bytes that each is to hand to sm_heap_tune_child(), or 0. Has malloc merge its
 * free blocks once here, so that each worker need not do it on pages that it would have to copy. */
size_t sm_heap_before_fork(int nproc);

/* Worker: R code allocates and drops large vectors again and again. From now on malloc serves them from a stretch of `reserve`
 * bytes of address space, in huge pages where these are cheap, and keeps what is freed there instead of returning it to the
 * system and faulting it in anew. No page is touched or charged before it is used; a vector that does not fit is mapped as before.
 * Does nothing where malloc is not glibc's, where address space is limited, or where the system counts commitments. */
void sm_heap_tune_child(size_t reserve);

/* Parent: workers that had been at work have ended. The kernel hands out the pages that they freed first, so for half a second
 * huge pages are cheap even on a machine where they are expensive otherwise. */
void sm_heap_forks_ended(void);

#endif
