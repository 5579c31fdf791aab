/* sm_base.c: see sm_base.h. */
#define _GNU_SOURCE
#include "sm_base.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
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
