/* mem_arena.h: small blocks of shared memory, carved out of common segments.
 *
 * A segment costs a descriptor, a mapping and some system calls; a block costs neither. Blocks are
 * zero-filled and 16-byte aligned.
 *
 * Ownership: a block belongs to the process that carved it, its owner. A handle (sm_small) belongs to one process and is counted by
 * refs. A forked child inherits the handles; when it drops one, nothing happens to the memory. The owner gives a freed block out
 * again only when no other process can still use it; mem_arena.c says how it finds out, with an example:
 *  - a child that was forked while the block lived holds a record lock on that fork's number until the child and all its own
 *    children have ended; a block that is freed meanwhile waits in quarantine;
 *  - a process of another session that attached to the block holds a record lock on the block's first byte;
 *  - a block that was sent to another process (sm_small_keep) is never given out again by its owner.
 * Each block's header carries an id drawn when the block is given out, by which a stale handle is recognized.
 */
#ifndef MEM_ARENA_H
#define MEM_ARENA_H

#include "mem_segment.h"

#define SM_SMALL_MAX ((size_t)32768)       /* largest array that is a block; beyond it a segment of its own */
#define SM_SMALL_LARGEST ((size_t)4 << 20) /* the same where descriptors are scarce (sm_fd_scarce()): largest block */

typedef struct sm_small {
  uint8_t *data;   /* the first byte */
  sm_segment *seg; /* where it lies */
  uint64_t id;     /* as its header had it when this handle was made */
  uint64_t birth;  /* number of forks before the block was given out */
  uint64_t death;  /* number of forks before the block was freed, while it is in quarantine */
  uint32_t offset; /* of data in the segment's payload */
  uint32_t nbytes; /* capacity */
  int32_t refs;
  uint32_t slot; /* of this handle in the process's table */
  uint8_t state; /* see mem_arena.c */
  uint8_t size_class;
  bool kept, pinned;
  uint32_t epoch;               /* of the process that made this handle */
  struct sm_chunk *chunk;       /* the carver's record of the segment; NULL for blocks of others */
  struct sm_small *next, *prev; /* free list of its class, or quarantine */
  struct sm_small *sibling;     /* next block of the chunk */
} sm_small;

/* Carve a block, refs == 1. nbytes <= SM_SMALL_LARGEST. */
int sm_small_new(size_t nbytes, sm_small **out);

/* A handle for the block at `offset` of a segment of the table, whichever process carved it: refs == 1 or one more. SM_EFORMAT if
 * there can be no block at that offset, SM_EGONE if the block there has another id. */
int sm_small_attach(sm_segment *seg, uint64_t offset, uint64_t id, size_t nbytes, sm_small **out);

void sm_small_ref(sm_small *b);
void sm_small_unref(sm_small *b);

/* True while the block is the one this handle was made for. */
bool sm_small_valid(const sm_small *b);

/* The block is about to be named in a message to another process: its owner shall never give it out again. */
void sm_small_keep(sm_small *b);

/* by = 1: from now on results of children may be on their way here and may name any block that lived when those were forked: no such
 * block is given out again, also after its child's end, until by = -1. Calls nest. */
void sm_small_hold(int by);

/* Blocks in use in this process, and their bytes. */
void sm_small_usage(size_t *count, size_t *nbytes);

#endif
