/* mem_forks.c: see mem_forks.h.
 *
 * Ownership: the file is the caller's; the description opened around a fork is the child's.
 * Fork and signals: the handlers run in the thread that forks and take no lock.
 * Errors: a fork that cannot be watched is remembered as running for ever.
 */
#define _GNU_SOURCE
#include "mem_forks.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define FORK_BASE ((int64_t)1 << 40) /* beyond the bytes of any file */

static struct {
  int fd;
  bool (*wanted)(void);
  void (*in_child)(void);
  uint64_t count;
  uint64_t unwatched; /* the last fork that could not be locked */
  uint64_t alive;     /* one that ran at the last look, or 0 */
  int held;           /* between prepare and parent or child */
} forks = {.fd = -1, .held = -1};

#ifdef F_OFD_SETLK
int64_t sm_forks_byte_locked(int fd, int64_t start, int64_t len) {
  struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)start, .l_len = (off_t)len};
  if (fcntl(fd, F_OFD_GETLK, &l) < 0) return start;
  return l.l_type == F_UNLCK ? -1 : l.l_start > (off_t)start ? (int64_t)l.l_start : start;
}

static int set_lock(int fd, int64_t at, short type) {
  struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1};
  return fcntl(fd, F_OFD_SETLK, &l) < 0 ? -errno : 0;
}

int sm_forks_byte_lock(int fd, int64_t at, bool exclusive) { return set_lock(fd, at, exclusive ? F_WRLCK : F_RDLCK); }
int sm_forks_byte_unlock(int fd, int64_t at) { return set_lock(fd, at, F_UNLCK); }
#else
int64_t sm_forks_byte_locked(int fd, int64_t start, int64_t len) { return (void)fd, (void)len, start; }
int sm_forks_byte_lock(int fd, int64_t at, bool exclusive) { return (void)fd, (void)at, (void)exclusive, -ENOSYS; }
int sm_forks_byte_unlock(int fd, int64_t at) { return (void)fd, (void)at, -ENOSYS; }
#endif

static void before_fork(void) {
  if (forks.fd < 0 || !forks.wanted()) return;
  forks.count++;
#ifdef F_OFD_SETLK
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", forks.fd);
  forks.held = open(path, O_RDWR | O_CLOEXEC);
#endif
  if (forks.held < 0 || sm_forks_byte_lock(forks.held, FORK_BASE + (int64_t)forks.count, true) < 0) forks.unwatched = forks.count;
}

static void after_fork_parent(void) {
  if (forks.held >= 0) close(forks.held);
  forks.held = -1;
}

static void after_fork_child(void) {
  forks.fd = forks.held = -1;
  forks.count = forks.unwatched = forks.alive = 0;
  if (forks.in_child) forks.in_child();
}

int sm_forks_watch(int fd, bool (*wanted)(void), void (*in_child)(void)) {
  static bool registered = false;
  forks.fd = fd;
  forks.wanted = wanted;
  forks.in_child = in_child;
  if (registered) return 0;
  int rc = pthread_atfork(before_fork, after_fork_parent, after_fork_child);
  registered = rc == 0;
  return -rc;
}

uint64_t sm_forks_count(void) { return forks.count; }

void sm_forks_look(void) { forks.alive = 0; }

bool sm_forks_alive(uint64_t after, uint64_t upto) {
  if (after >= upto) return false;
  if (after < forks.unwatched) return true;
  if (forks.alive > after && forks.alive <= upto) return true;
  if (forks.fd < 0) return false;
  int64_t at = sm_forks_byte_locked(forks.fd, FORK_BASE + (int64_t)after + 1, (int64_t)(upto - after));
  if (at < 0) return false;
  forks.alive = (uint64_t)(at - FORK_BASE);
  return true;
}
