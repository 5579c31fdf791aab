/* Blocks of the pool: whole, apart from each other, used again, and not shared with forks once they are free. */
#define _GNU_SOURCE
#include <errno.h>

#include "mem_pool.h"

#include "check.h"

#define BLOCKS 200

static void fill(uint8_t *p, size_t n, uint8_t v) {
  for (size_t i = 0; i < n; i += 4096) p[i] = v;
  p[n - 1] = v;
}

static int holds(const uint8_t *p, size_t n, uint8_t v) {
  for (size_t i = 0; i < n; i += 4096)
    if (p[i] != v) return 0;
  return p[n - 1] == v;
}

/* Random takes and gives; every block keeps what was written into it. */
static void churn(void) {
  sm_extent b[BLOCKS] = {{0}};
  size_t live = 0;
  int good = 1;
  for (int round = 0; round < 5000; round++) {
    int i = (int)(draw() % BLOCKS);
    if (b[i].p) {
      good &= holds(b[i].p, b[i].nbytes, (uint8_t)i);
      live -= b[i].nbytes;
      sm_pool_give(&b[i]);
    } else {
      size_t n = 1 + (size_t)(draw() % (round % 10 ? 300000 : 30000000));
      int rc = sm_pool_take(n, &b[i]);
      good &= rc == 0 && b[i].nbytes >= n;
      if (rc < 0) continue;
      live += b[i].nbytes;
      fill(b[i].p, b[i].nbytes, (uint8_t)i);
    }
    good &= sm_pool_live() == live;
  }
  check(good, "blocks hold what was written, and are counted");
  for (int i = 0; i < BLOCKS; i++) sm_pool_give(&b[i]);
  check(sm_pool_live() == 0, "nothing is left");
}

static void again(void) {
  sm_extent a, b;
  check(sm_pool_take((size_t)20 << 20, &a) == 0, "a block");
  fill(a.p, a.nbytes, 7);
  void *at = a.p;
  sm_pool_give(&a);
  sm_pool_give(&a);
  check(sm_pool_live() == 0 && sm_pool_take((size_t)20 << 20, &b) == 0 && b.p == at, "the same block comes again");
  sm_pool_give(&b);
  check(sm_pool_take(SIZE_MAX, &a) < 0 && sm_pool_take(0, &a) < 0, "sizes that cannot be");
  check(sizeof(size_t) < 8 || sm_pool_take(SIZE_MAX / 2, &a) < 0, "more than there is address space for");
}

/* Is the page mapped here? */
static int is_mapped(void *p) {
  unsigned char there;
  return mincore(p, 4096, &there) == 0 || errno != ENOMEM;
}

static void forks(void) {
  sm_extent used, freed, own;
  check(sm_pool_take((size_t)3 << 20, &used) == 0 && sm_pool_take((size_t)3 << 20, &freed) == 0, "two blocks");
  fill(used.p, used.nbytes, 1);
  fill(freed.p, freed.nbytes, 2);
  void *at = freed.p;
  sm_pool_give(&freed);
  size_t live = sm_pool_live();
  pid_t pid = fork();
  if (pid == 0) {
    int ok = holds(used.p, used.nbytes, 1) && sm_pool_live() == 0;
#ifdef __linux__
    ok = ok && !is_mapped(at);
#endif
    ok = ok && sm_pool_take((size_t)5 << 20, &own) == 0;
    fill(own.p, own.nbytes, 3);
    ok = ok && holds(used.p, used.nbytes, 1);
    sm_pool_give(&used);
    ok = ok && sm_pool_live() == own.nbytes;
    sm_pool_give(&own);
    _exit(ok && sm_pool_live() == 0 ? 0 : 1);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  check(status == 0, "a fork has what is in use, not what is free, and a pool of its own");
  check(holds(used.p, used.nbytes, 1) && sm_pool_live() == live, "and the parent's is untouched");
  sm_pool_give(&used);
}

/* A child has what was in use when it was forked, whatever becomes of it here meanwhile. */
static void used_again(void) {
  sm_extent b;
  int go[2];
  check(pipe(go) == 0 && sm_pool_take((size_t)5 << 20, &b) == 0, "a block");
  fill(b.p, b.nbytes, 1);
  pid_t pid = fork();
  if (pid == 0) {
    char c;
    _exit(read(go[0], &c, 1) == 1 && holds(b.p, b.nbytes, 1) ? 0 : 1);
  }
  void *at = b.p;
  sm_pool_give(&b);
  check(sm_pool_take((size_t)5 << 20, &b) == 0 && b.p == at, "the same block while a child has it");
  fill(b.p, b.nbytes, 2);
  check(holds(b.p, b.nbytes, 2), "is the parent's own");
  int status = -1;
  check(write(go[1], "x", 1) == 1, "the child goes on");
  waitpid(pid, &status, 0);
  check(status == 0, "and has what it had");
  close(go[0]), close(go[1]);
  sm_pool_give(&b);
}

/* Bytes resident here. */
static size_t resident(void) {
  size_t pages = 0, rest = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f && fscanf(f, "%zu %zu", &rest, &pages) != 2) pages = 0;
  if (f) fclose(f);
  return pages * 4096;
}

static void trim(void) {
  sm_extent a, b;
  check(sm_pool_take((size_t)20 << 20, &a) == 0 && sm_pool_take((size_t)20 << 20, &b) == 0, "two blocks");
  fill(a.p, a.nbytes, 1);
  fill(b.p, b.nbytes, 2);
  sm_pool_give(&a);
  size_t before = resident();
  sm_pool_trim();
  check(before == 0 || resident() + ((size_t)15 << 20) < before, "what is free goes back");
  check(holds(b.p, b.nbytes, 2), "what is in use stays");
  sm_pool_give(&b);
}

int main(void) {
  again();
  trim();
  churn();
  if (!UNDER_QEMU) forks(); /* it does not know MADV_DONTFORK */
  used_again();
  return report();
}
