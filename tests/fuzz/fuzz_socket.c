/* chan_socket: messages of any bytes with any number of descriptors. None of them stays open, and what is given was sent. */
#include "../../src/chan_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuzz.h"

#define FDS 4

/* n bytes with the descriptor `fd` nfds times over. */
static bool send_any(int sock, const void *p, size_t n, int fd, int nfds) {
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(FDS * sizeof(int))];
  } control;
  struct iovec v = {(void *)(uintptr_t)p, n};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
  memset(&control, 0, sizeof control);
  if (nfds > 0) {
    m.msg_control = control.space;
    m.msg_controllen = CMSG_SPACE((size_t)nfds * sizeof(int));
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN((size_t)nfds * sizeof(int));
    for (int i = 0; i < nfds; i++) memcpy(CMSG_DATA(h) + (size_t)i * sizeof fd, &fd, sizeof fd);
  }
  return sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n;
}

static void stream(fuzz_in *in, int null) {
  int pair[2], fd, rc;
  uint8_t sent[200];
  int with[200], count = 0;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) exit(2);
  while (in->left && count < 200) {
    sent[count] = take_u8(in) & 1 ? take_u8(in) : take_u8(in) & 1 ? SM_SOCK_FD : SM_SOCK_WAKE;
    with[count] = sent[count] == SM_SOCK_FD || take_u8(in) > 200 ? (int)take_below(in, FDS) : 0;
    if (!send_any(pair[1], &sent[count], 1, null, with[count])) break;
    count++;
  }
  bool closed = take_u8(in) & 1;
  if (closed) close(pair[1]);
  for (int i = 0; i < count; i++) {
    rc = sm_socket_recv(pair[0], &fd);
    bool named = sent[i] == SM_SOCK_FD, good = named ? with[i] == 1 : sent[i] == SM_SOCK_WAKE;
    CHECK(good ? rc == sent[i] : rc < 0, "a message that is none is refused");
    CHECK((fd >= 0) == (named && with[i] == 1), "a descriptor comes with the message that names it");
    if (fd >= 0) {
      CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC, "a descriptor is closed on exec");
      close(fd);
    }
  }
  rc = sm_socket_recv(pair[0], &fd);
  CHECK(rc == (closed ? SM_EGONE : 0) && fd < 0, "then there is nothing");
  close(pair[0]);
  if (!closed) close(pair[1]);
}

static void posts(fuzz_in *in, int null) {
  int pair[2], fds[SM_POST_FDS], count = 0, with[8];
  size_t sizes[8];
  uint8_t msg[64], got[16];
  if (sm_socket_post_pair(pair) < 0) exit(2);
  while (in->left && count < 8) {
    sizes[count] = take_u8(in) & 1 ? sizeof got : 1 + (size_t)take_below(in, sizeof msg);
    if (sizes[count] > sizeof msg) sizes[count] = sizeof msg;
    with[count] = (int)take_below(in, FDS);
    memset(msg, count + 1, sizeof msg);
    if (!send_any(pair[1], msg, sizes[count], null, with[count])) break;
    count++;
  }
  for (int i = 0; i < count; i++) {
    int rc = sm_socket_take_post(pair[0], got, sizeof got, fds);
    CHECK(rc == (sizes[i] == sizeof got && with[i] == SM_POST_FDS), "a datagram is taken if it is whole");
    if (rc) CHECK(got[0] == i + 1 && got[sizeof got - 1] == i + 1, "with the bytes that were sent");
    for (int k = 0; rc && k < SM_POST_FDS; k++) CHECK(close(fds[k]) == 0, "and with two descriptors");
  }
  CHECK(sm_socket_take_post(pair[0], got, sizeof got, fds) == 0, "then there is none");
  close(pair[0]);
  close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_in in = {data, size};
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC), free_before = dup(null);
  close(free_before);
  if (take_u8(&in) & 1) stream(&in, null);
  else posts(&in, null);
  int free_after = dup(null);
  CHECK(free_after == free_before, "no descriptor is left");
  close(free_after);
  close(null);
  return 0;
}
