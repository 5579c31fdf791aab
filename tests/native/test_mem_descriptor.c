/* mem_descriptor: what a serialized handle names is found; nothing else is, whatever the bytes say. */
#include "check.h"

#include <errno.h>

#include "../../src/mem_descriptor.h"

static sm_descriptor_file none; /* no path */

enum { ROOM = sizeof(sm_descriptor) + 80 * sizeof(int64_t) };

/* Six doubles as a 2 x 3 array in a segment. */
static sm_descriptor of_segment(const sm_segment *s) {
  return (sm_descriptor){.segment = {s->id[0], s->id[1]}, .fd = s->fd, .itemsize = 8, .code = 1, .ndim = 2, .kind = SM_SEGMENT_MEMORY};
}

static int reread(sm_descriptor d, const int64_t *dim, size_t *nbytes) {
  uint8_t buf[ROOM];
  int64_t got[SM_DESCRIPTOR_NDIM];
  sm_descriptor out;
  sm_descriptor_file file;
  sm_descriptor_write(&d, dim, &none, buf);
  return sm_descriptor_read(buf, sm_descriptor_size((int)d.ndim, NULL), &out, got, &file, nbytes);
}

static void round_trip(const sm_segment *s) {
  const int64_t dim[] = {2, 3};
  sm_descriptor d = of_segment(s), out;
  sm_descriptor_file file;
  uint8_t buf[ROOM];
  int64_t got[SM_DESCRIPTOR_NDIM];
  size_t n = sm_descriptor_size(2, NULL), nbytes = 0;
  d.offset = 16;
  sm_descriptor_write(&d, dim, &none, buf);
  check(sm_descriptor_read(buf, n, &out, got, &file, &nbytes) == 0, "what was written is read");
  check(memcmp(&d, &out, sizeof d) == 0 && got[0] == 2 && got[1] == 3 && nbytes == 48, "all fields, the extents and the size");
  check(out.pid == (int32_t)getpid(), "it names this process");
  for (size_t k = 0; k < n; k++) check(sm_descriptor_read(buf, k, &out, got, &file, &nbytes) == SM_EFORMAT, "bytes are missing");
  check(sm_descriptor_read(buf, n + 8, &out, got, &file, &nbytes) == SM_EFORMAT, "bytes too many");
  for (size_t bit = 0; bit < 8 * n; bit++) {
    buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
    check_at(sm_descriptor_read(buf, n, &out, got, &file, &nbytes) == SM_EFORMAT, "a bit is turned", (int64_t)bit);
    buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  check(sm_descriptor_read(buf, n, &out, got, &file, &nbytes) == 0, "and turned back");
}

/* Well-formed bytes, whose check holds, that say what cannot be. */
static void impossible(const sm_segment *s) {
  int64_t dim[80] = {2, 3};
  size_t nbytes = 0;
  sm_descriptor d = of_segment(s);
  check(reread(d, (int64_t[]){2, -1}, &nbytes) == SM_EFORMAT, "an extent below 0");
  check(reread(d, (int64_t[]){INT64_MAX, 3}, &nbytes) == SM_EFORMAT, "a size that overflows");
  check(reread(d, (int64_t[]){(int64_t)(SIZE_MAX / 32 + 1), 1}, &nbytes) == 0, "the largest size is one that no memory has");
  check(reread(d, (int64_t[]){0, 3}, &nbytes) == 0 && nbytes == 0, "an empty array");
  check(reread(d, (int64_t[]){INT64_MAX, 0}, &nbytes) == SM_EFORMAT || nbytes == 0, "an empty one of a large extent");
  d.ndim = 0;
  check(reread(d, dim, &nbytes) == 0 && nbytes == 8, "one element has no extent");
  d.ndim = 65;
  for (int i = 0; i < 80; i++) dim[i] = 1;
  check(reread(d, dim, &nbytes) == SM_EFORMAT, "too many extents");
  d.ndim = 64;
  check(reread(d, dim, &nbytes) == 0 && nbytes == 8, "as many as there may be");
  d = of_segment(s);
  d.vector = 1;
  check(reread(d, dim, &nbytes) == SM_EFORMAT, "a vector of two extents");
  d.vector = 2;
  check(reread(d, dim, &nbytes) == SM_EFORMAT, "a flag that is neither");
  d = of_segment(s);
  d.readonly = 7;
  check(reread(d, dim, &nbytes) == SM_EFORMAT, "another such flag");
  d = of_segment(s);
  d.kind = SM_SEGMENT_FILE + 1;
  check(reread(d, dim, &nbytes) == SM_EFORMAT, "a kind of segment there is not");
  d = of_segment(s);
  d.itemsize = 0;
  check(reread(d, dim, &nbytes) == SM_EFORMAT, "items without a size");
}

/* Attach nbytes at offset; true for code `expected` with a reason if it is an error. Refs are given back. */
static bool attaches(sm_descriptor d, uint64_t offset, size_t nbytes, int expected) {
  sm_segment *seg = NULL;
  sm_small *block = NULL;
  const char *reason = NULL;
  d.offset = offset;
  int rc = sm_descriptor_attach(&d, &none, nbytes, &seg, &block, &reason);
  if (rc == 0 && block) sm_small_unref(block);
  else if (rc == 0) sm_segment_unref(seg);
  return rc == expected && (rc == 0 || (reason && *reason));
}

static void attach_here(sm_segment *s) {
  sm_descriptor d = of_segment(s);
  d.pid = (int32_t)getpid();
  int64_t refs = s->refs;
  check(attaches(d, 0, s->nbytes, 0), "the whole of a segment of this process");
  check(attaches(d, s->nbytes - 8, 8, 0) && attaches(d, s->nbytes, 0, 0), "its end");
  check(attaches(d, s->nbytes - 7, 8, SM_EFORMAT), "a byte past its end");
  check(attaches(d, s->nbytes + 1, 0, SM_EFORMAT) && attaches(d, UINT64_MAX - 3, 8, SM_EFORMAT), "an offset outside of it");
  check(attaches(d, 0, SIZE_MAX, SM_EFORMAT), "a size outside of it");
  check(s->refs == refs, "none of that kept a reference");
  d.kind = SM_SEGMENT_FILE;
  check(attaches(d, 0, 8, SM_EFORMAT), "another kind of segment");
  d = of_segment(s);
  d.pid = (int32_t)getpid();
  d.block = 12345;
  check(attaches(d, 0, 8, SM_EFORMAT), "a block where there are none");
  d = of_segment(s);
  d.pid = (int32_t)getpid();
  d.segment[1] ^= 1;
  check(attaches(d, 0, 8, SM_EGONE), "a segment that this process does not have");
  d.kind = SM_SEGMENT_FILE;
  check(attaches(d, 0, 8, SM_EGONE), "a mapped file that it does not have");
}

static void attach_block(void) {
  sm_small *b, *other;
  if (sm_small_new(100, &b) < 0 || sm_small_new(100, &other) < 0) exit(2);
  sm_descriptor d = of_segment(b->seg);
  d.pid = (int32_t)getpid();
  d.block = b->id;
  check(attaches(d, b->offset, b->nbytes, 0), "a block");
  check(attaches(d, b->offset, (size_t)b->nbytes + 1, SM_EGONE), "more than the block has");
  check(attaches(d, b->offset + 8, 8, SM_EFORMAT), "the middle of a block");
  check(attaches(d, other->offset, 8, SM_EGONE), "another block by this one's id");
  d.block = 0;
  check(attaches(d, 0, 8, SM_EFORMAT), "a segment of blocks is no array as a whole");
  sm_small_unref(b);
  sm_small_unref(other);
}

typedef struct {
  uint8_t buf[ROOM];
  _Atomic int written, done;
} message;

static void maker(void *arg, int wait) {
  message *m = arg;
  sm_segment *s;
  if (sm_segment_new(4096, &s) < 0) _exit(1);
  memcpy(s->payload, "from there", 11);
  sm_descriptor d = of_segment(s);
  sm_descriptor_write(&d, (int64_t[]){2, 3}, &none, m->buf);
  atomic_store(&m->written, 1);
  for (int i = 0; wait && !atomic_load(&m->done) && i < 20000; i++) pause_ms(1);
}

static void attach_elsewhere(void) {
  message *m = shared_memory(sizeof *m);
  sm_descriptor d;
  sm_descriptor_file file;
  int64_t dim[SM_DESCRIPTOR_NDIM];
  size_t nbytes;
  sm_segment *seg = NULL;
  sm_small *block = NULL;
  const char *reason = NULL;
  pid_t pid = start_child(maker, m, 1);
  while (!atomic_load(&m->written)) pause_ms(1);
  check(sm_descriptor_read(m->buf, sm_descriptor_size(2, NULL), &d, dim, &file, &nbytes) == 0 && d.pid == (int32_t)pid,
        "a child names itself, not its parent");
  int rc = sm_descriptor_attach(&d, &none, nbytes, &seg, &block, &reason);
  if (rc != -EACCES && rc != -EPERM && !UNDER_QEMU) { /* which shows a process another start of itself than it has */
#ifdef __linux__
    check(rc == 0 && !block && memcmp(seg->payload, "from there", 11) == 0, "the memory of another process");
#else
    check(rc == SM_EGONE && reason, "the memory of another process is refused");
#endif
    if (rc == 0) sm_segment_unref(seg);
  }
  sm_descriptor later = d;
  later.started += UNDER_QEMU ? 1000000 : 1; /* what it shows may be off by one */
  check(attaches(later, 0, 8, SM_EGONE), "another process by the same pid is not asked");
  later = d;
  later.fd = 0;
  check(!attaches(later, 0, 8, 0), "another file of that process is not taken");
  atomic_store(&m->done, 1);
  check(end_of(pid) == 0, "its maker ends");
  check(attaches(d, 0, 8, SM_EGONE), "and its memory with it");
  munmap(m, sizeof *m);
}

int main(void) {
  sm_segment *s;
  if (sm_segment_new(64, &s) < 0) return 2;
  round_trip(s);
  impossible(s);
  attach_here(s);
  sm_descriptor gone = of_segment(s);
  gone.pid = (int32_t)getpid();
  sm_segment_unref(s);
  check(attaches(gone, 0, 8, SM_EGONE), "memory that was released");
  attach_block();
  attach_elsewhere();
  return report();
}
