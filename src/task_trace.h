/* task_trace.h: the events of each worker with their times: one block of shared memory, one ring of events a worker.
 *
 * Layout     sm_trace_shm | nworkers x (sm_trace_ring_shm | sm_trace_event_shm[capacity])
 * Writers    a ring has one writer at a time: the worker of that rank; the owner, once that worker has been reaped; then the worker's
 *            successor. Each writes from where the count stands.
 * Readers    any process at any time, also after a writer was killed at any instruction: an event is final before
 *            the count says that it is there, and no event is ever overwritten.
 * Full ring  further events are only summed up, by kind (sm_trace_sum_shm): number, total and longest time, and last
 *            end, so totals stay exact. A sum has two slots; the parity of its number says which one holds.
 * Nesting    an ITEM contains the waits and holds of its sections and what was collected meanwhile; SERIALIZE contains
 *            WAIT_RING; events of one ring otherwise do not overlap, and stand in the order of their ends.
 */
#ifndef TASK_TRACE_H
#define TASK_TRACE_H

#include <stdatomic.h>

#include "sm_base.h"

typedef enum {
  SM_TRACE_ITEM = 0,      /* func ran for `item`. All other kinds give the item during which they happened, or -1 */
  SM_TRACE_WAIT_CRITICAL, /* from asking for the lock to having it */
  SM_TRACE_HOLD_CRITICAL,
  SM_TRACE_WAIT_ORDERED,
  SM_TRACE_HOLD_ORDERED,
  SM_TRACE_SERIALIZE, /* results into the ring or the spill file */
  SM_TRACE_WAIT_RING, /* the owner had not made room yet */
  SM_TRACE_GC,        /* R's collector */
  SM_TRACE_STARTUP,   /* from before the fork to the first request for an item */
  SM_TRACE_DISPATCH,  /* getting the next batch */
  SM_TRACE_LOST,      /* written by the owner: the item that a worker ran when it ended */
  SM_TRACE_NKINDS
} sm_trace_kind;

typedef struct {
  uint64_t t0_ns; /*  0 sm_clock_ns() */
  uint64_t t1_ns; /*  8 */
  int64_t item;   /* 16 0-based, -1 for none */
  uint32_t kind;  /* 24 sm_trace_kind */
  uint32_t pad;   /* 28 */
} sm_trace_event_shm;

typedef struct {
  _Atomic uint64_t total_ns; /*  0 */
  _Atomic uint64_t max_ns;   /*  8 */
  _Atomic uint64_t last_ns;  /* 16 latest t1_ns */
  uint64_t pad;              /* 24 */
} sm_trace_sum_shm;

typedef struct {
  _Atomic uint32_t count;         /*   0 events published */
  uint32_t pad;                   /*   4 */
  _Atomic uint64_t private_bytes; /*   8 largest value reported; 0: none */
  _Atomic uint64_t cpu_ns;        /*  16 processor time of all workers of this rank that have reported; 0: none */
  _Atomic uint64_t starved_ns;    /*  24 time during which they could run but had no processor */
  uint64_t pad2[4];               /*  32 */
  _Atomic uint64_t dropped[16];   /*  64 events that found the ring full, by kind */
  sm_trace_sum_shm sum[16][2];    /* 192 sums of dropped events: the slot dropped & 1 holds */
} sm_trace_ring_shm;

typedef struct {
  uint32_t magic;    /*  0 */
  uint32_t nworkers; /*  4 */
  uint32_t capacity; /*  8 events a ring */
  uint32_t pad;      /* 12 */
  uint64_t stride;   /* 16 bytes from one ring to the next */
  uint64_t nbytes;   /* 24 of the whole block */
  uint64_t begin_ns; /* 32 when init was called */
  uint64_t pad2[3];  /* 40 */
} sm_trace_shm;

_Static_assert(sizeof(sm_trace_event_shm) == 32, "sm_trace_event_shm layout");
_Static_assert(sizeof(sm_trace_sum_shm) == 32, "sm_trace_sum_shm layout");
_Static_assert(sizeof(sm_trace_ring_shm) == 1216, "sm_trace_ring_shm layout");
_Static_assert(offsetof(sm_trace_ring_shm, sum) == 192, "sm_trace_ring_shm layout");
_Static_assert(sizeof(sm_trace_shm) == 64, "sm_trace_shm layout");
_Static_assert(SM_TRACE_NKINDS <= 16, "kinds fit into a ring's sums");

/* Events a ring should hold for a map of nitems on nworkers: room for four events an item in each ring, within 128 MB
 * for the block (pages that no event reaches are never touched). */
uint32_t sm_trace_capacity(int64_t nitems, int nworkers);

/* Bytes of the block; 0 where nworkers < 1 or the size overflows. */
size_t sm_trace_nbytes(int nworkers, uint32_t capacity);

/* mem: zero-filled, aligned to SM_CACHELINE, at least sm_trace_nbytes(). Before the fork. 0 or -EINVAL. */
int sm_trace_init(void *mem, size_t nbytes, int nworkers, uint32_t capacity);

/* For readers: 0 if mem is a block of ours that lies within nbytes, else SM_EFORMAT. */
int sm_trace_check(const void *mem, size_t nbytes);

/* The slow side of sm_trace_record(): the ring is full. */
void sm_trace_drop(sm_trace_ring_shm *r, uint32_t kind, uint64_t t0_ns, uint64_t t1_ns);

static inline sm_trace_ring_shm *sm_trace_ring(const sm_trace_shm *t, int rank) {
  return (sm_trace_ring_shm *)((uintptr_t)(t + 1) + (size_t)rank * (size_t)t->stride);
}

static inline sm_trace_event_shm *sm_trace_events(const sm_trace_ring_shm *r) { return (sm_trace_event_shm *)((uintptr_t)r + sizeof *r); }

/* Record one event in the ring of rank (0 <= rank < nworkers). t may be NULL: then nothing is done. */
static inline void sm_trace_record(sm_trace_shm *t, int rank, uint32_t kind, int64_t item, uint64_t t0_ns, uint64_t t1_ns) {
  if (!t) return;
  sm_trace_ring_shm *r = sm_trace_ring(t, rank);
  uint32_t n = atomic_load_explicit(&r->count, memory_order_relaxed);
  if (n >= t->capacity) {
    sm_trace_drop(r, kind, t0_ns, t1_ns);
    return;
  }
  sm_trace_event_shm *e = sm_trace_events(r) + n;
  e->t0_ns = t0_ns;
  e->t1_ns = t1_ns;
  e->item = item;
  e->kind = kind;
  atomic_store_explicit(&r->count, n + 1, memory_order_release);
}

/* Report the private memory of the worker; the largest value stays. t may be NULL. */
void sm_trace_set_memory(sm_trace_shm *t, int rank, uint64_t private_bytes);

/* Add the processor time of a worker that ends, and how long it stood in line for a processor. t may be NULL. */
void sm_trace_add_cpu(sm_trace_shm *t, int rank, uint64_t cpu_ns, uint64_t starved_ns);

/* Both times of this process's main thread so far (/proc/self/schedstat). Where the system has no such file, *starved_ns is 0 and
 * *cpu_ns counts all threads. */
void sm_trace_cpu(uint64_t *cpu_ns, uint64_t *starved_ns);

/* Private memory of this process in bytes: what it does not share with the process it was forked from
 * (Private_Dirty of /proc/self/smaps_rollup, else resident minus shared of statm); 0 where the system does not tell. */
uint64_t sm_trace_private_bytes(void);

/* One ring as a reader sees it. */
typedef struct {
  const sm_trace_event_shm *events;
  uint32_t count;
  uint64_t private_bytes, cpu_ns, starved_ns;
  struct {
    uint64_t n, total_ns, max_ns, last_ns;
  } dropped[SM_TRACE_NKINDS];
} sm_trace_view;

/* Look at the ring of rank; t has passed sm_trace_check(). Safe beside a running writer. */
void sm_trace_read(const sm_trace_shm *t, int rank, sm_trace_view *out);

#endif
