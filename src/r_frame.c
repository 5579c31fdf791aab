/* r_frame.c: see r_frame.h.
 *
 * Ownership: a spill belongs to the writer until its descriptor is sent; a received descriptor belongs to
 * the channel until r_frame_read() has mapped it. R errors inside the stream callbacks leave both in the
 * channel, where r_channel_close() finds them.
 */
#include "r_frame.h"

#include <string.h>
#include <unistd.h>

#include "r_util.h"

void r_channel_open(r_channel *c, void *ring_memory, uint64_t capacity) {
  memset(c, 0, sizeof *c);
  sm_ring_open(&c->ring, ring_memory, capacity);
  c->sock = -1;
  c->spill.fd = -1;
}

void r_channel_close(r_channel *c) {
  sm_spill_close(&c->spill);
  for (int i = 0; i < c->nfds; i++) close(c->fds[i]);
  c->nfds = 0;
}

/* ---- writing ---- */

typedef struct {
  r_channel *c;
  const sm_watch *watch;
} out_state;

static void wake_master(r_channel *c) {
  if (c->sleeping && atomic_load(c->sleeping) && atomic_exchange(c->sleeping, 0)) sm_socket_wake(c->sock);
}

static void start_spill(out_state *o) {
  r_channel *c = o->c;
  /* at most one file unread per worker: memory stays bounded */
  while (atomic_load(&c->ring.shm->tail) < c->spill_end) {
    wake_master(c);
    int rc = sm_ring_wait(&c->ring, o->watch);
    if (rc < 0) r_abort("sharedmem_channel_error", "result channel: %s", sm_error_text(rc));
    c->ring.room_to = atomic_load(&c->ring.shm->tail) + c->ring.capacity;
  }
  int rc = sm_spill_open(&c->spill);
  uint8_t block[4096];
  size_t have = sm_ring_written(&c->ring);
  for (size_t at = 0; rc == 0 && at < have; at += sizeof block) {
    size_t n = have - at < sizeof block ? have - at : sizeof block;
    sm_ring_copy_written(&c->ring, at, block, n);
    rc = sm_spill_write(&c->spill, block, n);
  }
  if (rc < 0) r_abort("sharedmem_memory_error", "cannot open a file for a large result: %s", sm_error_text(rc));
}

static void out_bytes(R_outpstream_t st, void *buf, int n) {
  out_state *o = (out_state *)st->data;
  r_channel *c = o->c;
  if (c->spill.fd < 0) {
    int rc;
    while ((rc = sm_ring_put(&c->ring, buf, (size_t)n)) == SM_EAGAIN) {
      wake_master(c);
      rc = sm_ring_wait(&c->ring, o->watch);
      if (rc < 0) r_abort("sharedmem_channel_error", "result channel: %s", sm_error_text(rc));
    }
    if (rc == 0) return;
    start_spill(o);
  }
  int rc = sm_spill_write(&c->spill, buf, (size_t)n);
  if (rc < 0)
    r_abort("sharedmem_memory_error", "no room for a result of more than %.0f bytes: %s", (double)c->spill.nbytes,
            sm_error_text(rc));
}

static void out_char(R_outpstream_t st, int ch) {
  char b = (char)ch;
  out_bytes(st, &b, 1);
}

static int send_spill(out_state *o) {
  r_channel *c = o->c;
  uint64_t size = c->spill.nbytes;
  int rc = sm_spill_finish(&c->spill);
  if (rc < 0) r_abort("sharedmem_memory_error", "no room for a result of %.0f bytes: %s", (double)size, sm_error_text(rc));
  rc = sm_socket_send_fd(c->sock, c->spill.fd, o->watch);
  sm_spill_close(&c->spill);
  if (rc < 0) return rc;
  sm_ring_begin(&c->ring);
  while ((rc = sm_ring_put(&c->ring, &size, sizeof size)) == SM_EAGAIN) {
    wake_master(c);
    rc = sm_ring_wait(&c->ring, o->watch);
    if (rc < 0) return rc;
  }
  return rc;
}

int r_frame_send(r_channel *c, uint32_t type, SEXP value, int64_t first, int64_t count, const sm_watch *watch) {
  out_state o = {c, watch};
  sm_spill_close(&c->spill);
  sm_ring_begin(&c->ring);
  if (value != R_NilValue) {
    struct R_outpstream_st st;
    R_InitOutPStream(&st, (R_pstream_data_t)&o, R_pstream_binary_format, 3, out_char, out_bytes, NULL, R_NilValue);
    R_Serialize(value, &st);
  }
  uint32_t flags = 0;
  int rc;
  if (c->spill.fd >= 0) {
    rc = send_spill(&o);
    if (rc < 0) return rc;
    flags = SM_FRAME_SPILLED;
  }
  while ((rc = sm_ring_commit(&c->ring, type, flags, first, count)) == SM_EAGAIN) {
    wake_master(c);
    rc = sm_ring_wait(&c->ring, watch);
    if (rc < 0) return rc;
  }
  if (flags & SM_FRAME_SPILLED) c->spill_end = atomic_load(&c->ring.shm->head);
  wake_master(c);
  return rc;
}

/* ---- reading ---- */

int r_channel_drain_socket(r_channel *c) {
  int fd, got = 0;
  while (!c->eof && c->nfds < (int)(sizeof c->fds / sizeof c->fds[0]) && (got = sm_socket_recv(c->sock, &fd)) > 0)
    if (fd >= 0) c->fds[c->nfds++] = fd;
  if (got < 0) c->eof = true;
  return c->eof ? SM_EGONE : 0;
}

typedef struct {
  r_channel *c;
  const sm_frame *f;
  const uint8_t *mapped; /* spilled payload, or NULL */
  uint64_t nbytes, at;
  uint64_t checked;      /* bytes since the last look for an interrupt */
} in_state;

#define INTERRUPT_BYTES (UINT64_C(32) << 20)

static void in_bytes(R_inpstream_t st, void *buf, int n) {
  in_state *in = (in_state *)st->data;
  if ((uint64_t)n > in->nbytes - in->at) r_abort("sharedmem_channel_error", "a worker's result ends too early");
  if (in->mapped)
    memcpy(buf, in->mapped + in->at, (size_t)n);
  else
    sm_ring_get(&in->c->ring, in->f, in->at, buf, (size_t)n);
  in->at += (uint64_t)n;
  in->checked += (uint64_t)n;
  if (in->checked > INTERRUPT_BYTES) {
    in->checked = 0;
    R_CheckUserInterrupt();
  }
}

static int in_char(R_inpstream_t st) {
  unsigned char b;
  in_bytes(st, &b, 1);
  return b;
}

static SEXP unserialize_body(void *data) {
  struct R_inpstream_st st;
  R_InitInPStream(&st, (R_pstream_data_t)data, R_pstream_binary_format, in_char, in_bytes, NULL, R_NilValue);
  return R_Unserialize(&st);
}

static void unmap_after(void *data, Rboolean jump) {
  in_state *in = data;
  (void)jump;
  if (in->mapped) sm_spill_unmap(in->mapped, in->nbytes);
  in->mapped = NULL;
}

static void map_spilled(in_state *in) {
  r_channel *c = in->c;
  uint64_t size = 0;
  int rc = sm_ring_get(&c->ring, in->f, 0, &size, sizeof size);
  if (rc == 0 && c->nfds == 0) r_channel_drain_socket(c);
  if (rc == 0 && c->nfds == 0) rc = SM_EFORMAT;
  if (rc == 0) {
    rc = sm_spill_map(c->fds[0], size, &in->mapped);
    close(c->fds[0]);
    c->nfds--;
    memmove(c->fds, c->fds + 1, (size_t)c->nfds * sizeof c->fds[0]);
  }
  if (rc < 0) r_abort("sharedmem_channel_error", "cannot read a worker's large result: %s", sm_error_text(rc));
  in->nbytes = size;
}

SEXP r_frame_read(r_channel *c, const sm_frame *f) {
  if (f->nbytes == 0) return R_NilValue;
  in_state in = {c, f, NULL, f->nbytes, 0, 0};
  if (!(f->flags & SM_FRAME_SPILLED)) return unserialize_body(&in);
  SEXP token = PROTECT(R_MakeUnwindCont());
  map_spilled(&in);
  SEXP value = R_UnwindProtect(unserialize_body, &in, unmap_after, &in, token);
  UNPROTECT(1);
  return value;
}
