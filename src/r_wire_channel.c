/* r_wire_channel.c: see r_wire_channel.h. */
#include "r_wire_channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void r_channel_open(r_channel *c, void *ring_memory, uint64_t capacity) {
  memset(c, 0, sizeof *c);
  sm_ring_open(&c->ring, ring_memory, capacity);
  c->sock = -1;
  c->spill.fd = -1;
  c->moved_fd = -1;
}

void r_channel_drop_sent(r_channel *c) {
  sm_spill_close(&c->spill);
  sm_move_clear(&c->moved);
  if (c->moved_fd >= 0) close(c->moved_fd);
  c->moved_fd = -1;
}

void r_channel_close(r_channel *c) {
  r_channel_drop_sent(c);
  c->peer = 0;
  for (int i = 0; i < c->nfds; i++) close(c->fds[i]);
  free(c->fds);
  c->fds = NULL;
  c->nfds = c->fds_size = 0;
}

void r_channel_wake(r_channel *c) {
  if (c->sleeping && atomic_load(c->sleeping) && atomic_exchange(c->sleeping, 0)) sm_socket_wake(c->sock);
}

static bool keep_fd(r_channel *c, int fd) {
  if (c->nfds == c->fds_size) {
    int size = c->fds_size ? 2 * c->fds_size : 8;
    int *bigger = realloc(c->fds, (size_t)size * sizeof *bigger);
    if (!bigger) return false;
    c->fds = bigger;
    c->fds_size = size;
  }
  c->fds[c->nfds++] = fd;
  return true;
}

int r_channel_drain_socket(r_channel *c) {
  int fd, got = 0;
  while (!c->eof && (got = sm_socket_recv(c->sock, &fd)) != 0) {
    if (got == -EMFILE || got == -ENFILE) c->fd_lost = true;
    else if (got < 0) c->eof = true;
    else if (fd >= 0 && !keep_fd(c, fd)) {
      close(fd);
      c->fd_lost = true;
    }
  }
  return c->eof ? SM_EGONE : 0;
}
