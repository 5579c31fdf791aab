/* mem_filemap.c: see mem_filemap.h.
 *
 * Layout: the mapping begins at the page below the offset; there is no header.
 * Ownership: the segment owns the descriptor.
 * Fork and signals: children inherit the mapping; a private one is copied on write in each.
 * Errors: 0 or a negative code; on failure nothing stays mapped.
 */
#define _GNU_SOURCE
#include "mem_filemap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int sm_filemap_open(const char *path, sm_filemap_mode mode, int *fd, uint64_t *size) {
  int flags = O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  struct stat st;
  flags |= mode == SM_FILEMAP_READ || mode == SM_FILEMAP_PRIVATE ? O_RDONLY : O_RDWR;
  if (mode == SM_FILEMAP_CREATE) flags |= O_CREAT;
  if (stat(path, &st) == 0) { /* before opening: to open a device or a FIFO does things */
    if (S_ISDIR(st.st_mode)) return -EISDIR;
    if (!S_ISREG(st.st_mode)) return SM_EFORMAT;
  }
  int f = open(path, flags, 0666);
  if (f < 0) return -errno;
  int rc = fstat(f, &st) < 0 ? -errno : !S_ISREG(st.st_mode) ? SM_EFORMAT : 0;
  if (rc < 0) {
    close(f);
    return rc;
  }
  *fd = f;
  *size = (uint64_t)st.st_size;
  return 0;
}

/* Empty the file, then give it `size` bytes of zeros that the file system has room for. */
static int create(int fd, uint64_t size) {
  if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)size) < 0) return -errno;
#ifdef __linux__
  int rc;
  while ((rc = size ? fallocate(fd, 0, 0, (off_t)size) : 0) < 0 && errno == EINTR) {}
  if (rc < 0 && errno != EOPNOTSUPP) {
    rc = -errno;
    return ftruncate(fd, 0) < 0 ? -errno : rc;
  }
#endif
  return 0;
}

int sm_filemap_map(int fd, sm_filemap_mode mode, uint64_t offset, size_t nbytes, sm_segment **out) {
  if (offset > INT64_MAX - (uint64_t)SM_PAGE || nbytes > INT64_MAX - SM_PAGE - offset) return -EFBIG;
  int rc = 0;
  struct stat st;
  if (mode == SM_FILEMAP_CREATE) rc = create(fd, offset + nbytes);
  if (rc < 0) return rc;
  if (fstat(fd, &st) < 0) return -errno;
  if ((uint64_t)st.st_size < offset + nbytes) return SM_ESHORT;
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), skip = offset % page;
  size_t size = nbytes + (size_t)skip > 0 ? nbytes + (size_t)skip : 1;
  int prot = mode == SM_FILEMAP_READ ? PROT_READ : PROT_READ | PROT_WRITE;
  uint8_t *base = mmap(NULL, size, prot, mode == SM_FILEMAP_PRIVATE ? MAP_PRIVATE : MAP_SHARED, fd, (off_t)(offset - skip));
  if (base == MAP_FAILED) return -errno;
  sm_segment s = {.payload = base + skip,
                  .nbytes = nbytes,
                  .base = base,
                  .mapped = size,
                  .fd = fd,
                  .creator = getpid(),
                  .start = offset,
                  .readonly = mode == SM_FILEMAP_READ,
                  .kind = SM_SEGMENT_FILE};
  rc = sm_segment_enlist(&s, out);
  if (rc < 0) munmap(base, size);
  return rc;
}

int sm_filemap_why(const sm_segment *s) {
  struct stat st;
  struct statvfs disk;
  if (s->fd < 0 || fstat(s->fd, &st) < 0 || (uint64_t)st.st_size < s->start + s->nbytes) return SM_ESHORT;
  return fstatvfs(s->fd, &disk) == 0 && disk.f_bavail == 0 ? -ENOSPC : -EIO;
}

int sm_filemap_flush(sm_segment *s) { return msync(s->base, s->mapped, MS_SYNC) < 0 ? -errno : 0; }
