/* Nanoseconds an event of a trace costs its worker: into a ring, into a full ring, and with the clock. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../src/task_trace.h"

#define EVENTS 1000000
#define ROUNDS 21

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double run(sm_trace_shm *t, int clocks) {
  uint64_t start = sm_clock_ns(), t0 = start;
  for (int i = 0; i < EVENTS; i++) {
    uint64_t t1 = clocks ? sm_clock_ns() : t0 + 5;
    sm_trace_record(t, 0, SM_TRACE_ITEM, i, t0, t1);
    t0 = clocks > 1 ? sm_clock_ns() : t1;
  }
  return (double)(sm_clock_ns() - start) / EVENTS;
}

static double median(uint32_t capacity, int clocks, int fresh) {
  double ns[ROUNDS];
  size_t nbytes = sm_trace_nbytes(1, capacity);
  sm_trace_shm *t = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < ROUNDS; i++) {
    if (fresh) {
      munmap(t, nbytes);
      t = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    }
    sm_trace_init(t, nbytes, 1, capacity);
    atomic_store(&sm_trace_ring(t, 0)->count, 0);
    ns[i] = run(t, clocks);
  }
  munmap(t, nbytes);
  qsort(ns, ROUNDS, sizeof ns[0], by_value);
  return ns[ROUNDS / 2];
}

int main(void) {
  printf("%.1f\n", median(EVENTS, 0, 0)); /* pages there */
  printf("%.1f\n", median(EVENTS, 0, 1)); /* fresh pages, as in a map */
  printf("%.1f\n", median(0, 0, 0));      /* full: summed up */
  printf("%.1f\n", median(EVENTS, 2, 1)); /* fresh pages and two looks at the clock */
  return 0;
}
