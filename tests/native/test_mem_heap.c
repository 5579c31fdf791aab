/* mem_heap: what tuned malloc gives back, it gives out again without new page faults; none of the advice changes a byte. */
#include "check.h"

#include <stdatomic.h>
#include <sys/resource.h>

#include "../../src/mem_heap.h"
#include "../../src/mem_limit.h"

#define MIB ((size_t)1 << 20)

typedef struct {
  _Atomic long first, again, large, intact;
} faults;

static long faults_now(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_minflt;
}

/* Page faults while a block of n bytes is filled and freed. */
static long fill(size_t n, faults *f) {
  long before = faults_now();
  unsigned char *volatile p = malloc(n);
  if (!p) exit(2);
  memset(p, 7, n);
  if (p[0] != 7 || p[n - 1] != 7) atomic_store(&f->intact, 0);
  free(p);
  return faults_now() - before;
}

static void worker(void *arg, int reserve_mib) {
  faults *f = arg;
  sm_heap_tune_child((size_t)reserve_mib * MIB);
  atomic_store(&f->intact, 1);
  atomic_store(&f->first, fill(24 * MIB, f));
  atomic_store(&f->again, fill(24 * MIB, f));
  atomic_store(&f->large, fill(80 * MIB, f));
}

static void in_worker(bool tunes) {
  faults *f = shared_memory(sizeof *f);
  check(end_of(start_child(worker, f, 64)) == 0, "a worker with a stretch ends well");
  check(atomic_load(&f->intact) == 1, "the blocks hold what was written");
  if (tunes) {
    check(atomic_load(&f->first) > 0, "the first block faults its pages in");
    check(atomic_load(&f->again) <= 8, "the second block lies on the same pages");
  }
  check(end_of(start_child(worker, f, 0)) == 0 && atomic_load(&f->intact) == 1, "without a stretch malloc is as before");
  check(end_of(start_child(worker, f, 4096)) == 0 && atomic_load(&f->intact) == 1, "a stretch past the range of an int is none");
  munmap(f, sizeof *f);
}

static void before_forks(bool tunes) {
  size_t one = sm_heap_before_fork(1), many = sm_heap_before_fork(1 << 20);
  check(one <= (size_t)1 << 30, "a worker gets 1 GiB at most");
  check(one == 0 || one >= 64 * MIB, "and no stretch that is too small to pay");
  check(many == 0, "a million workers get none");
  check(tunes || one == 0, "where it cannot be tuned there is none");
  sm_heap_forks_ended();
  check(sm_heap_before_fork(1) <= (size_t)1 << 30, "the same after forks have ended");
}

static void advice(void) {
  size_t n = 32 * MIB;
  unsigned char *p = malloc(n);
  if (!p) exit(2);
  memset(p, 3, n);
  sm_heap_want_huge(p + 1, n - 1);
  sm_heap_want_huge(p, 10);
  sm_heap_want_huge(NULL, 0);
  size_t wrong = 0;
  for (size_t i = 0; i < n; i++) wrong += p[i] != 3;
  check(wrong == 0, "advice about huge pages changes nothing");
  free(p);
}

int main(void) {
#if defined(__GLIBC__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(UNDER_TSAN)
  bool tunes = sm_limit_space_is_free();
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
  tunes = false;
#endif
#endif
#else
  bool tunes = false;
#endif
  in_worker(tunes);
  before_forks(tunes);
  advice();
  return report();
}
