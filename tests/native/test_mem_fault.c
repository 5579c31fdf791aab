/* Memory whose file shrinks: the guard gives SM_ECHANGED, in every thread, and leaves the disposition of SIGBUS as it was. */
#define _GNU_SOURCE
#include "kern_reduce.h"
#include "kern_sort.h"
#include "mem_fault.h"

#include "check.h"

#define SIZE ((size_t)1 << 20)

/* A mapping of SIZE bytes over a file of `size`. */
static uint8_t *mapped(size_t size, int *fd) {
  char name[] = "/tmp/mem_faultXXXXXX";
  *fd = mkstemp(name);
  unlink(name);
  if (*fd < 0 || ftruncate(*fd, (off_t)SIZE) < 0) exit(2);
  uint8_t *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
  if (p == MAP_FAILED || ftruncate(*fd, (off_t)size) < 0) exit(2);
  return p;
}

static void drop(uint8_t *p, int fd) {
  munmap(p, SIZE);
  close(fd);
}

static void copies(void) {
  int fd;
  uint8_t *p = mapped(SIZE / 2, &fd), buffer[64];
  check(guarded_copy(buffer, p, sizeof buffer) == 0, "copy of what is there");
  check(guarded_copy(buffer, p + SIZE - 64, sizeof buffer) == SM_ECHANGED, "copy of what is gone");
  check(guarded_copy(p + SIZE - 64, buffer, sizeof buffer) == SM_ECHANGED, "write to what is gone");
  check(guarded_copy(buffer, p, sizeof buffer) == 0, "and again of what is there");
  drop(p, fd);
}

static void nested(void *ctx) { *(int *)ctx = guarded_copy(&(int){0}, &(int){1}, sizeof(int)); }

static int handled;
static void note(int sig) {
  (void)sig;
  handled++;
}

static void call_suspended(void *ctx) {
  void *guard = sm_fault_suspend();
  raise(SIGBUS); /* none of the guard's: the handler that stood before has it */
  *(int *)ctx = guarded_copy(&(int){0}, &(int){1}, sizeof(int));
  sm_fault_resume(guard);
}

static void dispositions(void) {
  struct sigaction before = {.sa_handler = note}, after;
  int rc = 0;
  sigaction(SIGBUS, &before, NULL);
  check(sm_fault_guard(nested, &rc) == 0 && rc == SM_EMISUSE, "guarded calls do not nest");
  check(sm_fault_guard(call_suspended, &rc) == 0 && rc == 0 && handled == 1, "a suspended guard handles nothing and may be entered");
  sigaction(SIGBUS, NULL, &after);
  check(after.sa_handler == note, "the handler that stood before stands again");
  raise(SIGBUS);
  check(handled == 2, "and is called");
  signal(SIGBUS, SIG_DFL);
}

typedef struct {
  uint8_t *p;
  int bad;
} shared_map;

static void touch_gone(void *arg, int rank) {
  shared_map *m = arg;
  uint8_t buffer[64];
  for (int i = 0; i < 200; i++) {
    size_t at = (size_t)rank * 64 + (i % 2 ? SIZE / 2 : 0);
    if (guarded_copy(buffer, m->p + at, sizeof buffer) != (i % 2 ? SM_ECHANGED : 0)) __atomic_store_n(&m->bad, 1, __ATOMIC_RELAXED);
  }
}

static void threads(void) {
  int fd;
  shared_map m = {mapped(SIZE / 2, &fd), 0};
  check(run_group(4, 1, touch_gone, &m) == 0 && !m.bad, "several threads, each with what is there and what is not");
  drop(m.p, fd);
}

/* Each rank reads its half of a mapping whose second half is gone. */
static void read_half(void *arg, int rank, int np) {
  volatile uint8_t *p = (uint8_t *)arg + SIZE / (size_t)np * (size_t)rank;
  (void)p[0];
}

static void ranks(void) {
  int fd;
  uint8_t *p = mapped(SIZE / 2, &fd);
  sm_stop stop;
  sm_work work = {2, &stop, sm_fault_guard};
  sm_stop_init(&stop, NULL, NULL);
  check(sm_threads_run(&work, read_half, p) == SM_ECHANGED, "a fault in a thread that the kernel started is guarded");
  drop(p, fd);
}

/* Kernels over what is gone end with SM_ECHANGED and keep nothing (the sanitizer looks for leaks). */
static void kernels(void) {
  int fd;
  uint8_t *p = mapped(SIZE / 2, &fd);
  int64_t n = (int64_t)(SIZE / 8);
  int32_t *out = malloc((size_t)n * sizeof *out);
  for (int np = 1; np <= 2; np++) {
    sm_stop stop;
    sm_work work = {np, &stop, sm_fault_guard};
    sm_stop_init(&stop, NULL, NULL);
    sm_numbers of = {{SM_F8, 0, 8}, p, n, false};
    sm_sum sum;
    check(sm_reduce_sum(&of, &work, &sum) == SM_ECHANGED, "sum over a file that shrank");
    sm_keys k = {SM_KEY_F8, p, n, 8, false};
    sm_argsort_plan plan;
    sm_stop_init(&stop, NULL, NULL);
    check(sm_argsort_look(&k, &work, &plan) == SM_ECHANGED, "look at a file that shrank");
    /* the file shrinks between the passes: ties of unequal values are looked at once more, in cells */
    if (ftruncate(fd, (off_t)SIZE) < 0) exit(2);
    for (int64_t i = 0; i < n; i++) ((double *)(void *)p)[i] = draw_unit();
    sm_stop_init(&stop, NULL, NULL);
    check(sm_argsort_look(&k, &work, &plan) == 0, "look at the whole file");
    if (ftruncate(fd, (off_t)SIZE / 2) < 0) exit(2);
    check(sm_argsort_run(&plan, SM_MISSING_LAST, (sm_places){SM_PLACE_I4, out}) == SM_ECHANGED, "sort of a file that shrank");
    sm_argsort_free(&plan);
  }
  free(out);
  drop(p, fd);
}

int main(void) {
  copies();
  dispositions();
  threads();
  ranks();
  kernels();
  return report();
}
