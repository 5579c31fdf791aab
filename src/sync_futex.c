/* sync_futex.c: see sync_futex.h. */
#define _GNU_SOURCE
#include "sync_futex.h"

#include <time.h>
#include <unistd.h>
#ifndef SM_NO_FUTEX
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

void sm_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t timeout_ms) {
  struct timespec ts = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000L};
#ifdef SM_NO_FUTEX
  if (atomic_load(word) != expected) return;
  if (timeout_ms > 1) ts = (struct timespec){0, 1000000L};
  nanosleep(&ts, NULL);
#else
  syscall(SYS_futex, (void *)word, FUTEX_WAIT, expected, &ts, NULL, 0);
#endif
}

void sm_futex_wake(_Atomic uint32_t *word, int n) {
#ifdef SM_NO_FUTEX
  (void)word;
  (void)n;
#else
  syscall(SYS_futex, (void *)word, FUTEX_WAKE, n, NULL, NULL, 0);
#endif
}

int sm_watch_look(const sm_watch *w) {
  if (!w) return 0;
  if (w->failed && atomic_load(w->failed)) return SM_EFAILED;
  if (w->check && w->check(w->arg)) return SM_EINTR;
  return 0;
}

void sm_spin_pause(void) {
  for (int i = 0; i < 8; i++) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
  }
}
