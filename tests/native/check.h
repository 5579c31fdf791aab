/* check.h: what the native tests share. Include once, in the test's only file. */
#ifndef CHECK_H
#define CHECK_H

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/mem_fault.h"

static int n_passed, n_failed;

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

#ifndef UNDER_QEMU
#define UNDER_QEMU 0
#endif

#ifdef UNDER_TSAN
/* It takes a mutex got by EOWNERDEAD for one that is not held. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "report_mutex_bugs=0"; }
#endif

static void check(int ok, const char *what) {
  if (ok) {
    n_passed++;
    return;
  }
  n_failed++;
  printf("failed: %s\n", what);
  fflush(stdout);
}

static inline void check_case(int ok, const char *what, int64_t n, int detail) {
  char text[256];
  snprintf(text, sizeof text, "%s, n = %lld, case %d", what, (long long)n, detail);
  check(ok, text);
}

static inline void check_at(int ok, const char *what, int64_t n) { check_case(ok, what, n, 0); }

/* The same numbers in every run: xorshift64. */
static inline uint64_t draw(void) {
  static uint64_t state = 88172645463325252u;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static inline double draw_unit(void) { return (double)(draw() >> 11) * 0x1p-53; }

static inline int report(void) {
  printf("%d passed, %d failed\n", n_passed, n_failed);
  return n_failed != 0;
}

/* Zero-filled memory that forked children share. */
static inline void *shared_memory(size_t nbytes) {
  void *p = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) exit(2);
  return p;
}

static inline void pause_ms(int ms) { usleep((useconds_t)ms * 1000); }

/* body(arg, rank) in a child; it ends with exit status 0. */
static inline pid_t start_child(void (*body)(void *, int), void *arg, int rank) {
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    body(arg, rank);
    _exit(0);
  }
  return pid;
}

/* Wait status of a child; one that does not end within 60 s is killed. */
static inline int end_of(pid_t pid) {
  int status = -1;
  for (int i = 0; i < 300000; i++) {
    if (waitpid(pid, &status, WNOHANG) == pid) return status;
    usleep(200);
  }
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
  return -1;
}

typedef struct {
  void *to;
  const void *from;
  size_t n;
} guarded_job;

static inline void run_copy(void *ctx) {
  guarded_job *job = ctx;
  memcpy(job->to, job->from, job->n);
}

/* memcpy() under the guard of mem_fault.h. */
static inline int guarded_copy(void *to, const void *from, size_t n) { return sm_fault_guard(run_copy, &(guarded_job){to, from, n}); }

typedef struct {
  void (*body)(void *, int);
  void *arg;
  int rank;
} check_member;

static inline void *run_member(void *m) {
  check_member *g = m;
  g->body(g->arg, g->rank);
  return NULL;
}

/* body(arg, rank) for n ranks at a time, in threads or processes. 0 if all of them ended well. */
static inline int run_group(int n, int threads, void (*body)(void *, int), void *arg) {
  check_member g[64];
  pthread_t t[64];
  pid_t pid[64];
  int bad = 0;
  for (int i = 0; i < n; i++) {
    g[i] = (check_member){body, arg, i};
    if (threads) bad += pthread_create(&t[i], NULL, run_member, &g[i]) != 0;
    else pid[i] = start_child(body, arg, i);
  }
  for (int i = 0; i < n; i++) bad += threads ? pthread_join(t[i], NULL) != 0 : end_of(pid[i]) != 0;
  return bad;
}

#endif
