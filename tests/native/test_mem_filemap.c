/* mem_filemap, mem_fault, mem_limit: files, files that shrink, and what the system says it has. */
#include "../../src/mem_fault.h"
#include "../../src/mem_filemap.h"
#include "../../src/mem_limit.h"
#include "check.h"
#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void put(const char *path, const char *text, size_t n) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || write(fd, text, n) != (ssize_t)n) n_failed++;
  close(fd);
}

static void test_modes(void) {
  const char *path = in_folder("modes");
  sm_segment *s;
  sm_filemap_file f;
  check(sm_filemap_open(path, SM_FILEMAP_READ, &f) == -ENOENT, "a missing file is an error");
  check(sm_filemap_open(folder, SM_FILEMAP_READ, &f) == -EISDIR, "so is a folder");
  check(mkfifo(in_folder("fifo"), 0600) == 0 && sm_filemap_open(in_folder("fifo"), SM_FILEMAP_UPDATE, &f) == SM_EFORMAT,
        "a FIFO is refused, and not waited for");
  put(path, "0123456789", 10);
  check(sm_filemap_open(path, SM_FILEMAP_UPDATE, &f) == 0 && f.size == 10, "a file tells its size");
  check(sm_filemap_map(&f, SM_FILEMAP_UPDATE, 4, 7, &s) == SM_ESHORT, "more than the file has is refused");
  check(sm_filemap_map(&f, SM_FILEMAP_UPDATE, UINT64_MAX - 2, 7, &s) == -EFBIG, "an offset past all is refused");
  check(sm_filemap_map(&f, SM_FILEMAP_UPDATE, 3, 7, &s) == 0 && memcmp(s->payload, "3456789", 7) == 0, "an offset is kept");
  s->payload[0] = 'x';
  check(sm_filemap_flush(s) == 0, "changes are flushed");
  sm_segment_unref(s);
  sm_filemap_open(path, SM_FILEMAP_PRIVATE, &f);
  check(sm_filemap_map(&f, SM_FILEMAP_PRIVATE, 0, 10, &s) == 0 && s->payload[3] == 'x', "what was written is there");
  s->payload[3] = 'y';
  sm_segment_unref(s);
  sm_filemap_open(path, SM_FILEMAP_READ, &f);
  check(sm_filemap_map(&f, SM_FILEMAP_READ, 0, 10, &s) == 0 && s->payload[3] == 'x' && s->readonly, "a private change is not");
  sm_segment_unref(s);
  sm_filemap_open(path, SM_FILEMAP_CREATE, &f);
  check(sm_filemap_map(&f, SM_FILEMAP_CREATE, 5, 10000, &s) == 0 && s->payload[9999] == 0 && s->payload[0] == 0, "a new file is zero");
  sm_segment_unref(s);
  struct stat st;
  check(stat(path, &st) == 0 && st.st_size == 10005, "and as long as was asked");

  /* A file that cannot be had: the old one stays whole, a new one is not left. */
  put(path, "0123456789", 10);
  sm_filemap_open(path, SM_FILEMAP_CREATE, &f);
  check(!f.made && sm_filemap_map(&f, SM_FILEMAP_CREATE, (uint64_t)1 << 60, 10, &s) < 0, "more than any disk has is refused");
  sm_filemap_drop(&f, path);
  char kept[16] = "";
  int left = open(path, O_RDONLY);
  check(read(left, kept, sizeof kept) == 10 && memcmp(kept, "0123456789", 10) == 0, "and the old contents are whole");
  close(left);
  check(sm_filemap_open(in_folder("new"), SM_FILEMAP_CREATE, &f) == 0 && f.made, "a new file");
  check(sm_filemap_map(&f, SM_FILEMAP_CREATE, (uint64_t)1 << 60, 10, &s) < 0, "that cannot be had");
  sm_filemap_drop(&f, in_folder("new"));
  check(stat(in_folder("new"), &st) < 0, "is not left");
}

/* A link to a file that is not there is followed, and the file is not taken for one that this call has made. */
static void test_link(void) {
  sm_filemap_file f;
  sm_segment *s;
  struct stat st;
  check(symlink(in_folder("behind"), in_folder("link")) == 0, "a link to nothing");
  check(sm_filemap_open(in_folder("link"), SM_FILEMAP_UPDATE, &f) == -ENOENT, "is nothing to change");
  check(sm_filemap_open(in_folder("link"), SM_FILEMAP_CREATE, &f) == 0 && !f.made && f.size == 0, "but a place for a new file");
  check(sm_filemap_map(&f, SM_FILEMAP_CREATE, 0, 100, &s) == 0 && s->payload[99] == 0, "which is mapped");
  sm_segment_unref(s);
  check(stat(in_folder("behind"), &st) == 0 && st.st_size == 100, "and stands where the link leads");
}

/* A file that is there is zeroed: in its blocks by the file system, or, where that cannot, by writing (tmpfs). */
static void test_wipe(const char *where) {
  char path[96];
  snprintf(path, sizeof path, "%s/filemap%ldw", where, (long)getpid());
  char *old = malloc(200001), *now = malloc(300000);
  memset(old, 'x', 200001);
  const size_t sizes[] = {150000, 300000, 65536};
  for (int k = 0; k < 3; k++) {
    put(path, old, 200001);
    sm_filemap_file f;
    sm_segment *s;
    int ok = sm_filemap_open(path, SM_FILEMAP_CREATE, &f) == 0 && !f.made && sm_filemap_map(&f, SM_FILEMAP_CREATE, 0, sizes[k], &s) == 0;
    for (size_t i = 0; ok && i < sizes[k]; i++) ok = s->payload[i] == 0;
    if (ok) sm_segment_unref(s);
    int fd = open(path, O_RDONLY);
    ok = ok && read(fd, now, 300000) == (ssize_t)sizes[k];
    for (size_t i = 0; ok && i < sizes[k]; i++) ok = now[i] == 0;
    close(fd);
    check_at(ok, "an old file is zero and as long as was asked", (int64_t)sizes[k]);
  }
  unlink(path);
  free(old), free(now);
}

typedef struct {
  const uint8_t *from;
  size_t n;
  int sum;
} reading;

static void read_all(void *ctx) {
  reading *r = ctx;
  for (size_t i = 0; i < r->n; i += 512) r->sum += r->from[i];
}

static void *guard_in_thread(void *arg) {
  reading r = {arg, 40960, 0};
  for (int i = 0; i < 200; i++)
    if (sm_fault_guard(read_all, &r) != SM_ECHANGED) return arg;
  return NULL;
}

static void nest(void *ctx) {
  reading r = {(const uint8_t *)"a", 1, 0};
  *(int *)ctx = sm_fault_guard(read_all, &r);
}

static void test_shrink(void) {
  const char *path = in_folder("shrinks");
  sm_filemap_file f;
  sm_segment *s;
  char out[64];
  sm_filemap_open(path, SM_FILEMAP_CREATE, &f);
  sm_filemap_map(&f, SM_FILEMAP_CREATE, 0, 40960, &s);
  s->payload[5000] = 3;
  reading r = {s->payload, s->nbytes, 0};
  check(sm_fault_guard(read_all, &r) == 0, "a whole file is read");
  check(guarded_copy(out, s->payload + 5000, 8) == 0 && out[0] == 3, "and copied from");
  struct sigaction before, now;
  sigaction(SIGBUS, NULL, &before);
  check(truncate(path, 4096) == 0, "the file shrinks");
  check(sm_fault_guard(read_all, &r) == SM_ECHANGED, "one that has shrunk is noticed");
  check(guarded_copy(s->payload + 8192, out, 8) == SM_ECHANGED, "when writing too");
  check(guarded_copy(out, s->payload, 8) == 0, "what is left of it can be read");
  sigaction(SIGBUS, NULL, &now);
  check(now.sa_handler == before.sa_handler && now.sa_flags == before.sa_flags, "SIGBUS is as it was");
  sigset_t mask;
  sigprocmask(SIG_BLOCK, NULL, &mask);
  check(!sigismember(&mask, SIGBUS), "and not blocked");
  pthread_t t[2];
  void *bad[2] = {NULL, NULL};
  for (int i = 0; i < 2; i++) pthread_create(&t[i], NULL, guard_in_thread, s->payload);
  for (int i = 0; i < 2; i++) pthread_join(t[i], &bad[i]);
  check(!bad[0] && !bad[1], "two threads may meet it at once");
  int rc = 0;
  check(sm_fault_guard(nest, &rc) == 0 && rc == SM_EMISUSE, "guards do not nest");
  sm_segment_unref(s);
}

static uint64_t limit_of(const char *cgroup) {
  put(in_folder("cgroup"), cgroup, strlen(cgroup));
  return sm_limit_available_in(in_folder("meminfo"), in_folder("cgroup"), folder);
}

static void text(const char *name, const char *t) { put(in_folder(name), t, strlen(t)); }

static void test_limit(void) {
  uint64_t available;
  text("meminfo", "MemTotal:  9000 kB\nMemFree: 10 kB\nMemAvailable:   5000 kB\nSwapFree: 24 kB\n");
  check(limit_of("0::/\n") == 5024 * 1024, "without a limit, what is available and swap");
  mkdir(in_folder("a"), 0700);
  mkdir(in_folder("a/b"), 0700);
  text("a/memory.max", "2000000\n");
  text("a/memory.current", "1500000\n");
  text("a/memory.stat", "anon 1\ninactive_file 100000\nactive_file 50000\n");
  text("a/b/memory.max", "max\n");
  check(limit_of("0::/a/b\n") == 650000, "a group above limits, its page cache not counted");
  text("a/b/memory.max", "700\n");
  text("a/b/memory.current", "900\n");
  check(limit_of("0::/a/b\n") == 0, "the lowest counts, and is never below zero");
  mkdir(in_folder("memory"), 0700);
  mkdir(in_folder("memory/c"), 0700);
  text("memory/memory.limit_in_bytes", "9223372036854771712\n");
  text("memory/c/memory.limit_in_bytes", "3000000\n");
  text("memory/c/memory.usage_in_bytes", "1000000\n");
  check(limit_of("5:cpu,memory:/c\n0::/\n") == 2000000, "version 1 of the groups");
  check(limit_of("5:cpu,memoryless:/c\n0::/\n") == 5024 * 1024, "another controller is another");
  check(limit_of("5:memory:/not/here\n") == 5024 * 1024, "a group that is not seen sets no limit");
  check(sm_limit_available_in("/none", "/none", "/none") == UINT64_MAX, "a system that does not say sets none");
  check(sm_limit_check((uint64_t)1 << 60, &available) == SM_ENOROOM && available > 0 && available < (uint64_t)1 << 60,
        "too much is refused with what there is");
  check(sm_limit_check(1 << 20, &available) == 0, "a little is not");
}

int main(void) {
  if (!make_folder()) return 1;
  test_modes();
  test_link();
  test_wipe(folder);
  if (access("/dev/shm", W_OK) == 0) test_wipe("/dev/shm");
  test_shrink();
  test_limit();
  remove_folder();
  return report();
}
