/* mem_arena.h: small blocks of shared memory, carved out of common segments.
 *
 * A segment costs a descriptor, a mapping and some system calls; a block costs neither. Blocks are
 * zero-filled and 16-byte aligned.
 *
 * Ownership: the arena belongs to the process that carves. A block handle (sm_block) is process-local and
 * counted by refs. A forked child inherits the handles; when it drops them nothing happens to the memory. The owner
 * uses a freed block again only when nobody else can still use it:
 *  - a child that was forked while the block lived holds a record lock on that fork's number until it and
 *    its own children have ended; a block freed meanwhile waits in quarantine;
 *  - a process outside the family that attached to the block holds a record lock on its header;
 *  - a block that was sent to another process (sm_block_keep) is never used again by this one.
 * Each block's header carries an id drawn when it is carved, so that a stale handle is recognized.
 */
#ifndef MEM_ARENA_H
#define MEM_ARENA_H

#include "mem_segment.h"

#define SM_BLOCK_MAX ((size_t)32768) /* largest block; beyond it a segment of its own */

typedef struct sm_block {
  uint8_t *data;   /* the first byte */
  sm_segment *seg; /* where it lies */
  uint64_t id;     /* as its header had it when this handle was made */
  uint64_t birth;  /* forks before it was carved */
  uint64_t death;  /* forks before it was freed, while in quarantine */
  uint32_t offset; /* of data in the segment's payload */
  uint32_t nbytes; /* capacity */
  int32_t refs;
  uint32_t slot; /* of this handle in the process's table */
  uint8_t state; /* see mem_arena.c */
  uint8_t size_class;
  bool kept, pinned;
  uint32_t epoch;               /* of the process that made this handle */
  struct sm_chunk *chunk;       /* the carver's record of the segment; NULL for blocks of others */
  struct sm_block *next, *prev; /* free list of its class, or quarantine */
  struct sm_block *sibling;     /* next block of the chunk */
} sm_block;

/* Carve a block, refs == 1. nbytes <= SM_BLOCK_MAX. */
int sm_block_new(size_t nbytes, sm_block **out);

/* A handle for the block at `offset` of a segment of the table, whoever carved it: refs == 1 or one more. SM_EFORMAT
 * if there can be no such block, SM_EGONE if there is none with that id. */
int sm_block_attach(sm_segment *seg, uint64_t offset, uint64_t id, size_t nbytes, sm_block **out);

void sm_block_ref(sm_block *b);
void sm_block_unref(sm_block *b);

/* True while the block is the one this handle was made for. */
bool sm_block_valid(const sm_block *b);

/* The block is sent to another process: its owner shall never use it for another. */
void sm_block_keep(sm_block *b);

/* Blocks in use in this process, and their bytes. */
void sm_block_usage(size_t *count, size_t *nbytes);

#endif
