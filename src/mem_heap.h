/* mem_heap.h: fresh private memory at less cost.
 *
 * Fresh pages cost several times the copy into them. All these only advise; none can fail.
 */
#ifndef MEM_HEAP_H
#define MEM_HEAP_H

#include "sm_base.h"

/* Before a large vector is made in the session itself: sm_heap_reserve() of a thirty-second of the memory that is to be had,
 * 512 MiB at most, once in a process. Where huge pages are dear it waits for the second call: what is kept has its price
 * the first time. */
void sm_heap_keep(void);

/* Ask for huge pages behind n bytes at p that are about to be written from end to end, where they are cheap. */
void sm_heap_advise(void *p, size_t n);

/* R code allocates large vectors and drops them again and again. From now on the allocator serves this process from a
 * stretch of `reserve` bytes of address space, in huge pages where these are cheap, and keeps what is freed there instead of giving it back
 * and faulting it in anew. Nothing is touched or charged before it is used; what does not fit is mapped as ever. Does
 * nothing where the allocator is another, where address space is limited, and where commitments are counted. */
void sm_heap_reserve(size_t reserve);

/* In the parent before it forks nproc such processes: what each should reserve, or 0. Puts free blocks in order here, once,
 * not in each child. */
size_t sm_heap_prepare(int nproc);

/* Forks of this process that have worked for a while give back their memory: for half a second huge pages are cheap even where
 * they mostly are not, for these come back first. */
void sm_heap_freed(void);

#endif
