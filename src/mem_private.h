/* mem_private.h: a second mapping of a piece of a segment whose writes stay in this process.
 *
 * Until a page of it is written, it shows what is written into the segment; from then on it is a copy. So
 * a pointer into it can be given to code that might write, without a copy beforehand.
 */
#ifndef MEM_PRIVATE_H
#define MEM_PRIVATE_H

#include "mem_segment.h"

typedef struct {
  void *base; /* NULL if there is none */
  size_t mapped;
} sm_private;

/* Map the bytes from .. from + n - 1, which lie in s; *at is where they stand. SM_EMISUSE for a segment
 * whose descriptor is not at hand or that is a file. */
int sm_private_map(const sm_segment *s, const void *from, size_t n, sm_private *out, void **at);

void sm_private_unmap(sm_private *p);

#endif
