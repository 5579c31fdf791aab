/* mem_arena.c: see mem_arena.h.
 *
 * Why a freed block is dangerous. The block's memory is mapped by every process of the family, so the owner must not give it
 * to a second array while any other process may still read or write the first one. A reference count in shared memory would
 * not tell: a fork copies every handle without passing through this file, and a killed process never gives its count back. So the
 * arena asks a question that fork() and the kernel answer by themselves: does a process still run that was forked while the block
 * was in use? mem_forks.h answers it by a record lock for each fork's number; the kernel drops the lock when the last process that
 * inherited its descriptor ends, however it ends.
 *
 * An example with two children. The owner carves block X at fork count 0, so X has birth 0.
 *     fork 1: child P inherits a handle of X.                  P may use X.
 *     The owner frees X at fork count 1, so X has death 1.     X is QUARANTINED, because fork 1 lies in (birth, death] and P runs.
 *     fork 2: child Q.                                         Q may not use X: no live handle of X existed when Q was forked.
 *     The owner allocates. It finds X in quarantine, with P still running, and carves a new block Y instead.
 *     P ends, or is killed.                                    The kernel drops the lock of fork 1.
 *     The owner allocates. The sweep asks for forks in (0, 1] only. Q is none of them, so X is FREE and is given out again,
 *     although Q runs on.
 * If P forks a child of its own, that child inherits the locked descriptor, and X waits for it as well. If P itself had carved X, P
 * would be the owner and the session a process that attached: each process is the owner of what it carves. A child counts its
 * forks from 0 again and owns none of what it inherited; its epoch, one more than its parent's, tells the two apart.
 *
 * Some processes are not in the family of forks, or cannot be counted by it:
 *   - A process of another session attaches by descriptor. It holds a shared record lock on the first byte of the block (`pinned`),
 *     in the same file, at an offset that lies below all fork numbers. retire() explains the order of the two sides.
 *   - A result of a child that has ended may be on its way here and name the block. Its reader says so (sm_small_hold).
 *   - A block that was sent away (sm_small_keep) may be named in a message that nobody has read yet. No process holds anything
 *     for it, so its owner never gives it out again: it is KEPT until its chunk goes.
 *
 * Layout: a chunk is a segment; its payload is a row of blocks, each a block_shm and the data. Blocks are never split or joined,
 * so a header stays where it is for as long as its chunk lives.
 *
 * States of a handle:
 *   UNUSED      a free slot of the table
 *   LIVE        refs > 0
 *   FREE        owner only: in the free list of its class; the header's id is 0
 *   QUARANTINED owner only: refs == 0, but other processes may still use the block; the header keeps its id
 *   KEPT        owner only: refs == 0 and sent away; the owner never gives the block out again
 * UNUSED -carve/attach-> LIVE -last unref-> FREE, QUARANTINED, KEPT (owner) or UNUSED (others).
 * FREE -new-> LIVE. QUARANTINED -sweep-> FREE, -attach-> LIVE. KEPT -attach-> LIVE.
 *
 * Chunks: a chunk whose last block leaves LIVE and KEPT is unmapped with all its handles; a process that still uses its blocks has
 * a mapping of its own. Two chunks stay until all others are gone: the one that blocks are carved from, and the first one (home),
 * whose file carries the locks of the forks.
 *
 * Errors: 0 or a negative code.
 */
#include "mem_arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mem_forks.h"

/* Stands before the data of each block. The slot is meaningful in the process that carved the block only. */
typedef struct {
  _Atomic uint64_t id; /* 0 0 while free */
  uint32_t slot;       /* 8 of its handle, in the table of the process that carved it */
  uint32_t nbytes;     /* 12 capacity */
} block_shm;
_Static_assert(sizeof(block_shm) == 16, "block_shm layout");

typedef struct sm_chunk {
  sm_segment *seg;
  size_t used;      /* payload bytes carved */
  uint32_t busy;    /* blocks LIVE or KEPT */
  sm_small *blocks; /* all of them */
} sm_chunk;

enum { UNUSED, LIVE, FREE, QUARANTINED, KEPT };

#define CHUNK_MIN ((size_t)256 << 10) /* a session with a few small arrays holds no more than this */
#define CHUNK_MAX ((size_t)16 << 20)  /* chunks grow with what is carved, so their number grows with its logarithm up to here */
#define SLAB 512                      /* handles allocated at once: 48 KiB */
#define SWEEP_MIN 64                  /* a sweep asks the kernel for each fork anew, which a shorter queue does not pay for */

static const uint32_t sizes[] = {16,    32,     48,     64,     96,     128,    192,    256,     384,     512,     768,     1024,
                                 1536,  2048,   3072,   4096,   6144,   8192,   12288,  16384,   24576,   32768,   49152,   65536,
                                 98304, 131072, 196608, 262144, 393216, 524288, 786432, 1048576, 1572864, 2097152, 3145728, 4194304};
#define CLASSES (sizeof sizes / sizeof sizes[0])

static struct {
  sm_chunk *home, *current; /* the oldest, whose file carries the locks of the forks; the one that blocks are carved from */
  size_t carved;            /* bytes of all chunks */
  sm_small *free[CLASSES];
  sm_small *quarantine;
  size_t quarantined, sweep_at; /* length of the quarantine; the length at which the next sweep is due (or before a new chunk) */
  sm_small **slab;              /* table of handles, SLAB to a slab */
  size_t slabs;
  sm_small *unused;
  uint64_t seed, drawn; /* ids */
  size_t live, live_nbytes;
  size_t owned;   /* LIVE blocks carved here */
  size_t busy;    /* blocks LIVE or KEPT of all chunks */
  uint32_t epoch; /* forks between the first process and this one */
} arena;

static block_shm *header(const sm_small *b) { return (block_shm *)(b->data - sizeof(block_shm)); }

static bool is_owner(const sm_small *b) { return b->chunk && b->epoch == arena.epoch; }

static uint64_t draw_id(void) {
  if (arena.seed == 0) sm_segment_random(&arena.seed, sizeof arena.seed);
  uint64_t z = arena.seed + ++arena.drawn * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return z ? z : 1;
}

/* ---- processes of other sessions that use a block ---- */

static bool pinned_outside(const sm_small *b) { return sm_forks_byte_locked(b->seg->fd, (int64_t)b->offset, 1) >= 0; }

/* Take the id off a dead block; false if a process of another session uses the block. That process sets the segment's flag, locks
 * the block's byte, and then reads the id; this function clears the id first and then reads the flag and the lock. So whichever
 * order the two run in, at least one of them notices the other. */
static bool retire(sm_small *b) {
  _Atomic uint32_t *flag = &((sm_segment_shm *)b->seg->base)->pinned;
  block_shm *h = header(b);
  if (atomic_load(flag) && pinned_outside(b)) return false;
  atomic_store(&h->id, 0);
  if (!atomic_load(flag) || !pinned_outside(b)) return true;
  atomic_store(&h->id, b->id);
  return false;
}

/* ---- the table of handles ---- */

static sm_small *slot_take(void) {
  if (!arena.unused) {
    sm_small **slab = realloc(arena.slab, (arena.slabs + 1) * sizeof *slab);
    if (!slab) return NULL;
    arena.slab = slab;
    sm_small *b = calloc(SLAB, sizeof *b);
    if (!b) return NULL;
    for (size_t i = SLAB; i-- > 0;) {
      b[i].slot = (uint32_t)(arena.slabs * SLAB + i);
      b[i].next = arena.unused;
      arena.unused = &b[i];
    }
    arena.slab[arena.slabs++] = b;
  }
  sm_small *b = arena.unused;
  arena.unused = b->next;
  uint32_t slot = b->slot;
  *b = (sm_small){.slot = slot, .epoch = arena.epoch};
  return b;
}

static void slot_give(sm_small *b) {
  b->state = UNUSED;
  b->next = arena.unused;
  arena.unused = b;
}

static void list_push(sm_small **list, sm_small *b) {
  b->prev = NULL;
  b->next = *list;
  if (*list) (*list)->prev = b;
  *list = b;
}

static void list_remove(sm_small **list, sm_small *b) {
  if (b->prev) b->prev->next = b->next;
  else *list = b->next;
  if (b->next) b->next->prev = b->prev;
}

static void unquarantine(sm_small *b) {
  list_remove(&arena.quarantine, b);
  arena.quarantined--;
}

/* ---- chunks ---- */

static void chunk_release(sm_chunk *c) {
  for (sm_small *b = c->blocks, *after; b; b = after) {
    after = b->sibling;
    if (b->state == FREE) list_remove(&arena.free[b->size_class], b);
    if (b->state == QUARANTINED) unquarantine(b);
    slot_give(b);
  }
  arena.carved -= c->seg->nbytes;
  sm_segment_unref(c->seg);
  free(c);
}

static bool has_owned(void) { return arena.owned > 0; }
static void in_child(void);

/* A chunk with room for a block of `need` bytes. */
static int chunk_new(size_t need) {
  size_t size = arena.carved / 4;
  if (size < CHUNK_MIN) size = CHUNK_MIN;
  if (need > SM_SMALL_MAX + sizeof(block_shm)) size += 4 * need; /* of large ones some, or the descriptors would not be saved */
  size = size > CHUNK_MAX ? CHUNK_MAX : (size + CHUNK_MIN - 1) / CHUNK_MIN * CHUNK_MIN;
  sm_chunk *c = calloc(1, sizeof *c);
  if (!c) return -ENOMEM;
  int rc = sm_segment_new(size - SM_PAGE, &c->seg);
  if (rc < 0) {
    free(c);
    return rc;
  }
  sm_segment_mark_arena(c->seg);
  arena.carved += c->seg->nbytes;
  sm_chunk *old = arena.current;
  arena.current = c;
  if (!arena.home) {
    arena.home = c;
    sm_forks_watch(c->seg->fd, has_owned, in_child);
  }
  if (old && old != arena.home && old->busy == 0) chunk_release(old);
  return 0;
}

static bool chunk_full(size_t size_class) {
  return !arena.current || arena.current->seg->nbytes - arena.current->used < sizeof(block_shm) + sizes[size_class];
}

/* A new block in the current chunk. A full chunk is replaced by a new one first. */
static int carve(size_t size_class, sm_small **out) {
  size_t need = sizeof(block_shm) + sizes[size_class];
  if (chunk_full(size_class)) {
    int rc = chunk_new(need);
    if (rc < 0) return rc;
  }
  sm_chunk *c = arena.current;
  sm_small *b = slot_take();
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

static void set_free(sm_small *b) {
  SM_KEEP(b->refs == 0 && atomic_load(&header(b)->id) == 0);
  b->state = FREE;
  list_push(&arena.free[b->size_class], b);
}

static struct {
  pid_t pid; /* a child holds nothing */
  int n;
} holds;

void sm_small_hold(int by) {
  if (holds.pid != sm_pid()) holds.n = 0;
  holds.pid = sm_pid();
  holds.n += by;
}

static bool held(const sm_small *b) { return holds.n > 0 && b->death > b->birth && holds.pid == sm_pid(); }

static bool reusable(sm_small *b) { return !held(b) && !sm_forks_alive(b->birth, b->death) && retire(b); }

/* Free every block of the quarantine that no other process can use any more. */
static void sweep(void) {
  sm_forks_look();
  for (sm_small *b = arena.quarantine, *after; b; b = after) {
    after = b->next;
    if (!reusable(b)) continue;
    unquarantine(b);
    set_free(b);
  }
  arena.sweep_at = arena.quarantined * 2 < SWEEP_MIN ? SWEEP_MIN : arena.quarantined * 2;
}

/* No block is in use any more: give all memory back. */
static void release_all(void) {
  sm_chunk *home = arena.home, *current = arena.current;
  sm_forks_watch(-1, has_owned, in_child);
  arena.home = arena.current = NULL;
  if (current != home) chunk_release(current);
  chunk_release(home);
}

static void release_owned(sm_small *b) {
  arena.owned--;
  if (b->kept) {
    b->state = KEPT;
    return;
  }
  sm_chunk *c = b->chunk;
  c->busy--;
  arena.busy--;
  b->death = sm_forks_count();
  if (reusable(b)) {
    set_free(b);
  } else {
    b->state = QUARANTINED;
    list_push(&arena.quarantine, b);
    if (++arena.quarantined >= arena.sweep_at) sweep();
  }
  if (c->busy == 0 && c != arena.home && c != arena.current) chunk_release(c);
  if (arena.busy == 0) release_all();
}

static void release_other(sm_small *b) {
  sm_segment *seg = b->seg;
  bool inherited = b->epoch != arena.epoch, counted = !b->chunk;
  if (b->pinned && !inherited) sm_forks_byte_unlock(seg->fd, (int64_t)b->offset);
  slot_give(b);
  if (counted) sm_segment_unref(seg);
}

void sm_small_unref(sm_small *b) {
  SM_KEEP(b->state == LIVE && b->refs > 0);
  if (--b->refs > 0) return;
  arena.live--;
  arena.live_nbytes -= b->nbytes;
  if (is_owner(b)) release_owned(b);
  else release_other(b);
}

void sm_small_ref(sm_small *b) { b->refs++; }

void sm_small_keep(sm_small *b) {
  if (is_owner(b)) b->kept = true;
}

bool sm_small_valid(const sm_small *b) { return atomic_load(&header(b)->id) == b->id; }

void sm_small_usage(size_t *count, size_t *nbytes) {
  *count = arena.live;
  *nbytes = arena.live_nbytes;
}

/* ---- getting blocks ---- */

static void set_live(sm_small *b) {
  b->state = LIVE;
  b->refs = 1;
  arena.live++;
  arena.live_nbytes += b->nbytes;
}

int sm_small_new(size_t nbytes, sm_small **out) {
  size_t k = 0;
  while (k < CLASSES && sizes[k] < nbytes) k++;
  if (k == CLASSES) return SM_ERANGE;
  if (!arena.free[k] && arena.quarantined > 0 && chunk_full(k)) sweep();
  sm_small *b = arena.free[k];
  if (b) {
    list_remove(&arena.free[k], b);
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
  arena.busy++;
  arena.owned++;
  set_live(b);
  *out = b;
  return 0;
}

/* The handle this process already has for the block, or NULL. The slot number comes from shared memory. */
static sm_small *known_handle(sm_segment *seg, uint64_t offset, uint64_t id, uint32_t slot) {
  if (slot / SLAB >= arena.slabs) return NULL;
  sm_small *b = &arena.slab[slot / SLAB][slot % SLAB];
  bool usable = b->state == LIVE || (is_owner(b) && (b->state == QUARANTINED || b->state == KEPT));
  return usable && b->seg == seg && b->offset == offset && b->id == id ? b : NULL;
}

static void attach_known(sm_small *b) {
  if (b->state == LIVE) {
    b->refs++;
    return;
  }
  if (b->state == QUARANTINED) {
    unquarantine(b);
    b->chunk->busy++;
    arena.busy++;
  }
  arena.owned++;
  set_live(b);
}

/* Lock the header of a block of a process outside the family against reuse. */
static bool pin(sm_segment *seg, uint64_t offset) {
  atomic_store(&((sm_segment_shm *)seg->base)->pinned, 1);
  return sm_forks_byte_lock(seg->fd, (int64_t)offset, false) == 0;
}

int sm_small_attach(sm_segment *seg, uint64_t offset, uint64_t id, size_t nbytes, sm_small **out) {
  if (seg->kind != SM_SEGMENT_MEMORY || offset % 16 != 0 || offset < sizeof(block_shm) || offset > seg->nbytes || offset > UINT32_MAX ||
      nbytes > SM_SMALL_LARGEST || nbytes > seg->nbytes - offset || id == 0)
    return SM_EFORMAT;
  block_shm *h = (block_shm *)(seg->payload + offset - sizeof(block_shm));
  uint32_t capacity = h->nbytes;
  if (atomic_load(&h->id) != id || capacity < nbytes || capacity > SM_SMALL_LARGEST) return SM_EGONE;
  sm_small *b = known_handle(seg, offset, id, h->slot);
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
  if (!sm_small_valid(b)) {
    sm_small_unref(b);
    return SM_EGONE;
  }
  *out = b;
  return 0;
}

/* A child starts a new epoch: every block carved so far belongs to the parent. The child never gives back the references that
 * the parent's arena holds on the segments, so inherited blocks stay mapped. */
static void in_child(void) {
  arena.epoch++;
  memset(arena.free, 0, sizeof arena.free);
  arena.quarantine = NULL;
  arena.quarantined = arena.sweep_at = 0;
  arena.home = arena.current = NULL;
  arena.carved = arena.owned = arena.busy = 0;
  arena.seed = 0;
}
