/* chan_ring: frames arrive whole, in order, or not at all. */
#include "../../src/chan_ring.h"

#include <stdatomic.h>

#include "check.h"

enum { CAPACITY = 4096 };

typedef struct {
  _Atomic uint32_t failed;
  _Atomic int full;
  uint64_t capacity;
  int frames;
  int slow;
} ring_case;

static uint8_t byte_of(uint64_t frame, uint64_t at) { return (uint8_t)(frame * 131 + at * 7 + (at >> 8)); }
static size_t size_of(uint64_t frame) { return (size_t)(frame * 2654435761u >> 7) % (CAPACITY / 2 - sizeof(sm_frame) + 1); }

static void *new_ring(uint64_t capacity) { return shared_memory(sm_ring_nbytes(capacity)); }

static int put_frame(sm_ring *r, uint64_t k, size_t n, const sm_watch *w) {
  uint8_t block[97];
  sm_ring_begin(r);
  for (size_t at = 0; at < n;) {
    size_t m = n - at < sizeof block ? n - at : sizeof block;
    for (size_t i = 0; i < m; i++) block[i] = byte_of(k, at + i);
    int rc = sm_ring_put(r, block, m);
    if (rc == SM_EAGAIN && w) {
      rc = sm_ring_wait(r, w);
      if (rc < 0) return rc;
      continue;
    }
    if (rc < 0) return rc;
    at += m;
  }
  int rc;
  while ((rc = sm_ring_commit(r, (uint32_t)k, 3, (int64_t)k, (int64_t)n)) == SM_EAGAIN && w) {
    rc = sm_ring_wait(r, w);
    if (rc < 0) return rc;
  }
  return rc;
}

/* 1: the frame is there and as it was written. */
static int take_frame(sm_ring *r, uint64_t k, size_t n) {
  sm_frame f;
  if (sm_ring_peek(r, &f) != 1) return 0;
  int ok = f.type == (uint32_t)k && f.flags == 3 && f.first == (int64_t)k && f.count == (int64_t)n && f.nbytes == n;
  uint8_t block[61];
  for (size_t at = 0; ok && at < n; at += sizeof block) {
    size_t m = n - at < sizeof block ? n - at : sizeof block;
    ok = sm_ring_get(r, &f, at, block, m) == 0;
    for (size_t i = 0; ok && i < m; i++) ok = block[i] == byte_of(k, at + i);
  }
  sm_ring_release(r, &f);
  return ok;
}

static void sizes_and_wrap(void) {
  sm_ring w, r;
  void *mem = new_ring(CAPACITY);
  sm_ring_open(&w, mem, CAPACITY);
  sm_ring_open(&r, mem, CAPACITY);
  sm_frame f;
  check(sm_ring_peek(&r, &f) == 0, "a new ring is empty");
  int ok = 1;
  for (size_t n = 0; n <= CAPACITY / 2 - sizeof(sm_frame); n++) ok &= put_frame(&w, n, n, NULL) == 0 && take_frame(&r, n, n);
  check(ok, "frames of every size up to half the ring come through, wherever they wrap");
  check(sm_ring_peek(&r, &f) == 0, "and then it is empty");
  check(put_frame(&w, 1, CAPACITY / 2 - sizeof(sm_frame) + 1, NULL) == SM_ERANGE, "a larger one is refused");
  check(sm_ring_peek(&r, &f) == 0, "and nothing of it is seen");
  check(put_frame(&w, 2, 100, NULL) == 0 && take_frame(&r, 2, 100), "the next one is not touched by that");
}

static void full(void) {
  sm_ring w, r;
  void *mem = new_ring(CAPACITY);
  sm_ring_open(&w, mem, CAPACITY);
  sm_ring_open(&r, mem, CAPACITY);
  uint64_t in = 0, out = 0;
  while (put_frame(&w, in, 0, NULL) == 0) in++;
  check(in == CAPACITY / sizeof(sm_frame), "a ring holds as many empty frames as fit");
  check(put_frame(&w, in, 0, NULL) == SM_EAGAIN, "then it is full");
  check(take_frame(&r, out++, 0) && put_frame(&w, in, 0, NULL) == 0, "a frame released is room for one");
  in++;
  int ok = 1;
  while (out < in) ok &= take_frame(&r, out++, 0);
  check(ok, "all of them come through in order");

  for (in = 0; put_frame(&w, in, 1000, NULL) == 0; in++) {}
  check(in == 3, "larger frames fill it too");
  check(sm_ring_put(&w, "x", 1) == 0 || sm_ring_put(&w, "x", 1) == SM_EAGAIN, "a frame that has no room can be tried again");
  for (out = 0; out < in; out++) ok &= take_frame(&r, out, 1000);
  check(ok, "what was in it is whole");
}

static void unfinished(void) {
  sm_ring w, r;
  void *mem = new_ring(CAPACITY);
  sm_ring_open(&w, mem, CAPACITY);
  sm_ring_open(&r, mem, CAPACITY);
  char text[1000], back[1000];
  for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 3);
  for (int i = 0; i < 7; i++) { /* so that it wraps */
    put_frame(&w, 1, 500, NULL);
    take_frame(&r, 1, 500);
  }
  sm_ring_begin(&w);
  sm_ring_put(&w, text, sizeof text);
  check(sm_ring_written(&w) == sizeof text, "the writer knows what it has written");
  sm_ring_copy_written(&w, 0, back, sizeof back);
  check(memcmp(text, back, sizeof text) == 0, "and can have it back, also where it wraps");
  sm_frame f;
  check(sm_ring_peek(&r, &f) == 0, "an unfinished frame is not seen");
  check(put_frame(&w, 9, 10, NULL) == 0 && take_frame(&r, 9, 10), "and dropped by the next one");
  put_frame(&w, 4, 64, NULL);
  sm_ring_peek(&r, &f);
  check(sm_ring_get(&r, &f, 0, back, 65) == SM_ESHORT && sm_ring_get(&r, &f, 65, back, 0) == SM_ESHORT &&
            sm_ring_get(&r, &f, UINT64_MAX, back, 2) == SM_ESHORT && sm_ring_get(&r, &f, 64, back, 0) == 0,
        "nothing is read past a frame's end");
}

static void die_in_frame(void *mem, int n) {
  sm_ring w;
  sm_ring_open(&w, mem, CAPACITY);
  for (int i = 0; i < n; i++) put_frame(&w, (uint64_t)i, 700, NULL);
  sm_ring_begin(&w);
  char block[900] = {1};
  sm_ring_put(&w, block, sizeof block);
  raise(SIGKILL);
}

static void writer_killed(void) {
  for (int n = 0; n <= 3; n++) {
    sm_ring r, w;
    sm_frame f;
    void *mem = new_ring(CAPACITY);
    end_of(start_child(die_in_frame, mem, n));
    sm_ring_open(&r, mem, CAPACITY);
    int ok = 1;
    for (int i = 0; i < n; i++) ok &= take_frame(&r, (uint64_t)i, 700);
    check(ok && sm_ring_peek(&r, &f) == 0, "of a writer killed in mid-frame the whole frames are there and nothing else");
    sm_ring_open(&w, mem, CAPACITY);
    check(put_frame(&w, 50, 1500, NULL) == 0 && take_frame(&r, 50, 1500), "and its successor goes on where it was");
  }
}

static void malformed(void) {
  sm_ring r, w;
  sm_frame f;
  void *mem = new_ring(CAPACITY);
  sm_ring_open(&w, mem, CAPACITY);
  sm_ring_open(&r, mem, CAPACITY);
  sm_ring_shm *shm = mem;
  uint64_t bad_heads[] = {1, 8, 31, CAPACITY + 1, CAPACITY + 8, UINT64_MAX, UINT64_C(1) << 63};
  int ok = 1;
  for (size_t i = 0; i < sizeof bad_heads / sizeof *bad_heads; i++) {
    atomic_store(&shm->head, bad_heads[i]);
    ok &= sm_ring_peek(&r, &f) == SM_EFORMAT;
  }
  check(ok, "a head that cannot be is found out");
  atomic_store(&shm->head, 0);
  atomic_store(&shm->tail, 64);
  check(sm_ring_peek(&r, &f) == SM_EFORMAT, "a tail beyond the head is found out");
  atomic_store(&shm->tail, 0);

  uint64_t sizes[] = {65, CAPACITY - 31, CAPACITY, CAPACITY + 1, UINT64_MAX, UINT64_MAX - 31, UINT64_MAX - 40, UINT64_C(1) << 63};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    atomic_store(&shm->head, 0);
    atomic_store(&shm->tail, 0);
    put_frame(&w, 1, 64, NULL);
    sm_frame lie = {1, 0, sizes[i], 0, 1};
    memcpy((uint8_t *)mem + sizeof(sm_ring_shm), &lie, sizeof lie);
    ok &= sm_ring_peek(&r, &f) == SM_EFORMAT;
  }
  check(ok, "a frame that claims more than was published is found out");

  /* any bytes: an answer, and never a step outside */
  uint64_t x = 88172645463325252u;
  for (int i = 0; i < 200000; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    if (i % 3 == 0) atomic_store(&shm->head, x % (3 * CAPACITY));
    if (i % 3 == 1) atomic_store(&shm->tail, x % (3 * CAPACITY));
    if (i % 3 == 2) memcpy((uint8_t *)mem + sizeof(sm_ring_shm) + x % (CAPACITY - 8), &x, 8);
    int rc = sm_ring_peek(&r, &f);
    ok &= rc == 0 || rc == 1 || rc == SM_EFORMAT;
    if (rc == 1) {
      uint8_t block[CAPACITY];
      ok &= f.nbytes <= CAPACITY && sm_ring_get(&r, &f, 0, block, (size_t)f.nbytes) == 0;
    }
  }
  check(ok, "random bytes give an answer within the ring's bounds");
}

typedef struct {
  ring_case *c;
  void *mem;
} side;

static void either_side(void *arg, int rank) {
  side *s = arg;
  sm_ring r;
  sm_ring_open(&r, s->mem, s->c->capacity);
  sm_watch w = {&s->c->failed, NULL, NULL};
  for (uint64_t k = 0; k < (uint64_t)s->c->frames; k++) {
    if (rank == 0) {
      if (put_frame(&r, k, size_of(k), &w) < 0) return;
      continue;
    }
    sm_frame f;
    while (sm_ring_peek(&r, &f) == 0) sm_spin_pause();
    if (s->c->slow && k % 100 == 0) pause_ms(1);
    if (!take_frame(&r, k, size_of(k))) {
      atomic_store(&s->c->failed, 1);
      return;
    }
  }
}

static void two_sides(int threads, int slow) {
  side s = {shared_memory(sizeof(ring_case)), new_ring(CAPACITY)};
  s.c->capacity = CAPACITY;
  s.c->frames = 20000;
  s.c->slow = slow;
  check(run_group(2, threads, either_side, &s) == 0 && !atomic_load(&s.c->failed),
        "a writer and a reader at the same time: every frame arrives as it was written");
}

static int ask(void *arg) { return ++*(int *)arg >= 2; }

static void watched(void) {
  sm_ring w;
  sm_ring_open(&w, new_ring(CAPACITY), CAPACITY);
  while (put_frame(&w, 0, 0, NULL) == 0) {}
  int asked = 0;
  sm_watch watch = {NULL, ask, &asked};
  check(put_frame(&w, 0, 0, &watch) == SM_EINTR, "a writer that waits for room leaves when its interrupt check says so");
  _Atomic uint32_t flag;
  atomic_init(&flag, 1);
  watch = (sm_watch){&flag, NULL, NULL};
  check(put_frame(&w, 0, 10, &watch) == SM_EFAILED, "and when the group has failed");
}

int main(void) {
  sizes_and_wrap();
  full();
  unfinished();
  writer_killed();
  malformed();
  two_sides(0, 0);
  two_sides(0, 1);
  two_sides(1, 0);
  watched();
  return report();
}
