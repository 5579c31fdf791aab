/* The floor of fromfile(): the same bytes by pread() into fresh shared memory, from as many threads, in plain C.
 *
 *   cc -O2 -pthread -o floor bench/fromfile_floor.c && ./floor FILE THREADS REPEATS
 *
 * prints the milliseconds of each repeat for: fresh   anonymous shared memory as mmap() gives it
 *                                             huge    the same advised to huge pages and populated slice by slice
 *                                             again   pages that were there before
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SLICE ((size_t)2 << 20)
#define MOST 64

typedef struct {
  int fd, populate;
  char *to;
  size_t nbytes;
  _Atomic size_t *next;
} job;

static void *work(void *arg) {
  job *j = arg;
  for (;;) {
    size_t at = __atomic_fetch_add((size_t *)j->next, SLICE, __ATOMIC_RELAXED);
    if (at >= j->nbytes) return NULL;
    size_t n = j->nbytes - at < SLICE ? j->nbytes - at : SLICE;
#ifdef MADV_POPULATE_WRITE
    if (j->populate) madvise(j->to + at, n, MADV_POPULATE_WRITE);
#endif
    if (pread(j->fd, j->to + at, n, (off_t)at) != (ssize_t)n) return arg;
  }
}

static double ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Gives the milliseconds, or -1. */
static double run(int fd, char *to, size_t nbytes, int threads, int populate) {
  _Atomic size_t next = 0;
  job j = {fd, populate, to, nbytes, &next};
  pthread_t thread[MOST];
  void *failed = NULL, *one;
  double start = ms();
  for (int i = 1; i < threads; i++)
    if (pthread_create(&thread[i], NULL, work, &j) != 0) return -1;
  failed = work(&j);
  for (int i = 1; i < threads; i++) {
    pthread_join(thread[i], &one);
    if (one) failed = one;
  }
  return failed ? -1 : ms() - start;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int fd = open(argv[1], O_RDONLY), threads = atoi(argv[2]), repeats = atoi(argv[3]);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0 || threads < 1 || threads > MOST) return 2;
  size_t n = (size_t)st.st_size;
  for (int r = 0; r < repeats; r++) {
    for (int huge = 0; huge < 2; huge++) {
      double start = ms();
      char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
      if (p == MAP_FAILED) return 1;
#ifdef MADV_HUGEPAGE
      if (huge) madvise(p, n, MADV_HUGEPAGE);
#endif
      if (run(fd, p, n, threads, huge) < 0) return 1;
      printf("%s %.1f\n", huge ? "huge" : "fresh", ms() - start);
      if (huge) printf("again %.1f\n", run(fd, p, n, threads, 0));
      munmap(p, n);
    }
  }
  return 0;
}
