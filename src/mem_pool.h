/* mem_pool.h: large private blocks that are kept for the next use.
 *
 * Fresh pages cost several times the copy into them, so what is given back here stays resident, up to a limit. A child that is forked
 * meanwhile does not get what is free (it would share it, and whoever wrote first would pay for a copy page by page); what is
 * in use it inherits like any other memory.
 */
#ifndef MEM_POOL_H
#define MEM_POOL_H

#include "sm_base.h"

typedef struct {
  void *p;
  size_t nbytes; /* what may be used of it */
  pid_t owner;   /* the process that took it */
} sm_extent;

/* A block of at least nbytes, zero-filled or not. -ENOMEM */
int sm_pool_take(size_t nbytes, sm_extent *out);

/* Give it back, in its owner or in a fork of that one, whose part of the mapping goes. A block without memory (p NULL) is none. */
void sm_pool_give(sm_extent *b);

/* Bytes taken by this process and not given back. */
size_t sm_pool_live(void);

/* Memory is short: what is kept for later goes back to the system. */
void sm_pool_trim(void);

#endif
