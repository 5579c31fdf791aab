/* mem_segment, mem_descriptor: memory that is there, and names that find only it. */
#define _GNU_SOURCE
#include "../../src/mem_descriptor.h"
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool stop_at_once(void *ctx) {
  ++*(int *)ctx;
  return true;
}

static void test_new(void) {
  size_t n0, b0, n, b;
  sm_segment *s = NULL;
  sm_segment_usage(&n0, &b0);
  check(sm_segment_new(20 << 20, &s) == 0, "a segment is made");
  int zero = 1;
  for (size_t i = 0; i < s->nbytes; i += 512) zero &= s->payload[i] == 0;
  check(zero, "and is zero");
  struct stat st;
  fstat(s->fd, &st);
#ifdef __linux__
  check((uint64_t)st.st_blocks * 512 >= s->nbytes, "and backed");
#endif
  s->payload[12345] = 7;
  sm_segment_touch(s);
  check(s->payload[12345] == 7 && s->payload[12346] == 0, "touching keeps what is there");
  sm_segment_usage(&n, &b);
  check(n == n0 + 1 && b == b0 + (20 << 20), "and counted");
  check(sm_segment_find(s->id) == s, "and found by its id");
  uint64_t id[2] = {s->id[0], s->id[1]};
  sm_segment_ref(s);
  sm_segment_unref(s);
  check(sm_segment_find(id) == s, "a ref keeps it");
  sm_segment_unref(s);
  sm_segment_usage(&n, &b);
  check(n == n0 && b == b0 && !sm_segment_find(id), "the last unref gives it back");
  check(sm_segment_new(SIZE_MAX / 2, &s) == SM_ENOROOM, "a size beyond any machine is refused");
#ifdef __linux__ /* elsewhere memory is not backed when it is promised */
  int asked = 0;
  check(sm_segment_new_stoppable((size_t)300 << 20, stop_at_once, &asked, &s) == SM_EINTR && asked == 1,
        "the making of a large one can be stopped");
#endif
}

static void test_adopt(void) {
  sm_segment *s, *t;
  sm_segment_new(100, &s);
  int fd = dup(s->fd);
  check(sm_segment_adopt(fd, &t) == 0 && t == s && s->refs == 2 && fcntl(fd, F_GETFD) < 0, "a known segment is recognized");
  sm_segment_unref(t);
  sm_segment_unref(s);
  check(sm_segment_adopt(-1, &t) == -EBADF, "no descriptor is refused");
  int p[2];
  if (pipe(p) == 0) {
    check(sm_segment_adopt(p[0], &t) == SM_EFORMAT, "a pipe is refused");
    close(p[0]);
    close(p[1]);
  }
  fd = open("/dev/zero", O_RDWR);
  check(sm_segment_adopt(fd, &t) == SM_EFORMAT, "a device is refused");
  close(fd);
  char name[] = "/tmp/segmentXXXXXX";
  fd = mkstemp(name);
  unlink(name);
  check(ftruncate(fd, 8192) == 0 && sm_segment_adopt(fd, &t) == SM_EFORMAT, "a file is refused");
  close(fd);
#ifdef __linux__
  fd = memfd_create("sharedmem", MFD_ALLOW_SEALING);
  check(ftruncate(fd, 8192) == 0 && sm_segment_adopt(fd, &t) == SM_EFORMAT, "memory that may shrink is refused");
  fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  check(sm_segment_adopt(fd, &t) == SM_EFORMAT, "memory without the header is refused");
  sm_segment_shm h = {.magic = "SHRDMEM", .version = 1, .header = 4096, .nbytes = 4097};
  check(pwrite(fd, &h, sizeof h, 0) == sizeof h && sm_segment_adopt(fd, &t) == SM_EFORMAT, "a header that promises too much is refused");
  h.nbytes = UINT64_MAX;
  check(pwrite(fd, &h, sizeof h, 0) == sizeof h && sm_segment_adopt(fd, &t) == SM_EFORMAT, "or far too much");
  close(fd);
#endif
}

/* Write the checksum that fits the bytes: what sm_descriptor_read() wants to see. */
static void resign(uint8_t *buf, size_t n) {
  uint64_t h = 0x9E3779B97F4A7C15u;
  for (size_t i = 0; i + 8 <= n; i += 8) {
    if (i == offsetof(sm_descriptor, check)) continue;
    uint64_t w;
    memcpy(&w, buf + i, 8);
    h = (h ^ w) * 0xBF58476D1CE4E5B9u;
    h ^= h >> 29;
  }
  if (n >= 24) memcpy(buf + offsetof(sm_descriptor, check), &h, 8);
}

static int try_bytes(const uint8_t *buf, size_t n) {
  sm_descriptor d;
  int64_t dim[SM_DESCRIPTOR_NDIM];
  size_t nbytes;
  sm_segment *seg;
  sm_small *block;
  sm_descriptor_file file;
  const char *reason = NULL;
  if (sm_descriptor_read(buf, n, &d, dim, &file, &nbytes) < 0) return 0;
  if (sm_descriptor_attach(&d, &file, nbytes, &seg, &block, &reason) < 0) {
    if (!reason) n_failed++;
    return 1;
  }
  volatile uint8_t sum = 0;
  const uint8_t *data = (block ? block->seg : seg)->payload + d.offset;
  for (size_t i = 0; i < nbytes; i++) sum = (uint8_t)(sum + data[i]);
  if (block) sm_small_unref(block);
  else sm_segment_unref(seg);
  return 2;
}

static size_t describe(sm_segment *seg, sm_small *block, uint8_t *buf) {
  int64_t dim[3] = {2, 3, 4};
  sm_descriptor d = {.segment = {seg->id[0], seg->id[1]},
                     .block = block ? block->id : 0,
                     .offset = block ? block->offset : 0,
                     .fd = seg->fd,
                     .itemsize = 8,
                     .code = 1,
                     .ndim = 3,
                     .kind = seg->kind};
  sm_descriptor_file file = {seg->start, seg->nbytes, seg->path};
  sm_descriptor_write(&d, dim, &file, buf);
  return sm_descriptor_size(3, file.path);
}

static void test_descriptor(void) {
  sm_segment *seg;
  sm_small *block;
  sm_segment_new(192, &seg);
  sm_small_new(192, &block);
  srand(11);
  for (int kind = 0; kind < 2; kind++) {
    uint8_t good[512], bad[512];
    size_t n = kind ? describe(block->seg, block, good) : describe(seg, NULL, good);
    check(try_bytes(good, n) == 2, "a descriptor finds its memory");
    int count[2][3] = {{0}};
    for (int signed_ = 0; signed_ < 2; signed_++)
      for (int i = 0; i < 20000; i++) {
        memcpy(bad, good, n);
        int flips = 1 + rand() % 4;
        for (int k = 0; k < flips; k++) bad[(size_t)rand() % n] ^= (uint8_t)(1 << rand() % 8);
        if (signed_) resign(bad, n);
        count[signed_][try_bytes(bad, n)]++;
      }
    check(count[0][0] > 19900, "flipped bits are noticed");
    check(count[1][0] > 0 && count[1][1] > 0 && count[1][2] > 0, "and with a true checksum refused, or harmless");
    int ok = 1;
    for (size_t cut = 0; cut < n; cut++) ok &= try_bytes(good, cut) == 0;
    check(ok, "a descriptor cut short is refused");
  }
  sm_small_unref(block);
  sm_segment_unref(seg);
}

/* A process that is no child of the segment's maker's later life: it attaches by pid and descriptor number. */
static void test_open(void) {
  int to[2], from[2], status = 1;
  if (pipe(to) < 0 || pipe(from) < 0) return;
  pid_t pid = fork();
  if (pid == 0) {
    uint8_t buf[512];
    sm_descriptor d;
    int64_t dim[SM_DESCRIPTOR_NDIM];
    size_t nbytes;
    sm_segment *s;
    sm_small *b;
    sm_descriptor_file file;
    const char *reason;
    ssize_t n = read(to[0], buf, sizeof buf);
    if (n < 1 || sm_descriptor_read(buf, (size_t)n, &d, dim, &file, &nbytes) < 0) exit(1);
    if (sm_descriptor_attach(&d, &file, nbytes, &s, &b, &reason) < 0) exit(2);
    s->payload[3] = 42;
    if (write(from[1], "x", 1) != 1 || read(to[0], buf, 1) != 1) exit(3);
    if (s->payload[3] != 43) exit(4);
    sm_segment_unref(s);
    exit(sm_descriptor_attach(&d, &file, nbytes, &s, &b, &reason) == SM_EGONE ? 0 : 5);
  }
  sm_segment *seg;
  uint8_t buf[512], c;
  sm_segment_new(192, &seg);
  size_t n = describe(seg, NULL, buf);
  int ok = write(to[1], buf, n) == (ssize_t)n && read(from[0], &c, 1) == 1;
  check(ok && seg->payload[3] == 42, "another process writes into the same memory");
  seg->payload[3] = 43;
  sm_segment_unref(seg);
  ok = write(to[1], "x", 1) == 1;
  waitpid(pid, &status, 0);
  check(ok && WIFEXITED(status) && WEXITSTATUS(status) == 0, "it keeps the memory, and cannot attach once it is gone");
}

static void test_open_others(void) {
  sm_segment *s;
  uint64_t id[2] = {1, 2};
  int p[2], null = open("/dev/null", O_RDWR);
  check(pipe(p) == 0 && sm_segment_open(getpid(), p[0], id, &s) == SM_EGONE, "a pipe is not opened");
  check(sm_segment_open(getpid(), null, id, &s) == SM_EGONE, "nor a device");
  check(sm_segment_open(-1, 0, id, &s) == SM_EGONE && sm_segment_open(1, -5, id, &s) < 0, "nor what is no process or descriptor");
  close(null);
  close(p[0]);
  close(p[1]);
}

int main(void) {
  test_new();
  test_adopt();
  test_descriptor();
#ifdef __linux__                /* elsewhere memory of another process is not found by its descriptor */
  if (!UNDER_QEMU) test_open(); /* it shows a process another start of itself than it has */
#endif
  test_open_others();
  return report();
}
