/* kern_threads.c: see kern_threads.h.
 *
 * Ownership: the array of threads lives in sm_threads_run(); each thread has been joined when it returns.
 * Fork and signals: threads start with every signal but SIGBUS blocked, so R's handlers run in the calling
 * thread only; its mask is restored before anything else happens.
 * Errors: the code in sm_stop; a thread that cannot be started is no error.
 */
#define _GNU_SOURCE
#include "kern_threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define LARGE ((size_t)4 << 20)

void sm_stop_init(sm_stop *s, bool (*poll)(void *), void *arg) {
  atomic_init(&s->code, 0);
  s->poll = poll;
  s->arg = arg;
  s->next_ns = sm_clock_ns() + SM_POLL_MS * 1000000ull;
}

void sm_stop_set(sm_stop *s, int code) {
  int none = 0;
  atomic_compare_exchange_strong(&s->code, &none, code);
}

bool sm_stop_due(sm_stop *s, int rank) {
  if (atomic_load_explicit(&s->code, memory_order_relaxed) != 0) return true;
  if (rank != 0 || !s->poll) return false;
  uint64_t now = sm_clock_ns();
  if (now < s->next_ns) return false;
  if (s->poll(s->arg)) sm_stop_set(s, SM_EINTR);
  s->next_ns = sm_clock_ns() + SM_POLL_MS * 1000000ull;
  return atomic_load(&s->code) != 0;
}

typedef struct {
  const sm_work *work;
  sm_thread_fn fn;
  void *arg;
  int np;
  pthread_mutex_t lock;
  pthread_cond_t done;
  int running;
} crew;

typedef struct {
  crew *crew;
  int rank;
} member;

static void run_guarded(void *ctx) {
  const member *m = ctx;
  m->crew->fn(m->crew->arg, m->rank, m->crew->np);
}

static void run_rank(crew *c, int rank) {
  member m = {c, rank};
  int rc = 0;
  if (c->work->guard) rc = c->work->guard(run_guarded, &m);
  else run_guarded(&m);
  if (rc < 0) sm_stop_set(c->work->stop, rc);
}

static void *member_run(void *arg) {
  member *m = arg;
  crew *c = m->crew;
  run_rank(c, m->rank);
  pthread_mutex_lock(&c->lock);
  if (--c->running == 0) pthread_cond_signal(&c->done);
  pthread_mutex_unlock(&c->lock);
  return NULL;
}

/* Start ranks 1 to np - 1; gives how many threads run (they are the ranks 1 to that number). */
static int crew_start(crew *c, member *members, pthread_t *threads) {
  sigset_t all, before;
  pthread_attr_t attr;
  int started = 0;
  sigfillset(&all);
  sigdelset(&all, SIGBUS); /* a guard has to see it: blocked, a fault would end the process */
  if (pthread_attr_init(&attr) != 0) return 0;
  pthread_attr_setstacksize(&attr, (size_t)2 << 20);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (int r = 1; r < c->np; r++) {
    members[r] = (member){c, r};
    pthread_mutex_lock(&c->lock);
    c->running++;
    pthread_mutex_unlock(&c->lock);
    if (pthread_create(&threads[r], &attr, member_run, &members[r]) != 0) {
      pthread_mutex_lock(&c->lock);
      c->running--;
      pthread_mutex_unlock(&c->lock);
      break;
    }
    started++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attr);
  return started;
}

/* Wait in slices, so that an interrupt is seen while only the others still work. */
static void crew_wait(crew *c, sm_stop *stop) {
  pthread_mutex_lock(&c->lock);
  while (c->running > 0) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += SM_POLL_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
      until.tv_sec++;
      until.tv_nsec -= 1000000000L;
    }
    pthread_cond_timedwait(&c->done, &c->lock, &until);
    if (c->running == 0) break;
    pthread_mutex_unlock(&c->lock);
    sm_stop_due(stop, 0);
    pthread_mutex_lock(&c->lock);
  }
  pthread_mutex_unlock(&c->lock);
}

int sm_threads_run(const sm_work *work, sm_thread_fn fn, void *arg) {
  crew c = {.work = work, .fn = fn, .arg = arg, .np = work->np > SM_THREADS_MAX ? SM_THREADS_MAX : work->np < 1 ? 1 : work->np};
  if (c.np == 1) {
    run_rank(&c, 0);
    return atomic_load(&work->stop->code);
  }
  member members[SM_THREADS_MAX];
  pthread_t threads[SM_THREADS_MAX];
  pthread_mutex_init(&c.lock, NULL);
  pthread_cond_init(&c.done, NULL);
  int started = crew_start(&c, members, threads);
  run_rank(&c, 0);
  for (int r = started + 1; r < c.np; r++) run_rank(&c, r);
  crew_wait(&c, work->stop);
  for (int r = 1; r <= started; r++) pthread_join(threads[r], NULL);
  pthread_cond_destroy(&c.done);
  pthread_mutex_destroy(&c.lock);
  return atomic_load(&work->stop->code);
}

int sm_threads_one(const sm_work *work, sm_thread_fn fn, void *arg) {
  sm_work one = {1, work->stop, work->guard};
  return sm_threads_run(&one, fn, arg);
}

sm_work sm_work_for(const sm_work *work, int64_t n, int64_t grain) {
  return (sm_work){sm_threads_for(work->np, n, grain), work->stop, work->guard};
}

int sm_threads_available(void) {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 && n <= 65536 ? (int)n : 1;
}

int sm_threads_for(int np, int64_t n, int64_t grain) {
  int64_t most = n / grain;
  if (most < np) np = (int)most;
  if (np > SM_THREADS_MAX) np = SM_THREADS_MAX;
  return np < 1 ? 1 : np;
}

int64_t sm_share(int64_t n, int rank, int np, int64_t align) {
  if (rank >= np) return n;
  int64_t blocks = (n + align - 1) / align;
  int64_t at = (blocks / np * rank + blocks % np * rank / np) * align;
  return at < n ? at : n;
}

/* Before they are touched for the first time: huge pages for the whole ones within p[0, nbytes). */
static void advise_huge(void *p, size_t nbytes) {
#ifdef MADV_HUGEPAGE
  uintptr_t from = ((uintptr_t)p + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  uintptr_t to = ((uintptr_t)p + nbytes) / HUGE_PAGE * HUGE_PAGE;
  if (from < to) madvise((void *)from, to - from, MADV_HUGEPAGE);
#else
  (void)p;
  (void)nbytes;
#endif
}

void *sm_scratch_new(size_t nbytes) {
  void *p = malloc(nbytes > 0 ? nbytes : 1);
  if (p && nbytes >= LARGE) advise_huge(p, nbytes);
  return p;
}

void sm_scratch_free(void *p) { free(p); }
