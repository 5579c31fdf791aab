/* r_server_line.c: see r_server_line.h. */
#include "r_server_line.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "proc_worker.h"

#define RING_CAPACITY (UINT64_C(1) << 16)

static size_t ring_at(int k) { return 2 * SM_CACHELINE + (size_t)k * sm_ring_nbytes(RING_CAPACITY); }

/* side: 0 for who opened the line. */
static void connect_ends(r_line *l, int side, int sock) {
  uint8_t *p = l->seg->payload;
  l->sock = sock;
  l->asleep = (_Atomic uint32_t *)(p + (size_t)side * SM_CACHELINE);
  r_channel_open(&l->out, p + ring_at(side), RING_CAPACITY);
  r_channel_open(&l->in, p + ring_at(!side), RING_CAPACITY);
  l->out.sleeping = (_Atomic uint32_t *)(p + (size_t)!side * SM_CACHELINE);
  l->out.sock = l->in.sock = sock;
}

int r_line_open_on(r_line *l, int sock, int *fd) {
  memset(l, 0, sizeof *l);
  l->sock = -1;
  int rc = sm_segment_new(ring_at(2), &l->seg);
  if (rc < 0) return rc;
  connect_ends(l, 0, sock);
  *fd = l->seg->fd;
  return 0;
}

int r_line_open(r_line *l, int fds[2]) {
  int pair[2];
  memset(l, 0, sizeof *l);
  int rc = sm_proc_pair(pair);
  if (rc < 0) return rc;
  rc = r_line_open_on(l, pair[0], &fds[0]);
  if (rc < 0) {
    close(pair[0]);
    close(pair[1]);
    return rc;
  }
  fds[1] = pair[1];
  return 0;
}

int r_line_take(r_line *l, int fd, int sock) {
  memset(l, 0, sizeof *l);
  l->sock = -1;
  int rc = sm_segment_adopt(fd, &l->seg);
  if (rc < 0) close(fd);
  else if (l->seg->nbytes < ring_at(2)) {
    sm_segment_unref(l->seg);
    rc = SM_EFORMAT;
  }
  if (rc < 0) {
    l->seg = NULL;
    close(sock);
    return rc;
  }
  connect_ends(l, 1, sock);
  return 0;
}

void r_line_close(r_line *l) {
  if (!l->seg) return;
  r_channel_close(&l->in);
  r_channel_close(&l->out);
  if (l->sock >= 0) close(l->sock);
  sm_segment_unref(l->seg);
  l->seg = NULL;
  l->sock = -1;
}

int r_line_send(r_line *l, SEXP value, const sm_watch *watch) { return r_frame_send(&l->out, R_FRAME_RESULT, value, 0, 1, watch); }

SEXP r_line_read(r_line *l, int *rc) {
  sm_frame f;
  for (;;) {
    bool gone = r_channel_drain_socket(&l->in) < 0;
    *rc = sm_ring_peek(&l->in.ring, &f);
    if (*rc == 0 && gone) *rc = SM_EGONE;
    if (*rc <= 0) return R_UnboundValue;
    SEXP value = PROTECT(r_frame_read(&l->in, &f));
    sm_ring_release(&l->in.ring, &f);
    UNPROTECT(1);
    if (value != R_UnboundValue) {
      *rc = 0;
      return value;
    }
  }
}

bool r_line_arm(r_line *l) {
  sm_frame f;
  atomic_store(l->asleep, 1);
  return sm_ring_peek(&l->in.ring, &f) == 0;
}

SEXP r_line_wait(r_line *l, const sm_watch *watch, int *rc) {
  for (;;) {
    SEXP value = r_line_read(l, rc);
    if (value != R_UnboundValue || *rc < 0) return value;
    *rc = sm_watch_look(watch);
    if (*rc < 0) return value;
    struct pollfd p = {l->sock, POLLIN, 0};
    if (r_line_arm(l)) poll(&p, 1, SM_SLICE_MS);
    atomic_store(l->asleep, 0);
  }
}
