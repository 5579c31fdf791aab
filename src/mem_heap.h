/* mem_heap.h: fresh private memory for large results, at less cost.
 *
 * Fresh pages cost several times the copy into them. Both calls only advise; neither can fail.
 */
#ifndef MEM_HEAP_H
#define MEM_HEAP_H

#include "sm_base.h"

/* Make the allocator keep freed blocks of some MB for the next ones, as it does by itself once a block of 32 MB has
 * been freed. First call of a process only. */
void sm_heap_keep(void);

/* Ask for huge pages behind n bytes at p that are about to be written from end to end. */
void sm_heap_advise(void *p, size_t n);

#endif
