/* chan_ring.c: see chan_ring.h. */
#include "chan_ring.h"

size_t sm_ring_nbytes(uint64_t capacity) { return sizeof(sm_ring_shm) + (size_t)capacity; }

void sm_ring_open(sm_ring *r, void *mem, uint64_t capacity) {
  memset(r, 0, sizeof *r);
  r->shm = mem;
  r->data = (uint8_t *)mem + sizeof(sm_ring_shm);
  r->capacity = capacity;
}

static void copy_in(sm_ring *r, uint64_t at, const void *p, size_t n) {
  uint64_t off = at & (r->capacity - 1), until = r->capacity - off;
  size_t first = n < until ? n : (size_t)until;
  memcpy(r->data + off, p, first);
  if (n > first) memcpy(r->data, (const uint8_t *)p + first, n - first);
}

static void copy_out(const sm_ring *r, uint64_t at, void *p, size_t n) {
  uint64_t off = at & (r->capacity - 1), until = r->capacity - off;
  size_t first = n < until ? n : (size_t)until;
  memcpy(p, r->data + off, first);
  if (n > first) memcpy((uint8_t *)p + first, r->data, n - first);
}

static uint64_t padded(uint64_t n) { return (n + 7) & ~UINT64_C(7); }

void sm_ring_begin(sm_ring *r) {
  r->start = atomic_load_explicit(&r->shm->head, memory_order_relaxed);
  r->pos = r->start + sizeof(sm_frame);
  r->room_to = atomic_load(&r->shm->tail) + r->capacity;
}

int sm_ring_put(sm_ring *r, const void *p, size_t n) {
  if (r->pos + n > r->start + r->capacity / 2) return SM_ERANGE;
  if (padded(r->pos + n) > r->room_to) {
    r->room_to = atomic_load(&r->shm->tail) + r->capacity;
    if (padded(r->pos + n) > r->room_to) return SM_EAGAIN;
  }
  copy_in(r, r->pos, p, n);
  r->pos += n;
  return 0;
}

int sm_ring_wait(sm_ring *r, const sm_watch *watch) {
  uint32_t seen = atomic_load(&r->shm->freed);
  int rc = sm_watch_look(watch);
  if (rc < 0) return rc;
  atomic_store(&r->shm->waiting, 1);
  if (atomic_load(&r->shm->tail) + r->capacity == r->room_to) sm_futex_wait(&r->shm->freed, seen, SM_SLICE_MS);
  atomic_store(&r->shm->waiting, 0);
  return 0;
}

int sm_ring_wait_released(sm_ring *r, uint64_t upto, uint32_t timeout_ms, const sm_watch *watch) {
  uint64_t until = sm_clock_ns() + (uint64_t)timeout_ms * 1000000u;
  for (;;) {
    uint32_t seen = atomic_load(&r->shm->freed);
    if (atomic_load(&r->shm->tail) >= upto) return 0;
    int rc = sm_watch_look(watch);
    if (rc < 0) return rc;
    uint64_t now = sm_clock_ns();
    if (now >= until) return SM_EAGAIN;
    uint64_t left = (until - now) / 1000000u + 1;
    atomic_store(&r->shm->waiting, 1);
    if (atomic_load(&r->shm->tail) < upto) sm_futex_wait(&r->shm->freed, seen, left < SM_SLICE_MS ? (uint32_t)left : SM_SLICE_MS);
    atomic_store(&r->shm->waiting, 0);
  }
}

void sm_ring_offer_open(sm_ring *r, uint64_t at) { atomic_store(&r->shm->offer, at | SM_OFFER_OPEN); }

bool sm_ring_offer_move(sm_ring *r, uint64_t at, sm_ring_offer from, sm_ring_offer to) {
  uint64_t expected = at | from;
  return atomic_compare_exchange_strong(&r->shm->offer, &expected, at | to);
}

int sm_ring_commit(sm_ring *r, uint32_t type, uint32_t flags, int64_t first, int64_t count) {
  sm_frame f = {type, flags, r->pos - r->start - sizeof f, first, count};
  uint64_t end = padded(r->pos);
  if (end > r->room_to) {
    r->room_to = atomic_load(&r->shm->tail) + r->capacity;
    if (end > r->room_to) return SM_EAGAIN;
  }
  copy_in(r, r->start, &f, sizeof f);
  atomic_store(&r->shm->head, end);
  return 0;
}

void sm_ring_close(sm_ring *r) { atomic_store(&r->shm->closed, 1); }

bool sm_ring_closed(const sm_ring *r) { return atomic_load(&r->shm->closed) != 0; }

size_t sm_ring_written(const sm_ring *r) { return (size_t)(r->pos - r->start - sizeof(sm_frame)); }

void sm_ring_copy_written(const sm_ring *r, uint64_t from, void *p, size_t n) { copy_out(r, r->start + sizeof(sm_frame) + from, p, n); }

int sm_ring_peek(sm_ring *r, sm_frame *f) {
  uint64_t tail = atomic_load_explicit(&r->shm->tail, memory_order_relaxed);
  uint64_t used = atomic_load(&r->shm->head) - tail;
  if (used == 0) return 0;
  if (used > r->capacity || used < sizeof *f) return SM_EFORMAT;
  copy_out(r, tail, f, sizeof *f);
  if (f->nbytes > r->capacity || padded(f->nbytes + sizeof *f) > used) return SM_EFORMAT;
  return 1;
}

int sm_ring_get(const sm_ring *r, const sm_frame *f, uint64_t from, void *p, size_t n) {
  if (from > f->nbytes || n > f->nbytes - from) return SM_ESHORT;
  copy_out(r, atomic_load_explicit(&r->shm->tail, memory_order_relaxed) + sizeof *f + from, p, n);
  return 0;
}

const uint8_t *sm_ring_contiguous(const sm_ring *r, const sm_frame *f) {
  uint64_t at = atomic_load_explicit(&r->shm->tail, memory_order_relaxed) + sizeof *f, off = at & (r->capacity - 1);
  return f->nbytes <= r->capacity - off ? r->data + off : NULL;
}

void sm_ring_release(sm_ring *r, const sm_frame *f) {
  atomic_fetch_add(&r->shm->tail, padded(f->nbytes + sizeof *f));
  if (atomic_load(&r->shm->waiting)) {
    atomic_fetch_add(&r->shm->freed, 1);
    sm_futex_wake(&r->shm->freed, 1);
  }
}
