/* mem_descriptor.c: see mem_descriptor.h.
 *
 * Purpose: name memory so that another process can find it, and so that nothing else can be found by it.
 * Ownership: none; sm_descriptor_attach() gives a ref to its caller.
 * Fork and signals: pid and start time of the process are asked for once, and again in a forked child.
 * Errors: 0 or a negative code.
 */
#include "mem_descriptor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem_filemap.h"

_Static_assert(sizeof(sm_descriptor) == 88, "sm_descriptor layout");
_Static_assert(offsetof(sm_descriptor, segment) == 24, "sm_descriptor layout");
_Static_assert(offsetof(sm_descriptor, pid) == 64, "sm_descriptor layout");
_Static_assert(offsetof(sm_descriptor, ndim) == 80, "sm_descriptor layout");

#define VERSION 1
#define FILE_HEAD (2 * sizeof(uint64_t)) /* start and nbytes */
#define MAX_NBYTES ((uint64_t)(SIZE_MAX / 4 + 1))

static size_t extents_end(uint32_t ndim) { return sizeof(sm_descriptor) + sizeof(int64_t) * (size_t)ndim; }

size_t sm_descriptor_size(int ndim, const char *path) {
  return extents_end((uint32_t)ndim) + (path ? FILE_HEAD + (strlen(path) + 8) / 8 * 8 : 0);
}

/* Over the whole words of n bytes, the field `check` left out. */
static uint64_t checksum(const uint8_t *buf, size_t n) {
  uint64_t h = 0x9E3779B97F4A7C15u;
  for (size_t i = 0; i + 8 <= n; i += 8) {
    if (i == offsetof(sm_descriptor, check)) continue;
    uint64_t w;
    memcpy(&w, buf + i, 8);
    h = (h ^ w) * 0xBF58476D1CE4E5B9u;
    h ^= h >> 29;
  }
  return h;
}

/* Field 22 of /proc/<pid>/stat; 0 if there is none. */
static uint64_t process_start(pid_t pid) {
  char text[1024];
  const char *p = sm_pid_stat(pid, text, sizeof text);
  for (int field = 3; p && field < 22; field++) p = strchr(p + 1, ' ');
  return p ? strtoull(p + 1, NULL, 10) : 0;
}

uint64_t sm_descriptor_seal(void *buf, size_t n) {
  uint64_t check = checksum(buf, n);
  if (n >= sizeof(sm_descriptor)) memcpy((char *)buf + offsetof(sm_descriptor, check), &check, sizeof check);
  return check;
}

void sm_descriptor_write(sm_descriptor *d, const int64_t *dim, const sm_descriptor_file *file, void *buf) {
  static pid_t known = 0; /* the process whose start `started` is */
  static uint64_t started = 0;
  pid_t self = sm_pid();
  if (known != self) {
    started = process_start(self);
    known = self;
  }
  memcpy(d->magic, "SHRDARR", 8);
  d->version = VERSION;
  d->size = (uint32_t)sm_descriptor_size((int)d->ndim, file->path);
  d->pid = (int32_t)self;
  d->started = started;
  d->check = 0;
  memset(buf, 0, d->size);
  memcpy(buf, d, sizeof *d);
  if (d->ndim) memcpy((char *)buf + sizeof *d, dim, sizeof *dim * d->ndim);
  if (file->path) {
    char *p = (char *)buf + extents_end(d->ndim);
    memcpy(p, file, FILE_HEAD);
    memcpy(p + FILE_HEAD, file->path, strlen(file->path));
  }
  d->check = sm_descriptor_seal(buf, d->size);
}

/* What stands behind the extents. */
static bool read_file(const char *p, size_t n, const sm_descriptor *d, sm_descriptor_file *file) {
  *file = (sm_descriptor_file){0, 0, NULL};
  if (n == 0) return true;
  if (d->kind != SM_SEGMENT_FILE || n < FILE_HEAD + 8 || n % 8 != 0 || p[n - 1] != 0 || p[FILE_HEAD] != '/') return false;
  memcpy(file, p, FILE_HEAD);
  file->path = p + FILE_HEAD;
  return true;
}

int sm_descriptor_read(const void *buf, size_t n, sm_descriptor *d, int64_t *dim, sm_descriptor_file *file, size_t *nbytes) {
  if (n < sizeof *d) return SM_EFORMAT;
  memcpy(d, buf, sizeof *d);
  if (memcmp(d->magic, "SHRDARR", 8) != 0 || d->version != VERSION || d->size != n || n % 8 != 0 || d->ndim > SM_DESCRIPTOR_NDIM ||
      n < extents_end(d->ndim) || checksum(buf, n) != d->check)
    return SM_EFORMAT;
  if (d->vector > 1 || d->readonly > 1 || d->kind > SM_SEGMENT_FILE || (d->vector && d->ndim != 1) || d->itemsize == 0) return SM_EFORMAT;
  if (!read_file((const char *)buf + extents_end(d->ndim), n - extents_end(d->ndim), d, file)) return SM_EFORMAT;
  if (d->ndim) memcpy(dim, (const char *)buf + sizeof *d, sizeof *dim * d->ndim);
  uint64_t total = d->itemsize;
  bool empty = false;
  for (uint32_t i = 0; i < d->ndim; i++) {
    if (dim[i] < 0) return SM_EFORMAT;
    if (dim[i] == 0) {
      empty = true;
      continue;
    }
    if ((uint64_t)dim[i] > MAX_NBYTES / total) return SM_EFORMAT;
    total *= (uint64_t)dim[i];
  }
  *nbytes = empty ? 0 : (size_t)total;
  return 0;
}

/* The file is mapped anew. */
static int map_file(const sm_descriptor *d, const sm_descriptor_file *file, sm_segment **seg, const char **reason) {
  static char text[4400];
  if (!file->path) {
    *reason = "it lies in a file that another process has mapped for itself (mode \"c\", or a name that is gone): map the file here";
    return SM_EGONE;
  }
  sm_filemap_mode mode = d->readonly ? SM_FILEMAP_READ : SM_FILEMAP_UPDATE;
  sm_filemap_file f;
  int rc = sm_filemap_open(file->path, mode, &f);
  if (rc == 0) {
    rc = sm_filemap_map(&f, mode, file->start, (size_t)file->nbytes, seg);
    if (rc < 0) close(f.fd);
    else sm_filemap_name(*seg, file->path);
  }
  if (rc < 0) {
    snprintf(text, sizeof text, "the file '%s' that it maps %s: %s", file->path, rc == SM_ESHORT ? "has changed" : "cannot be mapped",
             rc == SM_EFORMAT ? "no regular file" : sm_error_text(rc));
    *reason = text;
  }
  return rc;
}

/* The segment with one ref: in this process's table, or opened in the process that is named. */
static int find_segment(const sm_descriptor *d, const sm_descriptor_file *file, sm_segment **seg, const char **reason) {
  *seg = sm_segment_find(d->segment);
  if (*seg) {
    sm_segment_ref(*seg);
    return 0;
  }
  if (d->kind == SM_SEGMENT_FILE) return map_file(d, file, seg, reason);
  if (d->pid == sm_pid()) {
    *reason = "its memory was released";
    return SM_EGONE;
  }
  uint64_t started = process_start(d->pid);
  if (started == 0 || (d->started != 0 && started != d->started)) {
    *reason = "the process that made it has ended, or ran on another machine";
    return SM_EGONE;
  }
  int rc = sm_segment_open(d->pid, d->fd, d->segment, seg);
  if (rc == SM_EGONE) *reason = "its memory was released";
  else if (rc == -EACCES || rc == -EPERM) *reason = "the process that made it does not let this one see its memory";
  else if (rc < 0) *reason = sm_error_text(rc);
  return rc;
}

int sm_descriptor_attach(const sm_descriptor *d, const sm_descriptor_file *file, size_t nbytes, sm_segment **seg, sm_small **block,
                         const char **reason) {
  *block = NULL;
  int rc = find_segment(d, file, seg, reason);
  if (rc < 0) return rc;
  if ((*seg)->kind != (sm_segment_kind)d->kind) {
    rc = SM_EFORMAT;
  } else if (d->block != 0) {
    rc = sm_small_attach(*seg, d->offset, d->block, nbytes, block);
  } else if ((*seg)->arena || d->offset > (*seg)->nbytes || nbytes > (*seg)->nbytes - d->offset) {
    rc = SM_EFORMAT;
  }
  if (rc < 0) *reason = rc == SM_EGONE ? "its memory was released" : "its descriptor does not fit the memory";
  if (rc < 0 || *block) sm_segment_unref(*seg); /* a block keeps its segment */
  return rc;
}
