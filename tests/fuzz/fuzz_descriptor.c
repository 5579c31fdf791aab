/* mem_descriptor, and behind it mem_segment and mem_arena: what a serialized handle may say. The check over the bytes is put right, so
 * that the fields are what is tried. A handle that attaches lies in memory of the kind it names. */
#include "../../src/mem_descriptor.h"

#include <unistd.h>

#include "fuzz.h"

#define MOST 2048

static sm_segment *own, *arena;
static sm_small *block;
static char file_path[64];

static void prepare(void) {
  if (own) return;
  snprintf(file_path, sizeof file_path, "/tmp/fuzz_descriptor_%d", (int)getpid());
  FILE *f = fopen(file_path, "w");
  if (!f || fputs("0123456789012345678901234567890123456789", f) < 0 || fclose(f) != 0) exit(2);
  if (sm_segment_new(5000, &own) < 0 || sm_small_new(200, &block) < 0) exit(2);
  arena = block->seg;
}

static void finish(void) {
  if (own) unlink(file_path);
}

/* A good descriptor of one of three memories, of which the input changes any field; n bytes of it in buf. */
static size_t take_descriptor(fuzz_in *in, uint8_t *buf) {
  uint8_t of = take_u8(in) % 3, ndim = take_u8(in) % 5;
  int64_t dim[8];
  sm_descriptor d = {
      .fd = own->fd, .itemsize = (uint32_t)(1 + take_u8(in) % 16), .code = take_u8(in) % 13, .ndim = ndim, .kind = own->kind};
  sm_descriptor_file file = {0, 0, NULL};
  const sm_segment *s = of == 1 ? arena : own;
  memcpy(d.segment, s->id, sizeof d.segment);
  d.offset = take_u8(in);
  if (of == 1) {
    d.block = block->id;
    d.offset = block->offset;
    d.fd = arena->fd;
  } else if (of == 2) {
    d.kind = SM_SEGMENT_FILE;
    d.segment[0] ^= take_u8(in) & 1;
    file = (sm_descriptor_file){(uint64_t)take_number(in), (uint64_t)take_number(in), file_path};
  }
  for (int i = 0; i < ndim; i++) dim[i] = take_number(in);
  d.vector = ndim == 1 && take_u8(in) & 1;
  d.readonly = take_u8(in) & 1;
  sm_descriptor_write(&d, dim, &file, buf);
  size_t n = d.size;
  for (int k = take_u8(in) % 8; k > 0; k--) {
    size_t at = take_u8(in);
    if (at % 4 == 0) { /* a field of four bytes */
      uint32_t v = (uint32_t)take_number(in);
      if (at + 4 <= n) memcpy(buf + at, &v, 4);
    } else if (at < n) buf[at] = take_u8(in);
  }
  if (take_u8(in) > 230) n = (size_t)(take_number(in) & (MOST - 1));
  if (take_u8(in) > 100) {
    uint32_t v = (uint32_t)n;
    memcpy(buf + offsetof(sm_descriptor, size), &v, 4);
  }
  if (take_u8(in) < 230) sm_descriptor_seal(buf, n);
  return n;
}

static bool within(const uint8_t *p, size_t n, const sm_segment *s) {
  return p >= s->payload && n <= s->nbytes && (size_t)(p - s->payload) <= s->nbytes - n;
}

static void attach(const sm_descriptor *d, const sm_descriptor_file *file, size_t nbytes) {
  sm_segment *seg = NULL;
  sm_small *b = NULL;
  const char *reason = NULL;
  /* Another process, and another file, are none of the input's business. */
  if (d->pid != getpid() || (file->path && strcmp(file->path, file_path) != 0)) return;
  if (sm_descriptor_attach(d, file, nbytes, &seg, &b, &reason) < 0) {
    CHECK(reason && *reason, "a handle that does not attach has a reason");
    return;
  }
  const sm_segment *s = b ? b->seg : seg;
  CHECK((uint32_t)s->kind == d->kind && (b != NULL) == (d->block != 0), "a handle attaches to memory of its kind");
  CHECK(within(s->payload + d->offset, nbytes, s), "in which all of it lies");
  uint8_t sum = 0;
  for (size_t i = 0; i < nbytes; i++) sum ^= s->payload[d->offset + i];
  if (s->kind == SM_SEGMENT_MEMORY && s != own && nbytes > 0 && !b) CHECK(sum == 0, "the memory is that of a known segment");
  if (b) sm_small_unref(b);
  else sm_segment_unref(seg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uint8_t room[MOST * 2];
  static bool prepared;
  if (!prepared) {
    prepare();
    atexit(finish);
    prepared = true;
  }
  fuzz_in in = {data, size};
  sm_descriptor d;
  sm_descriptor_file file;
  int64_t dim[SM_DESCRIPTOR_NDIM];
  size_t nbytes = 0;
  memset(room, 0, sizeof room);
  size_t n = take_descriptor(&in, room);
  uint8_t *buf = exactly(n);
  memcpy(buf, room, n);
  int rc = sm_descriptor_read(buf, n, &d, dim, &file, &nbytes);
  CHECK(rc == 0 || rc == SM_EFORMAT, "a reader gives one of its codes");
  if (rc == 0) {
    uint64_t want = d.itemsize;
    bool empty = false;
    for (uint32_t i = 0; i < d.ndim; i++) {
      CHECK(dim[i] >= 0, "extents are no less than 0");
      if (dim[i] == 0) empty = true;
      else CHECK(!__builtin_mul_overflow(want, (uint64_t)dim[i], &want), "no product overflows");
    }
    CHECK(nbytes == (empty ? 0 : (size_t)want) && want <= UINT64_C(1) << 62, "whose product is the size");
    if (file.path) CHECK(file.path[0] == '/' && (const uint8_t *)file.path + strlen(file.path) < buf + n, "a path ends in the bytes");
    attach(&d, &file, nbytes);
  }
  CHECK(own->refs == 1 && block->refs == 1, "no reference is left");
  free(buf);
  return 0;
}
