/* chan_socket: wake-ups and descriptors between two processes, and peers that go away. */
#include "../../src/chan_socket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "../../src/mem_file.h"
#include "check.h"

static int count_fds(void) {
  int n = 0;
  DIR *d = opendir("/dev/fd");
  while (d && readdir(d)) n++;
  if (d) closedir(d);
  return n;
}

static void pair_of(int s[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, s)) exit(2);
}

static void wake_ups(void) {
  int s[2], fd = 7;
  pair_of(s);
  check(sm_socket_recv(s[1], &fd) == 0 && fd == -1, "nothing sent, nothing there, and no wait");
  check(sm_socket_wake(s[0]) == 0 && sm_socket_recv(s[1], &fd) == SM_SOCK_WAKE && fd == -1, "a wake-up arrives");
  int rc = 0;
  for (int i = 0; i < 1000000 && rc == 0; i++) rc = sm_socket_wake(s[0]);
  check(rc == 0, "wake-ups that nobody reads never block and are no error");
  int n = 0;
  while (sm_socket_recv(s[1], &fd) == SM_SOCK_WAKE) n++;
  check(n > 0, "those that fitted are there");
  close(s[0]);
  check(sm_socket_recv(s[1], &fd) == SM_EGONE, "the end of the other side is seen");
  check(sm_socket_wake(s[1]) == SM_EGONE, "a wake-up to a closed peer is an error code, no signal");
  check(sm_socket_send_fd(s[1], 0, NULL) == SM_EGONE, "so is a descriptor");
  close(s[1]);
}

/* n bytes and the sender's own descriptor, `count` times over, in one message. */
static void send_with(int sock, const char *p, size_t n, int count) {
  struct iovec v = {(void *)(uintptr_t)p, n};
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(4 * sizeof(int))];
  } u;
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
  memset(&u, 0, sizeof u);
  if (count > 0) {
    m.msg_control = u.space;
    m.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    for (int i = 0; i < count; i++) memcpy(CMSG_DATA(h) + (size_t)i * sizeof sock, &sock, sizeof sock);
  }
  check(sendmsg(sock, &m, 0) == (ssize_t)n, "a message is sent");
}

static void descriptors(void) {
  int s[2], got;
  pair_of(s);
  int before = count_fds(), ok = 1;
  for (int i = 0; i < 100; i++) {
    int fd = sm_anon_file();
    ok &= write(fd, &i, sizeof i) == sizeof i && sm_socket_wake(s[0]) == 0 && sm_socket_send_fd(s[0], fd, NULL) == 0;
    close(fd);
    ok &= sm_socket_recv(s[1], &got) == SM_SOCK_WAKE && got == -1;
    ok &= sm_socket_recv(s[1], &got) == SM_SOCK_FD && got >= 0;
    int back = -1;
    ok &= pread(got, &back, sizeof back, 0) == sizeof back && back == i;
    ok &= (fcntl(got, F_GETFD) & FD_CLOEXEC) != 0;
    close(got);
  }
  check(ok, "a descriptor arrives in its place among the wake-ups, close-on-exec, for the same file");
  check(count_fds() == before, "and no other stays open");

  char c = SM_SOCK_FD;
  check(send(s[0], &c, 1, 0) == 1 && sm_socket_recv(s[1], &got) == SM_EFORMAT && got == -1,
        "one that was announced and did not come is malformed");

  /* two in one message: ours never does that */
  before = count_fds();
  send_with(s[0], &c, 1, 2);
  check(sm_socket_recv(s[1], &got) == SM_EFORMAT && got == -1, "two in one message are malformed");
  check(count_fds() == before, "and closed again");

  struct rlimit old, none;
  getrlimit(RLIMIT_NOFILE, &old);
  none = old;
  sm_socket_send_fd(s[0], s[0], NULL);
  none.rlim_cur = 3;
  setrlimit(RLIMIT_NOFILE, &none);
  int rc = sm_socket_recv(s[1], &got);
  setrlimit(RLIMIT_NOFILE, &old);
  check(rc < 0 && got == -1, "no descriptor to be had here is an error code");
  close(s[0]);
  close(s[1]);
}

static int ask(void *arg) { return ++*(int *)arg >= 2; }

static void full(void) {
  int s[2], rc;
  pair_of(s);
  char junk[4096] = {0};
  while (send(s[0], junk, sizeof junk, MSG_DONTWAIT) > 0) {}
  while (send(s[0], junk, 1, MSG_DONTWAIT) > 0) {}
  _Atomic uint32_t flag;
  atomic_init(&flag, 1);
  sm_watch w = {&flag, NULL, NULL};
  rc = sm_socket_send_fd(s[0], 0, &w);
  check(rc == SM_EFAILED, "a sender that waits for room leaves when the group has failed");
  int asked = 0;
  w = (sm_watch){NULL, ask, &asked};
  check(sm_socket_send_fd(s[0], 0, &w) == SM_EINTR, "and when its interrupt check says so");
  close(s[1]);
  check(sm_socket_send_fd(s[0], 0, NULL) == SM_EGONE, "and when the other side closes");
  close(s[0]);
}

static void send_many(void *arg, int rank) {
  int *s = arg;
  (void)rank;
  close(s[1]);
  for (int i = 0; i < 3000; i++) {
    int fd = sm_anon_file();
    if (fd < 0 || write(fd, &i, sizeof i) != sizeof i || sm_socket_send_fd(s[0], fd, NULL) != 0) _exit(1);
    close(fd);
  }
}

static void many(void) {
  int s[2], got, at = 0, ok = 1;
  pair_of(s);
  pid_t pid = start_child(send_many, s, 0);
  close(s[0]);
  for (;;) {
    int rc = sm_socket_recv(s[1], &got);
    if (rc == SM_EGONE) break;
    if (rc == 0) {
      usleep(50);
      continue;
    }
    int back = -1;
    ok &= rc == SM_SOCK_FD && pread(got, &back, sizeof back, 0) == sizeof back && back == at++;
    close(got);
  }
  check(end_of(pid) == 0 && ok && at == 3000, "thousands of descriptors arrive in order, past any limit of those in flight");
  close(s[1]);
}

/* Bytes that no worker of ours sends, alone and with a descriptor. */
static void other_bytes(void) {
  int s[2], got;
  pair_of(s);
  int before = count_fds();
  const char bytes[] = {0, 'x', (char)0xFF};
  for (int i = 0; i < 3; i++) {
    check(send(s[0], &bytes[i], 1, 0) == 1 && sm_socket_recv(s[1], &got) == SM_EFORMAT && got == -1, "an unknown byte is malformed");
    send_with(s[0], &bytes[i], 1, 1);
    check(sm_socket_recv(s[1], &got) == SM_EFORMAT && got == -1, "with a descriptor, too");
  }
  send_with(s[0], (const char[]){SM_SOCK_WAKE}, 1, 1);
  check(sm_socket_recv(s[1], &got) == SM_SOCK_WAKE && got == -1, "a wake-up brings no descriptor");
  check(count_fds() == before, "none stays open");
  close(s[0]);
  close(s[1]);
}

/* A datagram that is longer, or has more descriptors, than what is looked for. */
static void other_posts(void) {
  int s[2], fds[SM_POST_FDS];
  char msg[40] = {0}, got[16];
  check(sm_socket_post_pair(s) == 0, "a pair of datagram sockets");
  int before = count_fds();
  send_with(s[1], msg, sizeof msg, SM_POST_FDS);
  check(sm_socket_take_post(s[0], got, sizeof got, fds) == 0, "one that is too long is none");
  if (!UNDER_QEMU) { /* on 32 bits it keeps what does not fit for itself, and does not say so */
    send_with(s[1], msg, sizeof got, SM_POST_FDS + 1);
    check(sm_socket_take_post(s[0], got, sizeof got, fds) == 0, "nor is one with three descriptors");
  }
  send_with(s[1], msg, sizeof got, 0);
  check(sm_socket_take_post(s[0], got, sizeof got, fds) == 0, "nor is one without");
  check(count_fds() == before, "no descriptor stays open");
  send_with(s[1], msg, sizeof got, SM_POST_FDS);
  check(sm_socket_take_post(s[0], got, sizeof got, fds) == 1, "one that is whole is taken");
  for (int i = 0; i < SM_POST_FDS; i++) close(fds[i]);
  close(s[0]);
  close(s[1]);
}

static void full_posts(void) {
  int s[2], fds[SM_POST_FDS] = {0, 0}, taken[SM_POST_FDS], got, asked = 0, rc = 0, n = 0;
  if (sm_socket_post_pair(s) < 0) exit(2);
  int before = count_fds();
  _Atomic uint32_t flag;
  atomic_init(&flag, 1);
  sm_watch w = {&flag, NULL, NULL};
  while (n < 100000 && (rc = sm_socket_post(s[1], &n, sizeof n, fds, &w)) == 0) n++;
  check(n > 0 && rc == SM_EFAILED, "who has a datagram to post and no room leaves when the group has failed");
  w = (sm_watch){NULL, ask, &asked};
  check(sm_socket_post(s[1], &n, sizeof n, fds, &w) == SM_EINTR && asked == 2, "and when its interrupt check says so");
  int at = 0;
  while (sm_socket_take_post(s[0], &got, sizeof got, taken) == 1 && got == at) {
    for (int i = 0; i < SM_POST_FDS; i++) close(taken[i]);
    at++;
  }
  check(at == n, "those that fitted arrive in order");
  check(count_fds() == before, "and none of their descriptors stays open");
  close(s[0]);
  check(sm_socket_post(s[1], &n, sizeof n, fds, NULL) == SM_EGONE, "nobody is left to post to");
  close(s[1]);
}

int main(void) {
  other_bytes();
  full_posts();
  other_posts();
  wake_ups();
  descriptors();
  full();
  many();
  return report();
}
