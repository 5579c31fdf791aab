/* mem_segment.c: see mem_segment.h.
 *
 * Purpose: anonymous shared memory that is backed when it is promised.
 * Layout: sm_segment_shm at offset 0, payload from SM_PAGE on.
 * Ownership: the table `live` lists every segment mapped in this process; refs are process-local.
 * Fork and signals: no locks, no signals; a child's table is its own copy.
 * Errors: 0 or a negative code; on failure nothing stays open or mapped.
 */
#define _GNU_SOURCE
#include "mem_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(sm_segment_shm) == 40, "sm_segment_shm layout");

static sm_segment *live = NULL;

static int random_bytes(void *p, size_t n) {
  int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  ssize_t got = read(fd, p, n);
  close(fd);
  return got == (ssize_t)n ? 0 : -EIO;
}

static int anonymous_file(size_t size) {
  int fd;
#ifdef __linux__
  fd = memfd_create("sharedmem", MFD_CLOEXEC | MFD_ALLOW_SEALING);
#else
  char name[64];
  snprintf(name, sizeof name, "/sm%ld.%llx", (long)getpid(), (unsigned long long)sm_clock_ns());
  fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (fd >= 0) {
    shm_unlink(name);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
#endif
  if (fd < 0) return -errno;
  int rc = ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
#ifdef __linux__
  if (rc == 0 && fallocate(fd, 0, 0, (off_t)size) < 0) rc = errno == ENOSPC || errno == ENOMEM ? SM_ENOROOM : -errno;
  if (rc == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) rc = -errno;
#endif
  if (rc < 0) {
    close(fd);
    return rc;
  }
  return fd;
}

static int table_add(int fd, uint8_t *base, size_t size, bool received, sm_segment **out) {
  sm_segment *s = calloc(1, sizeof *s);
  if (!s) return -ENOMEM;
  const sm_segment_shm *h = (const sm_segment_shm *)base;
  s->payload = base + SM_PAGE;
  s->nbytes = (size_t)h->nbytes;
  s->mapped = size;
  s->fd = fd;
  s->creator = getpid();
  s->received = received;
  memcpy(s->id, h->id, sizeof s->id);
  s->refs = 1;
  s->next = live;
  live = s;
  *out = s;
  return 0;
}

int sm_segment_new(size_t nbytes, sm_segment **out) {
  if (nbytes > SIZE_MAX / 2) return SM_ENOROOM;
  size_t size = SM_PAGE + (nbytes + SM_PAGE - 1) / SM_PAGE * SM_PAGE;
  int fd = anonymous_file(size);
  if (fd < 0) return fd;
  uint8_t *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  int rc = base == MAP_FAILED ? -errno : 0;
  if (rc == 0) {
    sm_segment_shm *h = (sm_segment_shm *)base;
    memcpy(h->magic, "SHRDMEM", 8);
    h->version = 1;
    h->header = (uint32_t)SM_PAGE;
    h->nbytes = nbytes;
    rc = random_bytes(h->id, sizeof h->id);
    if (rc == 0) rc = table_add(fd, base, size, false, out);
    if (rc < 0) munmap(base, size);
  }
  if (rc < 0) close(fd);
  return rc;
}

int sm_segment_adopt(int fd, sm_segment **out) {
  struct stat st;
  if (fstat(fd, &st) < 0) return -errno;
  if (st.st_size < (off_t)SM_PAGE) return SM_EFORMAT;
#ifdef __linux__
  int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || !(seals & F_SEAL_SHRINK)) return SM_EFORMAT;
#endif
  size_t size = (size_t)st.st_size;
  uint8_t *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return -errno;
  sm_segment_shm h;
  memcpy(&h, base, sizeof h);
  int rc = memcmp(h.magic, "SHRDMEM", 8) == 0 && h.version == 1 && h.header == SM_PAGE && h.nbytes <= size - SM_PAGE ? 0 : SM_EFORMAT;
  sm_segment *known = rc == 0 ? sm_segment_find(h.id) : NULL;
  if (known) {
    munmap(base, size);
    close(fd);
    known->refs++;
    *out = known;
    return 0;
  }
  if (rc == 0) rc = table_add(fd, base, size, true, out);
  if (rc < 0) munmap(base, size);
  return rc;
}

sm_segment *sm_segment_find(const uint64_t id[2]) {
  for (sm_segment *s = live; s; s = s->next)
    if (s->id[0] == id[0] && s->id[1] == id[1]) return s;
  return NULL;
}

void sm_segment_ref(sm_segment *s) { s->refs++; }

void sm_segment_unref(sm_segment *s) {
  if (--s->refs > 0) return;
  for (sm_segment **p = &live; *p; p = &(*p)->next)
    if (*p == s) {
      *p = s->next;
      break;
    }
  munmap(s->payload - SM_PAGE, s->mapped);
  if (s->fd >= 0) close(s->fd);
  free(s);
}

void sm_segment_usage(size_t *count, size_t *nbytes) {
  *count = *nbytes = 0;
  for (sm_segment *s = live; s; s = s->next) {
    ++*count;
    *nbytes += s->nbytes;
  }
}

int sm_anon_map(size_t nbytes, void **out) {
  int flags = MAP_SHARED | MAP_ANONYMOUS;
#ifdef MAP_POPULATE
  flags |= MAP_POPULATE;
#endif
  void *p = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (p == MAP_FAILED) return -errno;
  *out = p;
  return 0;
}

void sm_anon_unmap(void *p, size_t nbytes) { munmap(p, nbytes); }
