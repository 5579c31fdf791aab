/* chan_ring: a reader of a ring whose memory holds anything, and a writer and a reader that take turns, beside a plain queue. */
#include "../../src/chan_ring.h"

#include "fuzz.h"

#define CAPACITY 4096

/* All of the ring, head and tail too, is the input's; between two frames the writer may write anything again. */
static void hostile_writer(fuzz_in *in) {
  size_t n = sm_ring_nbytes(CAPACITY);
  uint8_t *mem = exactly(n), block[64];
  sm_ring r;
  sm_frame f;
  memset(mem, 0, n);
  sm_ring_open(&r, mem, CAPACITY);
  uint64_t tail = take_u64(in);
  atomic_store(&r.shm->tail, tail);
  atomic_store(&r.shm->head, tail + (take_u8(in) & 1 ? take_below(in, CAPACITY + 64) : take_u64(in)));
  for (uint64_t at = 0; at < CAPACITY && in->left; at += 8) {
    uint64_t v = in->left > 8 && take_u8(in) & 1 ? take_u64(in) : take_u8(in);
    memcpy(r.data + ((tail + at) & (CAPACITY - 8)), &v, 8);
  }
  for (int k = 0; k < 200; k++) {
    int rc = sm_ring_peek(&r, &f);
    if (rc <= 0) {
      CHECK(rc == 0 || rc == SM_EFORMAT, "a reader gives one of its codes");
      break;
    }
    CHECK(f.nbytes <= CAPACITY - sizeof f, "a frame that is believed lies in the ring");
    uint8_t *to = exactly((size_t)f.nbytes);
    CHECK(sm_ring_get(&r, &f, 0, to, (size_t)f.nbytes) == 0, "all of its payload can be had");
    const uint8_t *whole = sm_ring_contiguous(&r, &f);
    if (whole) CHECK(memcmp(whole, to, (size_t)f.nbytes) == 0, "in one piece it is the same");
    CHECK(sm_ring_get(&r, &f, f.nbytes, block, 1) == SM_ESHORT, "there is nothing behind it");
    CHECK(sm_ring_get(&r, &f, UINT64_MAX, block, 2) == SM_ESHORT, "an offset that wraps around is refused");
    free(to);
    uint64_t before = atomic_load(&r.shm->tail);
    sm_ring_release(&r, &f);
    CHECK(atomic_load(&r.shm->tail) > before || atomic_load(&r.shm->tail) <= CAPACITY, "the reader goes on");
  }
  free(mem);
}

typedef struct {
  uint32_t type;
  uint64_t nbytes;
  uint8_t first;
} sent;

/* The bytes of a frame follow from its first one. */
static void put_frame(sm_ring *w, fuzz_in *in, sent *queue, int *count) {
  sent s = {take_u8(in), 0, take_u8(in)};
  sm_ring_begin(w);
  for (int pieces = (int)take_below(in, 6); pieces > 0; pieces--) {
    uint8_t piece[3000];
    size_t n = (size_t)(take_u8(in) & 1 ? take_u8(in) : take_below(in, sizeof piece));
    for (size_t i = 0; i < n; i++) piece[i] = (uint8_t)(s.first + s.nbytes + i);
    int rc = n < 200 && sm_ring_put_fast(w, piece, n) ? 0 : sm_ring_put(w, piece, n);
    CHECK(rc == 0 || rc == SM_EAGAIN || (rc == SM_ERANGE && s.nbytes + n + sizeof(sm_frame) > CAPACITY / 2),
          "a writer gives one of its codes");
    if (rc == 0) s.nbytes += n;
  }
  CHECK(sm_ring_written(w) == s.nbytes, "what was appended is counted");
  uint8_t *copy = exactly((size_t)s.nbytes);
  sm_ring_copy_written(w, 0, copy, (size_t)s.nbytes);
  for (uint64_t i = 0; i < s.nbytes; i++) CHECK(copy[i] == (uint8_t)(s.first + i), "what was appended can be copied");
  free(copy);
  if (take_u8(in) < 230 && sm_ring_commit(w, s.type, 5, (int64_t)s.nbytes, s.first) == 0) queue[(*count)++] = s;
}

static void get_frame(sm_ring *r, const sent *s) {
  sm_frame f;
  int rc = sm_ring_peek(r, &f);
  CHECK(rc == (s != NULL), "a frame is there if one was sent");
  if (!s) return;
  CHECK(f.type == s->type && f.flags == 5 && f.nbytes == s->nbytes && f.first == (int64_t)s->nbytes && f.count == s->first,
        "frames come whole and in order");
  uint8_t *to = exactly((size_t)f.nbytes);
  sm_ring_get(r, &f, 0, to, (size_t)f.nbytes);
  for (uint64_t i = 0; i < f.nbytes; i++) CHECK(to[i] == (uint8_t)(s->first + i), "with the bytes that were sent");
  free(to);
  sm_ring_release(r, &f);
}

static void take_turns(fuzz_in *in) {
  enum { MOST = 300 };
  size_t n = sm_ring_nbytes(CAPACITY);
  uint8_t *mem = exactly(n);
  sm_ring w, r;
  sent queue[MOST];
  int count = 0, got = 0;
  memset(mem, 0, n);
  sm_ring_open(&w, mem, CAPACITY);
  sm_ring_open(&r, mem, CAPACITY);
  uint64_t begin = take_u64(in) >> 1 & ~UINT64_C(7);
  atomic_store(&w.shm->tail, begin);
  atomic_store(&w.shm->head, begin);
  while (in->left && count < MOST) {
    if (take_u8(in) % 3 < 2) put_frame(&w, in, queue, &count);
    else {
      get_frame(&r, got < count ? &queue[got] : NULL);
      if (got < count) got++;
    }
  }
  while (got < count) get_frame(&r, &queue[got++]);
  get_frame(&r, NULL);
  free(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_in in = {data, size};
  if (take_u8(&in) & 1) hostile_writer(&in);
  else take_turns(&in);
  return 0;
}
