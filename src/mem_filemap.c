/* mem_filemap.c: see mem_filemap.h.
 *
 * Layout: the mapping begins at the page below the offset; there is no header.
 * Ownership: the segment owns the descriptor.
 * Fork and signals: children inherit the mapping; a private one is copied on write in each.
 * Errors: 0 or a negative code; on failure nothing stays mapped.
 */
#define _GNU_SOURCE
#include "mem_filemap.h"

#include "mem_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int sm_filemap_open(const char *path, sm_filemap_mode mode, sm_filemap_file *f) {
  int flags = O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  struct stat st;
  *f = (sm_filemap_file){-1, 0, false};
  flags |= mode == SM_FILEMAP_READ || mode == SM_FILEMAP_PRIVATE ? O_RDONLY : O_RDWR;
  if (stat(path, &st) == 0) { /* before opening: to open a device or a FIFO does things */
    if (S_ISDIR(st.st_mode)) return -EISDIR;
    if (!S_ISREG(st.st_mode)) return SM_EFORMAT;
  } else if (errno == ENOENT && mode == SM_FILEMAP_CREATE) {
    f->made = true;
  }
  f->fd = open(path, f->made ? flags | O_CREAT | O_EXCL : flags, 0666);
  if (f->fd < 0 && errno == EEXIST) { /* made by another process meanwhile, or a link to a file that is not there yet */
    f->made = false;
    f->fd = open(path, flags | O_CREAT, 0666);
  }
  if (f->fd < 0) return -errno;
  int rc = fstat(f->fd, &st) < 0 ? -errno : !S_ISREG(st.st_mode) ? SM_EFORMAT : 0;
  if (rc < 0) {
    close(f->fd);
    f->fd = -1;
    return rc;
  }
  f->size = (uint64_t)st.st_size;
  return 0;
}

void sm_filemap_drop(const sm_filemap_file *f, const char *path) {
  struct stat ours, named;
  bool same = fstat(f->fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
  if (f->made && same) unlink(path);
  close(f->fd);
}

/* Room for `size` bytes, the old contents still there. */
static int make_room(const sm_filemap_file *f, uint64_t size) {
  sm_size_guard guard;
  int rc = 0;
  sm_size_enter(&guard);
#ifdef __linux__
  while ((rc = size > 0 ? fallocate(f->fd, 0, 0, (off_t)size) : 0) < 0 && errno == EINTR) {}
  if (rc < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EPERM)) rc = 0;
#endif
  if (rc == 0 && size > f->size) rc = ftruncate(f->fd, (off_t)size);
  rc = rc < 0 ? -errno : 0;
  sm_size_leave(&guard);
  return rc;
}

/* What was made larger is as large as it was. */
static void give_back(const sm_filemap_file *f) {
  while (ftruncate(f->fd, (off_t)f->size) < 0 && errno == EINTR) {}
}

/* Zeros for the old contents, in the blocks that the file has; then its new size. */
static int wipe(const sm_filemap_file *f, uint64_t size) {
  static const char zeros[1 << 16];
  uint64_t n = f->size < size ? f->size : size;
#if defined(__linux__) && defined(FALLOC_FL_ZERO_RANGE)
  if (n > 0 && fallocate(f->fd, FALLOC_FL_ZERO_RANGE, 0, (off_t)n) == 0) n = 0;
#endif
  for (uint64_t at = 0; at < n;) {
    ssize_t put = pwrite(f->fd, zeros, n - at < sizeof zeros ? (size_t)(n - at) : sizeof zeros, (off_t)at);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return put < 0 ? -errno : -EIO;
    at += (uint64_t)put;
  }
  return f->size > size && ftruncate(f->fd, (off_t)size) < 0 ? -errno : 0;
}

int sm_filemap_map(const sm_filemap_file *f, sm_filemap_mode mode, uint64_t offset, size_t nbytes, sm_segment **out) {
  if (offset > INT64_MAX - (uint64_t)SM_PAGE || nbytes > INT64_MAX - SM_PAGE - offset) return -EFBIG;
  bool create = mode == SM_FILEMAP_CREATE;
  int rc = create ? make_room(f, offset + nbytes) : 0;
  struct stat st;
  if (rc == 0) rc = fstat(f->fd, &st) < 0 ? -errno : (uint64_t)st.st_size < offset + nbytes ? SM_ESHORT : 0;
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), skip = offset % page;
  size_t size = nbytes + (size_t)skip > 0 ? nbytes + (size_t)skip : 1;
  int prot = mode == SM_FILEMAP_READ ? PROT_READ : PROT_READ | PROT_WRITE, flags = mode == SM_FILEMAP_PRIVATE ? MAP_PRIVATE : MAP_SHARED;
  uint8_t *base = rc == 0 ? mmap(NULL, size, prot, flags, f->fd, (off_t)(offset - skip)) : MAP_FAILED;
  if (rc == 0 && base == MAP_FAILED) rc = -errno;
  if (rc < 0) {
    if (create) give_back(f);
    return rc;
  }
  sm_segment s = {.payload = base + skip,
                  .nbytes = nbytes,
                  .base = base,
                  .mapped = size,
                  .fd = f->fd,
                  .creator = getpid(),
                  .start = offset,
                  .fragile = true,
                  .readonly = mode == SM_FILEMAP_READ,
                  .isolated = mode == SM_FILEMAP_PRIVATE,
                  .kind = SM_SEGMENT_FILE};
  rc = sm_segment_enlist(&s, out);
  if (rc < 0) {
    munmap(base, size);
    if (create) give_back(f);
    return rc;
  }
  rc = create ? wipe(f, offset + nbytes) : 0;
  if (rc < 0) {
    (*out)->fd = -1; /* stays the caller's */
    sm_segment_unref(*out);
    return rc;
  }
  (*out)->fd = sm_fd_park(f->fd);
  return 0;
}

void sm_filemap_name(sm_segment *s, const char *path) {
  if (!s->isolated) s->path = realpath(path, NULL);
}

int sm_filemap_why(const sm_segment *s) {
  struct stat st;
  struct statvfs disk;
  if (s->fd < 0 || fstat(s->fd, &st) < 0 || (uint64_t)st.st_size < s->start + s->nbytes) return SM_ESHORT;
  return fstatvfs(s->fd, &disk) == 0 && disk.f_bavail == 0 ? -ENOSPC : -EIO;
}

int sm_filemap_flush(sm_segment *s) { return msync(s->base, s->mapped, MS_SYNC) < 0 ? -errno : 0; }
