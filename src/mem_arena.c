/* mem_arena.c: see mem_arena.h.
 *
 * Layout: a chunk is a segment; its payload is a row of blocks, each a block_shm and the data. Blocks
 * are never split or joined, so a header stays where it is for as long as its chunk lives.
 *
 * States of a block handle:
 *   UNUSED      a free slot of the table
 *   LIVE        refs > 0
 *   FREE        owner only: in the free list of its class; the header's id is 0
 *   QUARANTINED owner only: refs == 0, but other processes may still use it; the header keeps its id
 *   KEPT        owner only: refs == 0 and sent away; never used again
 * UNUSED -carve/attach-> LIVE -last unref-> FREE, QUARANTINED, KEPT (owner) or UNUSED (others).
 * Owner is the process whose epoch the handle carries: a fork starts a new epoch in the child, so what it
 * inherits belongs to another without being touched.
 * FREE -carve-> LIVE. QUARANTINED -sweep-> FREE, -attach-> LIVE. KEPT -attach-> LIVE.
 * A chunk whose last block leaves LIVE and KEPT is unmapped with all its handles: processes that still
 * use its blocks have mappings of their own. Of the chunk that is carved from and of the first one that holds only
 * when all others are gone.
 *
 * Fork: see mem_forks.h; the home chunk's file carries the locks.
 * Errors: 0 or a negative code.
 */
#include "mem_arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mem_forks.h"

/* Before the data of each block; names of a slot are the owner's. */
typedef struct {
  _Atomic uint64_t id; /* 0 0 while free */
  uint32_t slot;       /* 8 in the table of the process that carved it */
  uint32_t nbytes;     /* 12 capacity */
} block_shm;
_Static_assert(sizeof(block_shm) == 16, "block_shm layout");

typedef struct sm_chunk {
  sm_segment *seg;
  size_t used;      /* payload bytes carved */
  uint32_t busy;    /* blocks LIVE or KEPT */
  sm_block *blocks; /* all of them */
} sm_chunk;

enum { UNUSED, LIVE, FREE, QUARANTINED, KEPT };

#define CHUNK_MIN ((size_t)256 << 10)
#define CHUNK_MAX ((size_t)16 << 20)
#define SLAB 512

static const uint16_t sizes[] = {16,   32,   48,   64,   96,   128,  192,  256,   384,   512,   768,
                                 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768};
#define CLASSES (sizeof sizes / sizeof sizes[0])

static struct {
  sm_chunk *home, *current; /* home: the oldest; its file carries the fork locks */
  size_t carved;            /* bytes of all chunks */
  sm_block *free[CLASSES];
  sm_block *quarantine;
  size_t quarantined, sweep_at; /* its length; sweep when it gets there, or before a new chunk */
  sm_block **slab;              /* table of handles, SLAB to a slab */
  size_t slabs;
  sm_block *unused;
  uint64_t seed, drawn; /* ids */
  size_t live, live_nbytes;
  size_t owned;   /* LIVE blocks carved here */
  size_t busy;    /* blocks LIVE or KEPT of all chunks */
  uint32_t epoch; /* forks between the first process and this one */
} A;

static block_shm *header(const sm_block *b) { return (block_shm *)(b->data - sizeof(block_shm)); }

static bool is_owner(const sm_block *b) { return b->chunk && b->epoch == A.epoch; }

static uint64_t draw_id(void) {
  if (A.seed == 0) sm_segment_random(&A.seed, sizeof A.seed);
  uint64_t z = A.seed + ++A.drawn * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return z ? z : 1;
}

/* ---- others that use a block ---- */

static bool pinned_outside(const sm_block *b) { return sm_lock_find(b->seg->fd, (int64_t)b->offset, 1) >= 0; }

/* Take the id off a dead block; false if a process outside the family uses it. That process sets the
 * segment's flag, locks, then looks at the id; here it goes the other way round, so one of the two notices. */
static bool retire(sm_block *b) {
  _Atomic uint32_t *flag = &((sm_segment_shm *)b->seg->base)->pinned;
  block_shm *h = header(b);
  if (atomic_load(flag) && pinned_outside(b)) return false;
  atomic_store(&h->id, 0);
  if (!atomic_load(flag) || !pinned_outside(b)) return true;
  atomic_store(&h->id, b->id);
  return false;
}

/* ---- the table of handles ---- */

static sm_block *slot_take(void) {
  if (!A.unused) {
    sm_block **slab = realloc(A.slab, (A.slabs + 1) * sizeof *slab);
    if (!slab) return NULL;
    A.slab = slab;
    sm_block *b = calloc(SLAB, sizeof *b);
    if (!b) return NULL;
    for (size_t i = SLAB; i-- > 0;) {
      b[i].slot = (uint32_t)(A.slabs * SLAB + i);
      b[i].next = A.unused;
      A.unused = &b[i];
    }
    A.slab[A.slabs++] = b;
  }
  sm_block *b = A.unused;
  A.unused = b->next;
  uint32_t slot = b->slot;
  *b = (sm_block){.slot = slot, .epoch = A.epoch};
  return b;
}

static void slot_give(sm_block *b) {
  b->state = UNUSED;
  b->next = A.unused;
  A.unused = b;
}

static void list_push(sm_block **list, sm_block *b) {
  b->prev = NULL;
  b->next = *list;
  if (*list) (*list)->prev = b;
  *list = b;
}

static void list_remove(sm_block **list, sm_block *b) {
  if (b->prev) b->prev->next = b->next;
  else *list = b->next;
  if (b->next) b->next->prev = b->prev;
}

static void unquarantine(sm_block *b) {
  list_remove(&A.quarantine, b);
  A.quarantined--;
}

/* ---- chunks ---- */

static void chunk_release(sm_chunk *c) {
  for (sm_block *b = c->blocks, *after; b; b = after) {
    after = b->sibling;
    if (b->state == FREE) list_remove(&A.free[b->size_class], b);
    if (b->state == QUARANTINED) unquarantine(b);
    slot_give(b);
  }
  A.carved -= c->seg->nbytes;
  sm_segment_unref(c->seg);
  free(c);
}

static bool has_owned(void) { return A.owned > 0; }
static void in_child(void);

static int chunk_new(void) {
  size_t size = A.carved / 4;
  size = size < CHUNK_MIN ? CHUNK_MIN : size > CHUNK_MAX ? CHUNK_MAX : size / CHUNK_MIN * CHUNK_MIN;
  sm_chunk *c = calloc(1, sizeof *c);
  if (!c) return -ENOMEM;
  int rc = sm_segment_new(size - SM_PAGE, &c->seg);
  if (rc < 0) {
    free(c);
    return rc;
  }
  sm_segment_mark_arena(c->seg);
  A.carved += c->seg->nbytes;
  sm_chunk *old = A.current;
  A.current = c;
  if (!A.home) {
    A.home = c;
    sm_forks_watch(c->seg->fd, has_owned, in_child);
  }
  if (old && old != A.home && old->busy == 0) chunk_release(old);
  return 0;
}

static bool chunk_full(size_t size_class) {
  return !A.current || A.current->seg->nbytes - A.current->used < sizeof(block_shm) + sizes[size_class];
}

/* A new block in the current chunk, which is replaced if it is full. */
static int carve(size_t size_class, sm_block **out) {
  size_t need = sizeof(block_shm) + sizes[size_class];
  if (chunk_full(size_class)) {
    int rc = chunk_new();
    if (rc < 0) return rc;
  }
  sm_chunk *c = A.current;
  sm_block *b = slot_take();
  if (!b) return -ENOMEM;
  b->offset = (uint32_t)(c->used + sizeof(block_shm));
  b->data = c->seg->payload + b->offset;
  b->seg = c->seg;
  b->chunk = c;
  b->size_class = (uint8_t)size_class;
  b->nbytes = sizes[size_class];
  b->sibling = c->blocks;
  c->blocks = b;
  c->used += need;
  header(b)->slot = b->slot;
  header(b)->nbytes = b->nbytes;
  *out = b;
  return 0;
}

/* ---- freeing ---- */

static void set_free(sm_block *b) {
  b->state = FREE;
  list_push(&A.free[b->size_class], b);
}

static bool reusable(sm_block *b) { return !sm_forks_alive(b->birth, b->death) && retire(b); }

/* Set free what nobody can use any more. */
static void sweep(void) {
  sm_forks_look();
  for (sm_block *b = A.quarantine, *after; b; b = after) {
    after = b->next;
    if (!reusable(b)) continue;
    unquarantine(b);
    set_free(b);
  }
  A.sweep_at = A.quarantined * 2 < 64 ? 64 : A.quarantined * 2;
}

/* Nothing is used any more: give all memory back. */
static void release_all(void) {
  sm_chunk *home = A.home, *current = A.current;
  sm_forks_watch(-1, has_owned, in_child);
  A.home = A.current = NULL;
  if (current != home) chunk_release(current);
  chunk_release(home);
}

static void release_owned(sm_block *b) {
  A.owned--;
  if (b->kept) {
    b->state = KEPT;
    return;
  }
  sm_chunk *c = b->chunk;
  c->busy--;
  A.busy--;
  b->death = sm_forks_count();
  if (reusable(b)) {
    set_free(b);
  } else {
    b->state = QUARANTINED;
    list_push(&A.quarantine, b);
    if (++A.quarantined >= A.sweep_at) sweep();
  }
  if (c->busy == 0 && c != A.home && c != A.current) chunk_release(c);
  if (A.busy == 0) release_all();
}

static void release_other(sm_block *b) {
  sm_segment *seg = b->seg;
  bool inherited = b->epoch != A.epoch, counted = !b->chunk;
  if (b->pinned && !inherited) sm_unlock_byte(seg->fd, (int64_t)b->offset);
  slot_give(b);
  if (counted) sm_segment_unref(seg);
}

void sm_block_unref(sm_block *b) {
  if (--b->refs > 0) return;
  A.live--;
  A.live_nbytes -= b->nbytes;
  if (is_owner(b)) release_owned(b);
  else release_other(b);
}

void sm_block_ref(sm_block *b) { b->refs++; }

void sm_block_keep(sm_block *b) {
  if (is_owner(b)) b->kept = true;
}

bool sm_block_valid(const sm_block *b) { return atomic_load(&header(b)->id) == b->id; }

void sm_block_usage(size_t *count, size_t *nbytes) {
  *count = A.live;
  *nbytes = A.live_nbytes;
}

/* ---- getting blocks ---- */

static void set_live(sm_block *b) {
  b->state = LIVE;
  b->refs = 1;
  A.live++;
  A.live_nbytes += b->nbytes;
}

int sm_block_new(size_t nbytes, sm_block **out) {
  size_t k = 0;
  while (k < CLASSES && sizes[k] < nbytes) k++;
  if (k == CLASSES) return SM_ERANGE;
  if (!A.free[k] && A.quarantined > 0 && chunk_full(k)) sweep();
  sm_block *b = A.free[k];
  if (b) {
    list_remove(&A.free[k], b);
    memset(b->data, 0, nbytes);
  } else {
    int rc = carve(k, &b);
    if (rc < 0) return rc;
  }
  b->id = draw_id();
  b->birth = sm_forks_count();
  b->kept = false;
  atomic_store_explicit(&header(b)->id, b->id, memory_order_release);
  b->chunk->busy++;
  A.busy++;
  A.owned++;
  set_live(b);
  *out = b;
  return 0;
}

/* The handle this process already has for the block, or NULL. The slot number comes from shared memory. */
static sm_block *known_handle(sm_segment *seg, uint64_t offset, uint64_t id, uint32_t slot) {
  if (slot / SLAB >= A.slabs) return NULL;
  sm_block *b = &A.slab[slot / SLAB][slot % SLAB];
  bool usable = b->state == LIVE || (is_owner(b) && (b->state == QUARANTINED || b->state == KEPT));
  return usable && b->seg == seg && b->offset == offset && b->id == id ? b : NULL;
}

static void attach_known(sm_block *b) {
  if (b->state == LIVE) {
    b->refs++;
    return;
  }
  if (b->state == QUARANTINED) {
    unquarantine(b);
    b->chunk->busy++;
    A.busy++;
  }
  A.owned++;
  set_live(b);
}

/* Lock the header of a block of a process outside the family against reuse. */
static bool pin(sm_segment *seg, uint64_t offset) {
  atomic_store(&((sm_segment_shm *)seg->base)->pinned, 1);
  return sm_lock_byte(seg->fd, (int64_t)offset, false) == 0;
}

int sm_block_attach(sm_segment *seg, uint64_t offset, uint64_t id, size_t nbytes, sm_block **out) {
  if (seg->kind != SM_SEGMENT_MEMORY || offset % 16 != 0 || offset < sizeof(block_shm) || offset > seg->nbytes || offset > UINT32_MAX ||
      nbytes > SM_BLOCK_MAX || nbytes > seg->nbytes - offset || id == 0)
    return SM_EFORMAT;
  block_shm *h = (block_shm *)(seg->payload + offset - sizeof(block_shm));
  uint32_t capacity = h->nbytes;
  if (atomic_load(&h->id) != id || capacity < nbytes || capacity > SM_BLOCK_MAX) return SM_EGONE;
  sm_block *b = known_handle(seg, offset, id, h->slot);
  if (b && b->nbytes >= nbytes) {
    attach_known(b);
    *out = b;
    return 0;
  }
  if (!(b = slot_take())) return -ENOMEM;
  b->seg = seg;
  b->offset = (uint32_t)offset;
  b->data = seg->payload + offset;
  b->id = id;
  b->nbytes = capacity;
  b->pinned = seg->opened && pin(seg, offset);
  sm_segment_ref(seg);
  set_live(b);
  if (!sm_block_valid(b)) {
    sm_block_unref(b);
    return SM_EGONE;
  }
  *out = b;
  return 0;
}

/* A new epoch: what was carved so far is the parent's. The refs that its arena holds on the segments are never
 * given back here, so inherited blocks stay mapped. */
static void in_child(void) {
  A.epoch++;
  memset(A.free, 0, sizeof A.free);
  A.quarantine = NULL;
  A.quarantined = A.sweep_at = 0;
  A.home = A.current = NULL;
  A.carved = A.owned = A.busy = 0;
  A.seed = 0;
}
