/* chan_socket.c: see chan_socket.h. */
#define _GNU_SOURCE
#include "chan_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
#ifndef MSG_CMSG_CLOEXEC
#define MSG_CMSG_CLOEXEC 0
#endif

/* A message of one byte with room for one descriptor, and for a second one, which tells that the message is malformed. Its parts point
 * into the struct, which therefore stays where it is. */
typedef struct {
  char byte;
  struct iovec v;
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
  struct msghdr head;
} fd_message;

static void message_init(fd_message *m, char byte) {
  memset(m, 0, sizeof *m);
  m->byte = byte;
  m->v = (struct iovec){&m->byte, 1};
  m->head.msg_iov = &m->v;
  m->head.msg_iovlen = 1;
  m->head.msg_control = m->control;
  m->head.msg_controllen = sizeof m->control;
}

static int send_code(void) {
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ENOBUFS || errno == ETOOMANYREFS) return SM_EAGAIN;
  return errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN ? SM_EGONE : -errno;
}

int sm_socket_wake(int sock) {
  char c = SM_SOCK_WAKE;
  ssize_t sent;
  do sent = send(sock, &c, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent == 1) return 0;
  int rc = send_code();
  return rc == SM_EAGAIN ? 0 : rc;
}

int sm_socket_send_fd(int sock, int fd, const sm_watch *watch) {
  fd_message m;
  message_init(&m, SM_SOCK_FD);
  struct cmsghdr *h = CMSG_FIRSTHDR(&m.head);
  h->cmsg_level = SOL_SOCKET;
  h->cmsg_type = SCM_RIGHTS;
  h->cmsg_len = CMSG_LEN(sizeof(int));
  m.head.msg_controllen = CMSG_SPACE(sizeof(int));
  memcpy(CMSG_DATA(h), &fd, sizeof fd);
  for (;;) {
    if (sendmsg(sock, &m.head, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) return 0;
    int err = errno, rc = send_code();
    if (rc != SM_EAGAIN) return rc;
    rc = sm_watch_look(watch);
    if (rc < 0) return rc;
    struct pollfd p = {sock, POLLOUT, 0};
    /* POLLOUT does not wait for descriptors in flight to become fewer, so poll() only sleeps here. */
    if (err == ETOOMANYREFS) p.events = 0;
    poll(&p, 1, err == ETOOMANYREFS ? 5 : SM_SLICE_MS);
  }
}

/* The one descriptor of a message; of several none is kept. */
static void take_fd(struct cmsghdr *h, int *fd) {
  size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (size_t i = 0; i < n; i++) {
    int got;
    memcpy(&got, CMSG_DATA(h) + i * sizeof got, sizeof got);
    if (n == 1 && *fd < 0) *fd = got;
    else close(got);
  }
}

int sm_socket_recv(int sock, int *fd) {
  fd_message m;
  message_init(&m, 0);
  *fd = -1;
  ssize_t n;
  do n = recvmsg(sock, &m.head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n == 0) return SM_EGONE;
  if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : errno == ECONNRESET ? SM_EGONE : -errno;
  for (struct cmsghdr *h = CMSG_FIRSTHDR(&m.head); h; h = CMSG_NXTHDR(&m.head, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    take_fd(h, fd);
#if !defined(__linux__)
    if (*fd >= 0) fcntl(*fd, F_SETFD, FD_CLOEXEC);
#endif
  }
  if (m.byte == SM_SOCK_FD && *fd < 0) return m.head.msg_flags & MSG_CTRUNC ? -EMFILE : SM_EFORMAT;
  if (m.byte == SM_SOCK_FD) return m.byte;
  if (*fd >= 0) close(*fd);
  *fd = -1;
  return m.byte == SM_SOCK_WAKE ? m.byte : SM_EFORMAT;
}

/* ---- datagrams ---- */

typedef union {
  struct cmsghdr align;
  char space[CMSG_SPACE(SM_POST_FDS * sizeof(int))];
} post_control;

static struct msghdr post_header(struct iovec *v, post_control *control) {
  struct msghdr m;
  memset(&m, 0, sizeof m);
  memset(control, 0, sizeof *control);
  m.msg_iov = v;
  m.msg_iovlen = 1;
  m.msg_control = control->space;
  m.msg_controllen = sizeof control->space;
  return m;
}

int sm_socket_post_pair(int pair[2]) {
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0) return -errno;
  for (int i = 0; i < 2; i++) fcntl(pair[i], F_SETFD, FD_CLOEXEC);
  return 0;
}

int sm_socket_post(int sock, const void *msg, size_t n, const int *fds, const sm_watch *watch) {
  struct iovec v = {(void *)(uintptr_t)msg, n};
  post_control control;
  struct msghdr m = post_header(&v, &control);
  struct cmsghdr *h = CMSG_FIRSTHDR(&m);
  h->cmsg_level = SOL_SOCKET;
  h->cmsg_type = SCM_RIGHTS;
  h->cmsg_len = CMSG_LEN(SM_POST_FDS * sizeof(int));
  memcpy(CMSG_DATA(h), fds, SM_POST_FDS * sizeof(int));
  for (;;) {
    if (sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n) return 0;
    int rc = errno == ECONNREFUSED ? SM_EGONE : send_code();
    if (rc != SM_EAGAIN) return rc;
    rc = sm_watch_look(watch);
    if (rc < 0) return rc;
    poll(NULL, 0, 1);
  }
}

int sm_socket_take_post(int sock, void *msg, size_t n, int *fds) {
  struct iovec v = {msg, n};
  post_control control;
  struct msghdr m = post_header(&v, &control);
  ssize_t got;
  do got = recvmsg(sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got <= 0) return 0;
  int taken = 0;
  for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; i < (h->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
      fcntl(fd, F_SETFD, FD_CLOEXEC);
      if (taken < SM_POST_FDS) fds[taken++] = fd;
      else close(fd);
    }
  }
  bool whole = got == (ssize_t)n && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
  if (whole && taken == SM_POST_FDS) return 1;
  while (taken > 0) close(fds[--taken]);
  return 0;
}
