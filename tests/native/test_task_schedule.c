/* task_schedule: every item once, in every schedule, ordered or not, with loops that overtake each other. */
#include "../../src/task_schedule.h"
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NPROC 3
#define NITEMS 1000
#define NLOOPS 60

typedef struct {
  _Atomic uint32_t failed;
  _Atomic int hits[NLOOPS][NITEMS];
  int owner[NITEMS]; /* who ran it, of the last loop */
  int order[NLOOPS]; /* written inside the ordered section only */
  _Atomic int wrong;
  _Atomic int outcome;
  _Atomic int go;
  uint8_t loops[256 * 1024] __attribute__((aligned(64)));
} shared;

static shared *make(int nproc) {
  shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (sm_schedule_nbytes(nproc) > sizeof s->loops) raise(SIGTERM);
  sm_schedule_init((sm_schedule_shm *)s->loops, nproc);
  return s;
}

static sm_schedule_plan plan_of(int k) {
  sm_schedule_plan p = {0};
  int64_t lengths[] = {NITEMS, 0, 1, 2, 17, 999};
  int64_t chunks[] = {0, 1, 7, 2000};
  p.n = lengths[k % 6];
  p.chunk = chunks[k / 3 % 4];
  p.kind = k % 3;
  p.ordered = k % 2;
  p.tag = (uint64_t)k;
  return p;
}

static void run_loop(shared *s, sm_schedule *me, int k) {
  sm_schedule_plan p = plan_of(k);
  if (sm_schedule_begin(me, &p, NULL) < 0) atomic_fetch_add(&s->wrong, 1);
  int64_t from, to, last = -1;
  while (sm_schedule_claim(me, &from, &to)) {
    if (from <= last || to > p.n) atomic_fetch_add(&s->wrong, 1);
    for (int64_t i = from; i < to; i++) {
      atomic_fetch_add(&s->hits[k][i], 1);
      if (p.ordered && i % 3 != 2) {
        if (sm_schedule_order(me, i, NULL) < 0) atomic_fetch_add(&s->wrong, 1);
        int expected = (int)(i - i / 3); /* items that went before, those that skip apart */
        if (s->order[k] != expected) atomic_fetch_add(&s->wrong, 1);
        s->order[k]++;
      }
      if (p.ordered) sm_schedule_pass(me, i);
    }
    last = to - 1;
  }
  sm_schedule_end(me);
}

typedef struct {
  shared *s;
  int rank;
} who;

static void *in_thread(void *arg) {
  who *w = arg;
  sm_schedule me;
  sm_schedule_open(&me, (sm_schedule_shm *)w->s->loops, w->rank);
  for (int k = 0; k < NLOOPS; k++) run_loop(w->s, &me, k);
  sm_schedule_leave(&me);
  return NULL;
}

static int all_once(shared *s) {
  int ok = 1;
  for (int k = 0; k < NLOOPS; k++)
    for (int i = 0; i < NITEMS; i++) ok &= s->hits[k][i] == (i < plan_of(k).n);
  return ok;
}

static void test_threads(void) {
  int once = 1, wrong = 0;
  for (int again = 0; again < 10; again++) {
    shared *s = make(NPROC);
    pthread_t t[NPROC];
    who w[NPROC];
    for (int i = 0; i < NPROC; i++) {
      w[i] = (who){s, i};
      pthread_create(&t[i], NULL, in_thread, &w[i]);
    }
    for (int i = 0; i < NPROC; i++) pthread_join(t[i], NULL);
    once &= all_once(s);
    wrong += s->wrong;
    munmap(s, sizeof *s);
  }
  check(once, "threads: every item of every loop runs once");
  check(wrong == 0, "threads: items rise within a process and ordered sections are in order");
}

static void end_here(void) {
  for (;;) raise(SIGKILL);
}

static void test_processes(void) {
  shared *s = make(NPROC);
  pid_t pid[NPROC];
  for (int i = 0; i < NPROC; i++) {
    pid[i] = fork();
    if (pid[i] == 0) {
      who w = {s, i};
      in_thread(&w);
      end_here();
    }
  }
  for (int i = 0; i < NPROC; i++) waitpid(pid[i], NULL, 0);
  check(all_once(s) && s->wrong == 0, "processes: the same");
  munmap(s, sizeof *s);
}

/* The items that a process is given, alone at its loop: "from-to from-to". */
static void claims(int rank, int nproc, sm_schedule_plan p, char *out) {
  shared *s = make(nproc);
  sm_schedule me;
  sm_schedule_open(&me, (sm_schedule_shm *)s->loops, rank);
  sm_schedule_begin(&me, &p, NULL);
  int64_t from, to;
  *out = 0;
  while (sm_schedule_claim(&me, &from, &to)) out += sprintf(out, "%lld-%lld ", (long long)from, (long long)to);
  munmap(s, sizeof *s);
}

static void expect_claims(int rank, int nproc, sm_schedule_plan p, const char *expected) {
  char got[4096];
  claims(rank, nproc, p, got);
  check(strcmp(got, expected) == 0, expected);
  if (strcmp(got, expected)) printf("        got %s\n", got);
}

static void test_shares(void) {
  sm_schedule_plan even = {.n = 10, .kind = SM_SCHEDULE_STATIC};
  expect_claims(0, 4, even, "0-3 ");
  expect_claims(1, 4, even, "3-6 ");
  expect_claims(3, 4, even, "8-10 ");
  sm_schedule_plan few = {.n = 2, .kind = SM_SCHEDULE_STATIC};
  expect_claims(1, 4, few, "1-2 ");
  expect_claims(2, 4, few, "");
  sm_schedule_plan robin = {.n = 10, .chunk = 2, .kind = SM_SCHEDULE_STATIC};
  expect_claims(0, 2, robin, "0-2 4-6 8-10 ");
  expect_claims(1, 2, robin, "2-4 6-8 ");
  sm_schedule_plan huge = {.n = INT64_C(1) << 53, .chunk = INT64_C(1) << 62, .kind = SM_SCHEDULE_STATIC};
  expect_claims(0, 300, huge, "0-9007199254740992 ");
  expect_claims(299, 300, huge, "");
  sm_schedule_plan dynamic = {.n = 5, .chunk = 2, .kind = SM_SCHEDULE_DYNAMIC};
  expect_claims(1, 2, dynamic, "0-2 2-4 4-5 ");
  sm_schedule_plan guided = {.n = 20, .kind = SM_SCHEDULE_GUIDED};
  expect_claims(0, 2, guided, "0-10 10-15 15-18 18-19 19-20 ");
  sm_schedule_plan floor = {.n = 20, .chunk = 4, .kind = SM_SCHEDULE_GUIDED};
  expect_claims(0, 2, floor, "0-10 10-15 15-19 19-20 ");
  sm_schedule_plan most = {.n = INT64_C(1) << 53, .chunk = INT64_MAX, .kind = SM_SCHEDULE_DYNAMIC};
  expect_claims(0, 2, most, "0-9007199254740992 ");
}

static void test_disagreement(void) {
  shared *s = make(2);
  sm_schedule a, b;
  sm_schedule_open(&a, (sm_schedule_shm *)s->loops, 0);
  sm_schedule_open(&b, (sm_schedule_shm *)s->loops, 1);
  sm_schedule_plan p = {.n = 10}, q = {.n = 11};
  check(sm_schedule_begin(&a, &p, NULL) == 0, "the first brings the plan");
  check(sm_schedule_begin(&b, &q, NULL) == SM_EMISUSE, "another length is SM_EMISUSE");
  check(sm_schedule_begin(&a, &p, NULL) == SM_EMISUSE, "so is a loop inside a loop");
  munmap(s, sizeof *s);
}

static void test_deserted(void) {
  shared *s = make(2);
  sm_schedule a, b;
  sm_schedule_open(&a, (sm_schedule_shm *)s->loops, 0);
  sm_schedule_open(&b, (sm_schedule_shm *)s->loops, 1);
  sm_schedule_plan p = {.n = 4, .kind = SM_SCHEDULE_DYNAMIC};
  sm_schedule_begin(&b, &p, NULL);
  sm_schedule_end(&b);
  sm_schedule_leave(&b);
  int ahead = 0, rc;
  while ((rc = sm_schedule_begin(&a, &p, NULL)) == 0 && ahead < 100) {
    ahead++;
    sm_schedule_end(&a);
  }
  check(ahead == SM_SCHEDULE_SLOTS + 1 && rc == SM_EGONE, "a process may run ahead, but not wait for one that has left");

  shared *t = make(2);
  sm_schedule_open(&a, (sm_schedule_shm *)t->loops, 0);
  sm_schedule_open(&b, (sm_schedule_shm *)t->loops, 1);
  sm_schedule_plan o = {.n = 4, .chunk = 1, .kind = SM_SCHEDULE_STATIC, .ordered = 1};
  int64_t from, to;
  sm_schedule_begin(&a, &o, NULL);
  sm_schedule_claim(&a, &from, &to);
  check(sm_schedule_order(&a, from, NULL) == 0, "item 0 need not wait");
  sm_schedule_pass(&a, from);
  sm_schedule_leave(&b);
  sm_schedule_claim(&a, &from, &to);
  check(from == 2 && sm_schedule_order(&a, from, NULL) == SM_EGONE, "nor may it wait for the item of one that has left");
  munmap(s, sizeof *s);
  munmap(t, sizeof *t);
}

static int reaped(void *arg) {
  void **a = arg;
  int status;
  if (waitpid(*(pid_t *)a[1], &status, WNOHANG) <= 0) return 0;
  atomic_store(&((shared *)a[0])->failed, 1);
  sm_schedule_wake_all((sm_schedule_shm *)((shared *)a[0])->loops);
  return 1;
}

/* The holder of item 0 is killed while item 1 waits for it. */
static void test_kill(void) {
  int seen = 0, other = 0;
  for (int k = 0; k < 20; k++) {
    shared *s = make(3);
    sm_schedule_plan p = {.n = 9, .chunk = 1, .kind = SM_SCHEDULE_STATIC, .ordered = 1};
    pid_t pid[3];
    for (int r = 1; r < 3; r++) {
      pid[r] = fork();
      if (pid[r]) continue;
      sm_schedule me;
      int64_t from, to;
      sm_watch w = {&s->failed, NULL, NULL};
      sm_schedule_open(&me, (sm_schedule_shm *)s->loops, r);
      sm_schedule_begin(&me, &p, &w);
      sm_schedule_claim(&me, &from, &to);
      if (r == 1) {
        sm_schedule_order(&me, from, &w);
        atomic_store(&s->go, 1);
        for (;;) pause();
      }
      atomic_store(&s->outcome, sm_schedule_order(&me, from, &w));
      end_here();
    }
    sm_schedule me;
    int64_t from, to;
    void *arg[2] = {s, &pid[1]};
    sm_watch w = {&s->failed, reaped, arg};
    sm_schedule_open(&me, (sm_schedule_shm *)s->loops, 0);
    sm_schedule_begin(&me, &p, NULL);
    sm_schedule_claim(&me, &from, &to);
    sm_schedule_order(&me, from, NULL);
    sm_schedule_pass(&me, from);
    while (!atomic_load(&s->go)) sched_yield();
    kill(pid[1], SIGKILL);
    sm_schedule_claim(&me, &from, &to);
    seen += sm_schedule_order(&me, from, &w) == SM_EINTR;
    waitpid(pid[2], NULL, 0);
    other += atomic_load(&s->outcome) == SM_EFAILED;
    munmap(s, sizeof *s);
  }
  check(seen == 20, "the watcher stops waiting for an item whose process was killed");
  check(other == 20, "and so do those who watch the flag");
}

static int second_time(void *arg) { return ++*(int *)arg == 2; }

/* A process that waits for another one to set a loop up, which never does. */
static void test_setup(void) {
  shared *s = make(2);
  sm_schedule_slot_shm *slot = (sm_schedule_slot_shm *)((sm_schedule_shm *)s->loops + 1);
  sm_schedule_plan p = plan_of(0);
  sm_schedule first, me;
  sm_schedule_open(&first, (sm_schedule_shm *)s->loops, 0);
  sm_schedule_open(&me, (sm_schedule_shm *)s->loops, 1);
  check(sm_schedule_begin(&first, &p, NULL) == 0, "a loop begins");
  uint32_t ready = atomic_exchange(&slot->state, 1); /* it is being set up */
  int asked = 0;
  sm_watch w = {NULL, second_time, &asked};
  check(sm_schedule_begin(&me, &p, &w) == SM_EINTR && asked == 2, "who waits for a loop to be set up can be interrupted");
  atomic_store(&s->failed, 1);
  w = (sm_watch){&s->failed, NULL, NULL};
  check(sm_schedule_begin(&me, &p, &w) == SM_EFAILED, "and leaves when the group has failed");
  atomic_store(&slot->state, ready);
  check(sm_schedule_begin(&me, &p, &w) == 0, "it has part in one that is ready");
  munmap(s, sizeof *s);
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  test_threads();
  test_processes();
  test_shares();
  test_setup();
  test_disagreement();
  test_deserted();
  test_kill();
  return report();
}
