/* mem_file.c: see mem_file.h.
 *
 * Fork and signals: only the calling thread's mask is changed, and restored by sm_size_leave().
 * Errors: 0 or a negative code; on failure nothing stays open, and no name is left.
 */
#define _GNU_SOURCE
#include "mem_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FEW 64         /* low descriptors that arrays may hold */
#define HIGH 1024      /* FD_SETSIZE of select() */
#define MAPPINGS 65536 /* that a process may have, commonly (vm.max_map_count) */
#define RAISE_STEP 4096

/* ---- anonymous files ---- */

static int open_memfd(void) {
#ifdef SM_NO_MEMFD
  errno = ENOSYS;
  return -1;
#else
  return memfd_create("sharedmem", MFD_CLOEXEC | MFD_ALLOW_SEALING);
#endif
}

static int open_shm(void) {
  char name[64];
  for (int i = 0; i < 16; i++) {
    snprintf(name, sizeof name, "/sm%ld.%llx", (long)getpid(), (unsigned long long)sm_clock_ns());
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd >= 0) {
      shm_unlink(name);
      fcntl(fd, F_SETFD, FD_CLOEXEC);
      return fd;
    }
    if (errno != EEXIST) break;
  }
  return -1;
}

static int open_temp(void) {
  const char *folder = getenv("TMPDIR");
  char name[1024];
  if (!folder || !*folder) folder = "/tmp";
#ifdef O_TMPFILE
  int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
#endif
  if ((size_t)snprintf(name, sizeof name, "%s/smXXXXXX", folder) >= sizeof name) {
    errno = ENAMETOOLONG;
    return -1;
  }
  int made = mkstemp(name);
  if (made < 0) return -1;
  unlink(name);
  fcntl(made, F_SETFD, FD_CLOEXEC);
  return made;
}

int sm_anon_file_by(sm_anon_way *way) {
  static int (*const open_by[])(void) = {open_memfd, open_shm, open_temp};
  int rc = -ENOSYS;
  for (; *way < SM_ANON_WAYS; (*way)++) {
    int fd = open_by[*way]();
    if (fd < 0 && errno == EMFILE && sm_fd_raise_limit()) fd = open_by[*way]();
    if (fd >= 0) return fd;
    rc = -errno;
    if (rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM) return rc; /* another way would need the same */
  }
  return rc;
}

int sm_anon_file(void) {
  sm_anon_way way = SM_ANON_MEMFD;
  return sm_anon_file_by(&way);
}

int sm_anon_seal(int fd, bool all) {
#ifdef F_ADD_SEALS
  int seals = all ? F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL : F_SEAL_SHRINK;
  if (fcntl(fd, F_ADD_SEALS, seals) < 0 && errno != EPERM && errno != EINVAL) return -errno; /* those that have none */
#else
  (void)fd, (void)all;
#endif
  return 0;
}

int sm_anon_check(int fd, bool *fixed) {
  struct stat st;
  if (fstat(fd, &st) < 0) return -errno;
  if (!S_ISREG(st.st_mode)) return SM_EFORMAT;
#ifdef F_GET_SEALS
  int seals = fcntl(fd, F_GET_SEALS);
  *fixed = seals >= 0 && (seals & F_SEAL_SHRINK);
  if (*fixed) return seals & F_SEAL_WRITE ? SM_EFORMAT : 0;
  if (seals >= 0 && !(seals & F_SEAL_SEAL)) return SM_EFORMAT; /* it could have been sealed, as ours are */
#else
  *fixed = false;
#endif
  return st.st_nlink == 0 && st.st_uid == geteuid() ? 0 : SM_EFORMAT;
}

/* ---- descriptors ---- */

bool sm_fd_raise_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) return false;
  rlim_t want = limit.rlim_cur < RAISE_STEP ? RAISE_STEP : limit.rlim_cur * 2;
  if (limit.rlim_max != RLIM_INFINITY && want > limit.rlim_max) want = limit.rlim_max;
  if (want <= limit.rlim_cur) return false;
  limit.rlim_cur = want;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

int sm_fd_park(int fd) {
  if (fd < FEW || fd >= HIGH) return fd;
  int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH);
  if (high < 0 && (errno == EINVAL || errno == EMFILE) && sm_fd_raise_limit()) high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH);
  if (high < 0) return fd;
  close(fd);
  return high;
}

bool sm_fd_scarce(size_t held) {
  struct rlimit limit;
  if (held < FEW || getrlimit(RLIMIT_NOFILE, &limit) < 0) return false;
  rlim_t most = limit.rlim_max == RLIM_INFINITY || limit.rlim_max > MAPPINGS ? MAPPINGS : limit.rlim_max;
  return held >= most / 4;
}

/* ---- the limit of file sizes ---- */

static bool is_pending(void) {
  sigset_t set;
  return sigpending(&set) == 0 && sigismember(&set, SIGXFSZ) == 1;
}

void sm_size_enter(sm_size_guard *g) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGXFSZ);
  pthread_sigmask(SIG_BLOCK, &set, &g->mask);
  g->pending = sigismember(&g->mask, SIGXFSZ) == 1 && is_pending();
}

void sm_size_leave(const sm_size_guard *g) {
  int kept = errno, sig;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGXFSZ);
  if (!g->pending && is_pending()) sigwait(&set, &sig);
  pthread_sigmask(SIG_SETMASK, &g->mask, NULL);
  errno = kept;
}

uint64_t sm_size_limit(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
}

/* ---- small files ---- */
