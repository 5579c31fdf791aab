/* What a barrier between processes costs in C: `barrier_floor KIND PROCESSES ROUNDS` prints microseconds a
 * barrier. KIND: pthread (process-shared, in an anonymous mapping) or ours (src/sync_barrier.c). Linked with
 * sync_barrier.c and sync_futex.c. */
#include "../src/sync_barrier.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct {
  sm_barrier_shm ours;
  pthread_barrier_t theirs;
} shared;

static void rounds(shared *s, int ours, int n) {
  for (int k = 0; k < n; k++) {
    uint32_t round;
    if (!ours) pthread_barrier_wait(&s->theirs);
    else if (sm_barrier_arrive(&s->ours, 1, &round) == 0) sm_barrier_await(&s->ours, round, NULL);
  }
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int ours = strcmp(argv[1], "ours") == 0, nproc = atoi(argv[2]), n = atoi(argv[3]);
  shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_barrierattr_t a;
  pthread_barrierattr_init(&a);
  pthread_barrierattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init(&s->theirs, &a, (unsigned)nproc);
  sm_barrier_init(&s->ours, nproc, sysconf(_SC_NPROCESSORS_ONLN) >= nproc);
  for (int i = 1; i < nproc; i++)
    if (fork() == 0) {
      rounds(s, ours, n + 1);
      return 0;
    }
  rounds(s, ours, 1);
  double start = seconds();
  rounds(s, ours, n);
  printf("%.3f\n", (seconds() - start) / n * 1e6);
  while (wait(NULL) > 0) continue;
  return 0;
}
