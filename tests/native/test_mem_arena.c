/* mem_arena, mem_forks: blocks, and who may still use them. */
#include "../../src/mem_arena.h"
#include "../../src/mem_forks.h"
#include "check.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int count_fds(void) {
  int n = 0;
  DIR *d = opendir("/proc/self/fd");
  while (d && readdir(d)) n++;
  if (d) closedir(d);
  return n;
}

static void test_basic(void) {
  int fds = count_fds();
  size_t n, bytes;
  sm_small *b[3000];
  int ok = 1;
  for (size_t i = 0; i < 3000; i++) {
    size_t size = i * 11 % (SM_SMALL_MAX + 1);
    ok &= sm_small_new(size, &b[i]) == 0 && (uintptr_t)b[i]->data % 16 == 0 && b[i]->nbytes >= size && sm_small_valid(b[i]);
    for (size_t k = 0; ok && k < size; k++) ok &= b[i]->data[k] == 0;
    memset(b[i]->data, (int)(i % 251), size);
  }
  check(ok, "blocks are aligned, large enough and zero");
  for (size_t i = 0; i < 3000; i++)
    for (size_t k = 0; k < i * 11 % (SM_SMALL_MAX + 1); k++) ok &= b[i]->data[k] == (uint8_t)(i % 251);
  check(ok, "blocks do not overlap");
  sm_small_usage(&n, &bytes);
  check(n == 3000 && bytes > 3000 * 16, "blocks are counted");
  uint8_t *where = b[77]->data;
  sm_small_ref(b[77]);
  sm_small_unref(b[77]);
  check(b[77]->refs == 1 && sm_small_valid(b[77]), "a block with a ref left stays");
  sm_small_unref(b[77]);
  check(sm_small_new(77 * 11, &b[77]) == 0 && b[77]->data == where, "a freed block is used again");
  ok = 1;
  for (size_t k = 0; k < 77 * 11; k++) ok &= b[77]->data[k] == 0;
  check(ok, "and is zero again");
  for (size_t i = 0; i < 3000; i++) sm_small_unref(b[i]);
  sm_small_usage(&n, &bytes);
  check(n == 0 && bytes == 0 && count_fds() == fds, "when all are freed no block and no descriptor is left");
  sm_small *big;
  check(sm_small_new(SM_SMALL_LARGEST + 1, &big) == SM_ERANGE, "a block that is too large is refused");
}

/* A child that waits until its pipe is closed, then runs `then` and ends. */
static pid_t child(int *gate, int (*then)(void)) {
  int p[2];
  if (pipe(p) < 0) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    char c;
    close(p[1]);
    while (read(p[0], &c, 1) > 0) {}
    exit(then());
  }
  close(p[0]);
  *gate = p[1];
  return pid;
}

static int finish(pid_t pid, int gate) {
  int status;
  close(gate);
  waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static sm_small *watched;

static int sees_seven(void) {
  const uint8_t *data = watched->data;
  int ok = sm_small_valid(watched) && data[0] == 7;
  sm_small_unref(watched);
  sm_small *own;
  ok &= sm_small_new(100, &own) == 0 && own->data != data && data[0] == 7;
  sm_small_unref(own);
  return !ok;
}

static void test_fork(void) {
  sm_small *anchor, *b[50];
  int gate, reused = 0;
  sm_small_new(16, &anchor);
  sm_small_new(100, &watched);
  watched->data[0] = 7;
  uint8_t *where = watched->data;
  pid_t pid = child(&gate, sees_seven);
  sm_small_unref(watched);
  for (int i = 0; i < 50; i++) {
    sm_small_new(100, &b[i]);
    memset(b[i]->data, 9, 100);
    reused |= b[i]->data == where;
  }
  check(!reused, "a block that a running child may use is not used again");
  check(finish(pid, gate), "the child finds it as it was, drops it, and carves blocks of its own");
  for (int i = 0; i < 50; i++) sm_small_unref(b[i]);
  for (int i = 0; i < 100 && !reused; i++) { /* enough to fill the chunk, so that quarantine is looked at */
    sm_small *more[200];
    for (int k = 0; k < 200; k++) {
      sm_small_new(100, &more[k]);
      reused |= more[k]->data == where;
    }
    if (reused)
      for (int k = 0; k < 200; k++) sm_small_unref(more[k]);
  }
  check(reused, "after the child has ended it is");

  sm_small *later;
  pid = child(&gate, sees_seven);
  sm_small_new(2000, &later);
  where = later->data;
  sm_small_unref(later);
  sm_small_new(2000, &later);
  check(later->data == where, "a block carved after the fork does not wait for the child");
  sm_small_unref(later);
  kill(pid, SIGKILL);
  finish(pid, gate);
  sm_small_unref(anchor);
}

static int drop_and_end(void) {
  sm_small_unref(watched);
  return 0;
}

static void test_inherited(void) {
  sm_small *other;
  int gate;
  sm_small_new(64, &watched);
  pid_t pid = child(&gate, drop_and_end);
  check(finish(pid, gate), "a child drops an inherited block");
  check(sm_small_valid(watched), "which leaves the parent's as it was");
  sm_small_new(64, &other);
  check(other->data != watched->data, "and in use");
  sm_small_unref(other);
  sm_small_unref(watched);
}

static void test_attach(void) {
  sm_small *b, *again;
  sm_small_new(64, &b);
  sm_segment *seg = b->seg;
  check(sm_small_attach(seg, b->offset, b->id, 64, &again) == 0 && again == b && b->refs == 2, "a block is found by its id");
  sm_small_unref(again);
  check(sm_small_attach(seg, b->offset, b->id ^ 1, 64, &again) == SM_EGONE, "another id is refused");
  check(sm_small_attach(seg, b->offset, b->id, 65, &again) == SM_EGONE, "more than the block holds is refused");
  check(sm_small_attach(seg, b->offset + 8, b->id, 64, &again) == SM_EFORMAT, "an odd offset is refused");
  check(sm_small_attach(seg, UINT64_MAX - 15, b->id, 64, &again) == SM_EFORMAT, "an offset outside is refused");
  check(sm_small_attach(seg, 0, b->id, 16, &again) == SM_EFORMAT, "an offset without a header is refused");
  srand(7);
  int hits = 0;
  for (int i = 0; i < 100000; i++) {
    uint64_t offset = (uint64_t)rand() % (seg->nbytes + 4096);
    if (sm_small_attach(seg, offset, (uint64_t)rand() % 4, (size_t)rand() % 70000, &again) == 0) hits++;
  }
  check(hits == 0, "no random offset and id finds a block");
  sm_small_keep(b);
  uint8_t *where = b->data;
  uint64_t id = b->id, offset = b->offset;
  sm_small_unref(b);
  sm_small *c;
  sm_small_new(64, &c);
  check(c->data != where, "a block that was sent away is never used again");
  check(sm_small_attach(seg, offset, id, 64, &again) == 0 && again->data == where, "and is found when it comes back");
  sm_small_unref(again);
  sm_small_unref(c);
}

typedef struct {
  uint64_t segment[2], id, offset;
  int fd;
} address;

#ifdef __linux__ /* elsewhere memory of another process is not found by its descriptor */
/* Outside the family: forked before the arena's blocks were made. */
static int outsider(int in, int out) {
  address at;
  char c = 0;
  sm_segment *seg;
  sm_small *b;
  if (read(in, &at, sizeof at) != sizeof at) return 1;
  uint64_t wrong[2] = {at.segment[0] + 1, at.segment[1]};
  if (sm_segment_open(getppid(), at.fd, wrong, &seg) != SM_EGONE) return 2;
  if (sm_segment_open(getppid(), 9999, at.segment, &seg) != SM_EGONE) return 3;
  if (sm_segment_open(getppid(), at.fd, at.segment, &seg) != 0) return 4;
  if (sm_small_attach(seg, at.offset, at.id, 200, &b) != 0) return 5;
  sm_segment_unref(seg);
  if (!b->pinned || b->data[0] != 5) return 6;
  if (write(out, &c, 1) != 1 || read(in, &c, 1) != 1) return 7;
  if (!sm_small_valid(b) || b->data[0] != 5) return 8;
  sm_small_unref(b);
  if (write(out, &c, 1) != 1 || read(in, &c, 1) != 1) return 9;
  return 0;
}

static void test_outsider(void) {
  int to[2], from[2];
  char c = 0;
  if (pipe(to) < 0 || pipe(from) < 0) return;
  pid_t pid = fork();
  if (pid == 0) {
    close(to[1]);
    close(from[0]);
    exit(outsider(to[0], from[1]));
  }
  close(to[0]);
  close(from[1]);
  sm_small *b, *c1, *anchor;
  sm_small_new(16, &anchor);
  sm_small_new(200, &b);
  b->data[0] = 5;
  uint8_t *where = b->data;
  address at = {{b->seg->id[0], b->seg->id[1]}, b->id, b->offset, b->seg->fd};
  int ok = write(to[1], &at, sizeof at) == sizeof at && read(from[0], &c, 1) == 1;
  check(ok, "another process attaches to a block");
  if (ok) {
    sm_small_unref(b);
    sm_small_new(200, &c1);
    check(c1->data != where, "its block is not used again while it is attached");
    memset(c1->data, 1, 200);
    ok = write(to[1], &c, 1) == 1 && read(from[0], &c, 1) == 1;
    check(ok, "and it reads what was there");
    sm_small_unref(c1);
    int reused = 0;
    sm_small *more[20000];
    int n = 0;
    while (n < 20000 && !reused) {
      sm_small_new(200, &more[n]);
      reused = more[n++]->data == where;
    }
    while (n > 0) sm_small_unref(more[--n]);
    check(reused, "after it has let go the block is used again");
  }
  ok = write(to[1], &c, 1) == 1;
  int status;
  close(to[1]);
  waitpid(pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) printf("outsider: %d\n", WEXITSTATUS(status));
  sm_small_unref(anchor);
  check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the other process saw all it should");
}

#endif

int main(void) {
  signal(SIGPIPE, SIG_IGN);
#ifdef __linux__
  test_outsider(); /* first: what it forks must inherit no block */
#endif
  test_basic();
  test_fork();
  test_inherited();
  test_attach();
  return report();
}
