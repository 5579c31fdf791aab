/* chan_ring.h: a single-producer single-consumer ring of frames in shared memory.
 *
 * Layout   sm_ring_shm | uint8_t data[capacity], capacity a power of two
 * Frame    sm_frame (32 bytes) | payload | padding to 8; may wrap around the end of data
 * head     bytes ever published; only the writer moves it, and only over complete frames: a writer
 *          that dies in the middle of a frame leaves nothing of it
 * tail     bytes ever consumed; only the reader moves it
 * The reader trusts nothing: head, tail and each frame are checked against the capacity (SM_EFORMAT).
 */
#ifndef CHAN_RING_H
#define CHAN_RING_H

#include <string.h>

#include "sync_futex.h"

typedef struct {
  uint32_t type;   /*  0 the glue's */
  uint32_t flags;  /*  4 the glue's */
  uint64_t nbytes; /*  8 payload */
  int64_t first;   /* 16 first item */
  int64_t count;   /* 24 items */
} sm_frame;

typedef struct {
  _Atomic uint64_t head;
  _Atomic uint32_t closed; /* the writer publishes nothing more */
  uint8_t pad1[SM_CACHELINE - 12];
  _Atomic uint64_t tail;
  _Atomic uint32_t freed;   /* futex: changes when the reader frees space while the writer waits */
  _Atomic uint32_t waiting; /* the writer sleeps */
  _Atomic uint64_t offer;   /* the position of a frame that points into its writer's memory (a multiple of 8), and its sm_ring_offer */
  uint8_t pad2[SM_CACHELINE - 24];
} sm_ring_shm;

/* A frame may point into the writer's memory; its writer then waits until the frame is released. Until the reader takes the offer the
 * writer may withdraw it, and the reader then passes the frame over. */
typedef enum {
  SM_OFFER_NONE = 0,
  SM_OFFER_OPEN,      /* writer, before the frame is published */
  SM_OFFER_TAKEN,     /* reader, from OPEN: it reads now */
  SM_OFFER_WITHDRAWN, /* writer, from OPEN */
  SM_OFFER_DENIED     /* reader, from TAKEN: it may not read there */
} sm_ring_offer;

_Static_assert(sizeof(sm_frame) == 32, "sm_frame layout");
_Static_assert(sizeof(sm_ring_shm) == 2 * SM_CACHELINE, "sm_ring_shm layout");

/* One side of a ring, process-local. */
typedef struct {
  sm_ring_shm *shm;
  uint8_t *data;
  uint64_t capacity;
  uint64_t pos;     /* writer: end of the frame being written; unused by the reader */
  uint64_t start;   /* writer: where that frame's header will stand */
  uint64_t room_to; /* writer: pos may go up to here */
} sm_ring;

/* capacity: a power of two >= 4096. The memory must be zero-filled. */
size_t sm_ring_nbytes(uint64_t capacity);
void sm_ring_open(sm_ring *r, void *mem, uint64_t capacity);

/* Writer. begin: start a frame, dropping an unfinished one. put: append; SM_ERANGE when the frame would
 * pass half the capacity (nothing appended), SM_EAGAIN when there is no room yet (nothing appended).
 * wait: sleep until the reader freed something; SM_EFAILED, SM_EINTR as the watch says. commit: publish. */
void sm_ring_begin(sm_ring *r);
int sm_ring_put(sm_ring *r, const void *p, size_t n);
int sm_ring_wait(sm_ring *r, const sm_watch *watch);
int sm_ring_commit(sm_ring *r, uint32_t type, uint32_t flags, int64_t first, int64_t count);
/* close: the writer publishes nothing more. closed: has the writer said so? A reader that asks before a peek which then finds nothing
 * has read everything. */
void sm_ring_close(sm_ring *r);
bool sm_ring_closed(const sm_ring *r);
/* Wait until the reader has released all before `upto`: 0, SM_EAGAIN after timeout_ms, or as the watch says. */
int sm_ring_wait_released(sm_ring *r, uint64_t upto, uint32_t timeout_ms, const sm_watch *watch);
/* An offer for the frame that stands at `at`, and one step of it; false if it is not in that state (any more). */
void sm_ring_offer_open(sm_ring *r, uint64_t at);
bool sm_ring_offer_move(sm_ring *r, uint64_t at, sm_ring_offer from, sm_ring_offer to);
/* Bytes of payload in the unfinished frame, and a copy of them. */
size_t sm_ring_written(const sm_ring *r);
void sm_ring_copy_written(const sm_ring *r, uint64_t from, void *p, size_t n);

/* put of a few bytes that do not wrap around and certainly have room; false where sm_ring_put() has to decide. */
static inline bool sm_ring_put_fast(sm_ring *r, const void *p, size_t n) {
  uint64_t off = r->pos & (r->capacity - 1), end = r->pos + n;
  if (n > r->capacity - off || end > r->start + r->capacity / 2 || end + 8 > r->room_to) return false;
  memcpy(r->data + off, p, n);
  r->pos = end;
  return true;
}

/* Reader. peek: 1 and the oldest frame's header, 0 when empty, SM_EFORMAT. get: copy payload bytes
 * [from, from + n) of the frame peeked at. release: done with it. */
int sm_ring_peek(sm_ring *r, sm_frame *f);
int sm_ring_get(const sm_ring *r, const sm_frame *f, uint64_t from, void *p, size_t n);
void sm_ring_release(sm_ring *r, const sm_frame *f);
/* The payload of the frame peeked at, if it does not wrap around; else NULL. */
const uint8_t *sm_ring_contiguous(const sm_ring *r, const sm_frame *f);

#endif
