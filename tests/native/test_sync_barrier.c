/* sync_barrier: between threads (for the sanitizers) and between processes that may be killed. */
#include "../../src/sync_barrier.h"
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NPROC 4
#define ROUNDS 3000

typedef struct {
  sm_barrier_shm b;
  _Atomic uint32_t failed;
  _Atomic int count[NPROC];
  int plain[NPROC]; /* ordered by the barrier alone */
  _Atomic int wrong;
  _Atomic int outcome[NPROC];
} shared;

static shared *make(int nproc, bool spin) {
  shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  sm_barrier_init(&s->b, nproc, spin);
  return s;
}

static int meet(shared *s, uint64_t tag, const sm_watch *w) {
  uint32_t round;
  int rc = sm_barrier_arrive(&s->b, tag, &round);
  return rc < 0 ? rc : sm_barrier_await(&s->b, round, w);
}

/* Between two barriers everybody sees what everybody wrote before the first. */
static void rounds(shared *s, int rank, int n) {
  for (int k = 0; k < n; k++) {
    s->plain[rank] = k;
    if (meet(s, (uint64_t)k + 1, NULL) < 0) atomic_fetch_add(&s->wrong, 1);
    for (int r = 0; r < NPROC; r++)
      if (s->plain[r] != k) atomic_fetch_add(&s->wrong, 1);
    if (meet(s, (uint64_t)k + 1, NULL) < 0) atomic_fetch_add(&s->wrong, 1);
  }
}

typedef struct {
  shared *s;
  int rank;
} who;

static void *in_thread(void *p) {
  who *w = p;
  rounds(w->s, w->rank, ROUNDS);
  return NULL;
}

static void test_threads(bool spin) {
  shared *s = make(NPROC, spin);
  pthread_t t[NPROC];
  who w[NPROC];
  for (int i = 0; i < NPROC; i++) {
    w[i] = (who){s, i};
    pthread_create(&t[i], NULL, in_thread, &w[i]);
  }
  for (int i = 0; i < NPROC; i++) pthread_join(t[i], NULL);
  check(s->wrong == 0, "threads: nobody passes a barrier before everybody has arrived");
  check(s->b.round == 2 * ROUNDS && s->b.arrived == 0 && s->b.sleepers == 0, "threads: the counters end where they began");
  munmap(s, sizeof *s);
}

static void end_here(void) {
  fflush(stdout);
  for (;;) raise(SIGKILL);
}

static void test_processes(void) {
  shared *s = make(NPROC, false);
  pid_t pid[NPROC];
  for (int i = 1; i < NPROC; i++) {
    pid[i] = fork();
    if (pid[i] == 0) {
      rounds(s, i, ROUNDS / 3);
      end_here();
    }
  }
  rounds(s, 0, ROUNDS / 3);
  for (int i = 1; i < NPROC; i++) waitpid(pid[i], NULL, 0);
  check(s->wrong == 0 && s->b.round == 2 * (ROUNDS / 3), "processes: the same");
  munmap(s, sizeof *s);
}

/* A wake-up that means nothing, a hundred times. */
static void test_spurious(void) {
  shared *s = make(2, false);
  pid_t pid = fork();
  if (pid == 0) {
    int rc = meet(s, 7, NULL);
    atomic_store(&s->outcome[1], rc == 0 && atomic_load(&s->count[0]) == 1 ? 1 : 2);
    end_here();
  }
  while (atomic_load(&s->b.sleepers) == 0) sched_yield();
  for (int i = 0; i < 100; i++) {
    sm_futex_wake(&s->b.round, 1);
    sched_yield();
  }
  check(atomic_load(&s->outcome[1]) == 0, "a spurious wake-up opens nothing");
  atomic_store(&s->count[0], 1);
  check(meet(s, 7, NULL) == 0, "the barrier still works after spurious wake-ups");
  waitpid(pid, NULL, 0);
  check(atomic_load(&s->outcome[1]) == 1, "and lets the other through");
  munmap(s, sizeof *s);
}

static void test_leave(void) {
  int good = 0, met_first = 0;
  for (int k = 0; k < 50; k++) {
    shared *s = make(2, k & 1);
    pid_t pid = fork();
    if (pid == 0) {
      meet(s, 1, NULL);
      sm_barrier_leave(&s->b);
      end_here();
    }
    met_first += meet(s, 1, NULL) == 0; /* the other may have left already: this round was complete */
    good += meet(s, 2, NULL) == SM_EGONE;
    waitpid(pid, NULL, 0);
    munmap(s, sizeof *s);
  }
  check(met_first == 50, "a round that was complete ends well though one has left since");
  check(good == 50, "a round that one left before reaching ends with SM_EGONE");
}

static void test_tags(void) {
  shared *s = make(2, false);
  uint32_t round;
  check(sm_barrier_arrive(&s->b, 1, &round) == 0, "the first arrives with any tag");
  check(sm_barrier_arrive(&s->b, 2, &round) == SM_EMISUSE, "another tag in the same round is SM_EMISUSE");
  check(sm_barrier_arrive(&s->b, 1, &round) == 0 && sm_barrier_await(&s->b, round, NULL) == 0, "the same tag completes it");
  check(sm_barrier_arrive(&s->b, 2, &round) == 0, "the next round takes a tag of its own");
  munmap(s, sizeof *s);
}

/* The watcher's part: sees the death and sets the flag. */
static int reaped(void *arg) {
  shared *s = ((void **)arg)[0];
  pid_t pid = *(pid_t *)((void **)arg)[1];
  int status;
  if (waitpid(pid, &status, WNOHANG) == pid) {
    atomic_store(&s->failed, 1);
    sm_barrier_wake_all(&s->b);
    return 1;
  }
  return 0;
}

static void test_kill(void) {
  int master = 0, other = 0;
  for (int k = 0; k < 20; k++) {
    shared *s = make(3, false);
    pid_t victim = fork();
    if (victim == 0) {
      meet(s, 1, NULL);
      if (k & 1) meet(s, 2, NULL); /* killed asleep in it */
      for (;;) pause();
    }
    pid_t waiter = fork();
    if (waiter == 0) {
      sm_watch w = {&s->failed, NULL, NULL};
      meet(s, 1, &w);
      atomic_store(&s->outcome[2], meet(s, 2, &w));
      end_here();
    }
    meet(s, 1, NULL);
    if (k & 1)
      while (atomic_load(&s->b.arrived) < 2 || atomic_load(&s->b.sleepers) < 2) sched_yield();
    kill(victim, SIGKILL);
    void *arg[2] = {s, &victim};
    sm_watch w = {&s->failed, reaped, arg};
    uint32_t round;
    sm_barrier_arrive(&s->b, 2, &round);
    int rc = k & 1 ? sm_barrier_await(&s->b, round, NULL) : sm_barrier_await(&s->b, round, &w);
    master += k & 1 ? rc == 0 : rc == SM_EINTR;
    waitpid(waiter, NULL, 0);
    other += atomic_load(&s->outcome[2]) == (k & 1 ? 0 : SM_EFAILED);
    if (k & 1) waitpid(victim, NULL, 0);
    munmap(s, sizeof *s);
  }
  check(master == 20, "the watcher leaves the barrier when a process was killed before it; one killed inside has arrived");
  check(other == 20, "and so do those who watch the flag");
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  test_threads(true);
  test_threads(false);
  test_processes();
  test_spurious();
  test_leave();
  test_tags();
  test_kill();
  return report();
}
