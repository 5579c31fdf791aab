/* sm_base.c: see sm_base.h. */
#define _GNU_SOURCE
#include "sm_base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Atomic pid_t this_pid;

static void forget_pid(void) { atomic_store_explicit(&this_pid, 0, memory_order_relaxed); }

pid_t sm_pid(void) {
  static _Atomic int watched; /* 1: forks are; -1: they cannot be */
  pid_t pid = atomic_load_explicit(&this_pid, memory_order_relaxed);
  if (pid) return pid;
  int none = 0;
  if (atomic_compare_exchange_strong(&watched, &none, 1) && pthread_atfork(NULL, NULL, forget_pid) != 0) atomic_store(&watched, -1);
  pid = getpid();
  if (atomic_load(&watched) > 0) atomic_store_explicit(&this_pid, pid, memory_order_relaxed);
  return pid;
}

uint64_t sm_clock_ns(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

bool sm_read_text(const char *path, char *buf, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  size_t have = 0;
  while (have < size - 1) {
    ssize_t got = read(fd, buf + have, size - 1 - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    have += (size_t)got;
  }
  close(fd);
  buf[have] = 0;
  return have > 0;
}

const char *sm_pid_stat(pid_t pid, char *buf, size_t size) {
  char path[40];
  snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
  if (!sm_read_text(path, buf, size)) return NULL;
  const char *p = strrchr(buf, ')'); /* the name before it may hold anything */
  return p ? p + 1 : NULL;
}

static bool is_zombie(pid_t pid) {
  char text[256];
  const char *p = sm_pid_stat(pid, text, sizeof text);
  return p && p[0] == ' ' && (p[1] == 'Z' || p[1] == 'X');
}

bool sm_pid_gone(pid_t pid) {
  siginfo_t ended;
  memset(&ended, 0, sizeof ended);
  if (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0) return ended.si_pid == pid;
  return (kill(pid, 0) < 0 && errno == ESRCH) || is_zombie(pid);
}

#define STACK ((size_t)256 << 10)

int sm_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg) {
  pthread_attr_t attr;
  sigset_t all, before;
  int rc = pthread_attr_init(&attr);
  if (rc) return -rc;
  pthread_attr_setstacksize(&attr, STACK > (size_t)PTHREAD_STACK_MIN ? STACK : (size_t)PTHREAD_STACK_MIN);
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  rc = pthread_create(thread, &attr, run, arg);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attr);
  return -rc;
}

const char *sm_error_text(int code) {
  switch (code) {
  case 0: return "success";
  case SM_ENOROOM: return "not enough memory on this machine";
  case SM_EFORMAT: return "malformed data";
  case SM_ESHORT: return "ends too early";
  case SM_EGONE: return "no longer there";
  case SM_EFAILED: return "another process of the group failed";
  case SM_EMISUSE: return "not allowed in this state";
  case SM_ERANGE: return "value does not fit";
  case SM_EAGAIN: return "would have to wait";
  case SM_EINTR: return "interrupted";
  case SM_ECHANGED: return "changed while it was read";
  }
  return strerror(code < 0 ? -code : code);
}
