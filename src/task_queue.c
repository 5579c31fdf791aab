/* task_queue.c: see task_queue.h.
 *
 * Purpose: dynamic scheduling at the price of one compare-and-swap an item.
 * Batches grow while items are quick (towards BATCH_NS a batch), never past a share of the items left, and hold one item once `single`
 * is set. Idle workers steal from a batch that turns out slow.
 * Fork and signals: take is lock-free. The lock is robust, and thanks to its journal each move under it is complete or absent, whichever
 * process dies.
 */
#include "task_queue.h"

#include <string.h>

#define BATCH_NS 2000000u
#define ITEM_DOOMED 1
#define ITEM_RETURNED 2
#define FIELD 24
#define MASK ((UINT64_C(1) << FIELD) - 1)

static inline uint64_t pack(uint64_t seq, uint64_t lo, uint64_t hi) { return (seq & 0xFFFF) << 48 | lo << FIELD | hi; }
static inline uint64_t seq_of(uint64_t w) { return w >> 48; }
static inline uint64_t lo_of(uint64_t w) { return w >> FIELD & MASK; }
static inline uint64_t hi_of(uint64_t w) { return w & MASK; }

size_t sm_queue_nbytes(int nslots) {
  size_t head = (sizeof(sm_queue_shm) + SM_CACHELINE - 1) / SM_CACHELINE * SM_CACHELINE;
  return head + 2 * (size_t)nslots * sizeof(sm_queue_slot_shm);
}

sm_queue_slot_shm *sm_queue_slot(sm_queue_shm *q, int slot) {
  size_t head = (sizeof(sm_queue_shm) + SM_CACHELINE - 1) / SM_CACHELINE * SM_CACHELINE;
  return (sm_queue_slot_shm *)((uint8_t *)q + head) + slot;
}

int sm_queue_init(sm_queue_shm *q, int64_t nitems, int nslots) {
  memset(q, 0, sm_queue_nbytes(nslots));
  q->nitems = nitems;
  q->nslots = nslots;
  atomic_store(&q->move.slot, -1);
  for (int i = 0; i < 2 * nslots; i++) atomic_store(&sm_queue_slot(q, i)->item, -1);
  return sm_lock_init(&q->lock);
}

int64_t sm_queue_take(sm_queue_shm *q, int slot, uint64_t now_ns) {
  sm_queue_slot_shm *s = sm_queue_slot(q, slot);
  uint64_t w = atomic_load(&s->range);
  do {
    if (lo_of(w) >= hi_of(w) || atomic_load_explicit(&q->stop, memory_order_relaxed)) return -1;
  } while (!atomic_compare_exchange_weak(&s->range, &w, pack(seq_of(w) + 1, lo_of(w) + 1, hi_of(w))));
  int64_t item = atomic_load_explicit(&s->base, memory_order_relaxed) + (int64_t)lo_of(w);
  SM_KEEP(item < q->nitems);
  atomic_store_explicit(&s->since_ns, now_ns, memory_order_relaxed);
  atomic_store_explicit(&s->waiting_ns, 0, memory_order_relaxed);
  atomic_store_explicit(&s->item, item << 2, memory_order_release);
  return item;
}

bool sm_queue_return(sm_queue_slot_shm *s) {
  int64_t w = atomic_load_explicit(&s->item, memory_order_relaxed);
  return w >= 0 && !(w & ITEM_DOOMED) && atomic_compare_exchange_strong(&s->item, &w, w | ITEM_RETURNED);
}

void sm_queue_leave(sm_queue_slot_shm *s, int64_t unsent) {
  atomic_store_explicit(&s->unsent, unsent, memory_order_release);
  atomic_store_explicit(&s->item, -1, memory_order_release);
}

void sm_queue_pause(sm_queue_slot_shm *s) { atomic_store(&s->waiting_ns, sm_clock_ns()); }

void sm_queue_resume(sm_queue_slot_shm *s) {
  uint64_t waited = sm_clock_ns() - atomic_load(&s->waiting_ns);
  atomic_store(&s->since_ns, atomic_load(&s->since_ns) + waited);
  atomic_store(&s->waiting_ns, 0);
}

int64_t sm_queue_at(const sm_queue_slot_shm *s, bool *returned) {
  int64_t w = atomic_load(&s->item);
  if (returned) *returned = w >= 0 && w & ITEM_RETURNED;
  return w < 0 ? -1 : w >> 2;
}

int sm_queue_late(sm_queue_slot_shm *s, uint64_t limit_ns, int most_ms, int64_t *item) {
  int64_t w = atomic_load(&s->item);
  if (w < 0 || w & (ITEM_DOOMED | ITEM_RETURNED)) return most_ms;
  /* The reads stand in this order, because a wait that ends meanwhile then makes the item younger, never older. */
  uint64_t now = sm_clock_ns(), waiting = atomic_load(&s->waiting_ns), since = atomic_load(&s->since_ns);
  if (waiting) return most_ms;
  uint64_t took = now > since ? now - since : 0;
  if (took < limit_ns) {
    uint64_t left = (limit_ns - took) / 1000000u + 1;
    return left < (uint64_t)most_ms ? (int)left : most_ms;
  }
  *item = w >> 2;
  return atomic_compare_exchange_strong(&s->item, &w, w | ITEM_DOOMED) ? 0 : most_ms;
}

static void set_batch(sm_queue_slot_shm *s, int64_t lo, int64_t hi) {
  SM_KEEP(0 <= lo && lo <= hi);
  uint64_t seq = seq_of(atomic_load(&s->range));
  atomic_store(&s->range, pack(seq + 1, 0, 0)); /* hi == 0: half set, for complete_move() */
  atomic_store(&s->item, -1);
  atomic_store(&s->base, lo);
  atomic_store(&s->unsent, lo);
  atomic_store(&s->range, pack(seq + 2, 0, (uint64_t)(hi - lo)));
}

/* Under the lock, after a death: complete the move that stands in the journal. */
static void complete_move(sm_queue_shm *q) {
  int32_t slot = atomic_load(&q->move.slot);
  if (slot < 0 || slot >= q->nslots) return;
  int64_t lo = atomic_load(&q->move.lo), hi = atomic_load(&q->move.hi);
  int32_t victim = atomic_load(&q->move.victim);
  sm_queue_slot_shm *s = sm_queue_slot(q, slot);
  uint64_t w = atomic_load(&s->range);
  bool has_it = atomic_load(&s->base) == lo && hi_of(w) > 0;
  if (victim < 0) {
    if (!has_it && atomic_load(&q->next) == lo) {
      /* The dead worker had taken nothing yet, but its slot may be half set. */
      if (hi_of(w) == 0) {
        atomic_store(&s->base, lo);
        atomic_store(&s->unsent, lo);
      }
    } else {
      if (!has_it) set_batch(s, lo, hi);
      if (atomic_load(&q->next) < hi) atomic_store(&q->next, hi);
    }
  } else if (!has_it) {
    sm_queue_slot_shm *v = sm_queue_slot(q, victim);
    if (atomic_load(&v->base) + (int64_t)hi_of(atomic_load(&v->range)) == lo) set_batch(s, lo, hi);
  }
  atomic_store(&q->move.slot, -1);
}

static int lock_queue(sm_queue_shm *q, const sm_watch *watch) {
  int rc = sm_lock_lock(&q->lock, watch);
  if (rc == SM_LOCK_RECOVERED) complete_move(q);
  return rc < 0 ? rc : 0;
}

static void begin_move(sm_queue_shm *q, int slot, int victim, int64_t lo, int64_t hi) {
  atomic_store(&q->move.victim, victim);
  atomic_store(&q->move.lo, lo);
  atomic_store(&q->move.hi, hi);
  atomic_store(&q->move.slot, slot);
}

/* Under the lock: move the upper half of the largest batch of slots [from, to), or the whole of a parked one, to `slot`. */
static bool steal(sm_queue_shm *q, int slot, int from, int to) {
  for (;;) {
    int best = -1;
    uint64_t most = 0, word = 0;
    for (int i = from; i < to; i++) {
      if (i == slot) continue;
      uint64_t w = atomic_load(&sm_queue_slot(q, i)->range);
      uint64_t n = hi_of(w) > lo_of(w) ? hi_of(w) - lo_of(w) : 0;
      if (n > most) {
        best = i;
        most = n;
        word = w;
      }
    }
    if (best < 0) return false;
    sm_queue_slot_shm *v = sm_queue_slot(q, best);
    uint64_t mid = lo_of(word) + (best < q->nslots ? most / 2 : 0);
    int64_t base = atomic_load(&v->base);
    begin_move(q, slot, best, base + (int64_t)mid, base + (int64_t)hi_of(word));
    bool ok = atomic_compare_exchange_strong(&v->range, &word, pack(seq_of(word) + 1, lo_of(word), mid));
    if (ok) set_batch(sm_queue_slot(q, slot), base + (int64_t)mid, base + (int64_t)hi_of(word));
    atomic_store(&q->move.slot, -1);
    if (ok) return true;
  }
}

static void adapt(sm_pace *p, uint64_t now_ns) {
  if (p->got <= 0) {
    p->wanted = 1;
    return;
  }
  uint64_t each = (now_ns - p->began_ns) / (uint64_t)p->got + 1;
  int64_t fits = (int64_t)(BATCH_NS / each);
  int64_t most = p->got * 4;
  p->wanted = fits < most ? fits : most;
  if (p->wanted < 1) p->wanted = 1;
  if (p->wanted > SM_BATCH_MAX) p->wanted = SM_BATCH_MAX;
}

int sm_queue_refill(sm_queue_shm *q, int slot, sm_pace *pace, uint64_t now_ns, const sm_watch *watch) {
  adapt(pace, now_ns);
  int rc = lock_queue(q, watch);
  if (rc < 0) return rc;
  bool found = false;
  int64_t lo = atomic_load(&q->next), left = q->nitems - lo;
  if (atomic_load(&q->stop)) {
    /* nothing more starts */
  } else if (atomic_load(&q->parked) && steal(q, slot, q->nslots, 2 * q->nslots)) {
    found = true;
  } else if (left > 0) {
    int64_t n = atomic_load(&q->single) ? 1 : pace->wanted, share = left / (2 * q->nslots);
    if (n > share) n = share > 0 ? share : 1;
    begin_move(q, slot, -1, lo, lo + n);
    set_batch(sm_queue_slot(q, slot), lo, lo + n);
    atomic_store(&q->next, lo + n);
    atomic_store(&q->move.slot, -1);
    found = true;
  } else {
    found = steal(q, slot, 0, q->nslots);
  }
  sm_lock_unlock(&q->lock);
  uint64_t w = atomic_load(&sm_queue_slot(q, slot)->range);
  pace->got = found ? (int64_t)(hi_of(w) - lo_of(w)) : 0;
  pace->began_ns = now_ns;
  return found;
}

void sm_queue_stop(sm_queue_shm *q) { atomic_store(&q->stop, 1); }

int sm_queue_inspect(sm_queue_shm *q, int slot, int64_t *first, int64_t *hi, int64_t *running) {
  int rc = lock_queue(q, NULL);
  if (rc < 0) return rc;
  sm_queue_slot_shm *s = sm_queue_slot(q, slot);
  uint64_t w = atomic_load(&s->range);
  int64_t base = atomic_load(&s->base);
  *first = atomic_load(&s->unsent);
  *hi = base + (int64_t)hi_of(w);
  *running = sm_queue_at(s, NULL);
  SM_KEEP(*first <= *hi && *running < *hi);
  if (*running < *first) *running = -1; /* the worker was killed between the two stores of sm_queue_leave() */
  /* No other worker steals from an empty range, until the owner assigns it again. */
  atomic_store(&s->range, pack(seq_of(w) + 1, hi_of(w), hi_of(w)));
  sm_lock_unlock(&q->lock);
  return 0;
}

int sm_queue_assign(sm_queue_shm *q, int slot, int64_t first, int64_t hi, int64_t then, int64_t end) {
  int rc = lock_queue(q, NULL);
  if (rc < 0) return rc;
  int place = -1;
  for (int i = q->nslots; i < 2 * q->nslots && place < 0; i++) {
    uint64_t w = atomic_load(&sm_queue_slot(q, i)->range);
    if (lo_of(w) >= hi_of(w)) place = i;
  }
  if (then < end && place < 0) {
    rc = SM_EAGAIN;
  } else {
    set_batch(sm_queue_slot(q, slot), first, hi);
    if (then < end) {
      set_batch(sm_queue_slot(q, place), then, end);
      atomic_store(&q->parked, 1);
    }
  }
  sm_lock_unlock(&q->lock);
  return rc;
}

int64_t sm_queue_left(sm_queue_shm *q) {
  int64_t n = q->nitems - atomic_load(&q->next);
  for (int i = 0; i < 2 * q->nslots; i++) {
    uint64_t w = atomic_load(&sm_queue_slot(q, i)->range);
    if (hi_of(w) > lo_of(w)) n += (int64_t)(hi_of(w) - lo_of(w));
  }
  return n;
}
