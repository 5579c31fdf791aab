/* chan_spill.c: see chan_spill.h. */
#define _GNU_SOURCE
#include "chan_spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem_file.h"

int sm_spill_open(sm_spill *s) {
  memset(s, 0, sizeof *s);
  s->fd = sm_anon_file();
  if (s->fd < 0) {
    int rc = s->fd;
    s->fd = -1;
    return rc;
  }
  s->stage = malloc(SM_SPILL_STAGE);
  if (!s->stage) {
    sm_spill_close(s);
    return -ENOMEM;
  }
  return 0;
}

int sm_write_all(int fd, const uint8_t *p, size_t n) {
  while (n > 0) {
    sm_size_guard guard;
    sm_size_enter(&guard);
    ssize_t k = write(fd, p, n < ((size_t)1 << 30) ? n : (size_t)1 << 30);
    sm_size_leave(&guard);
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) return errno == ENOSPC || errno == ENOMEM ? SM_ENOROOM : -errno;
    p += k;
    n -= (size_t)k;
  }
  return 0;
}

static int flush_stage(sm_spill *s) {
  int rc = sm_write_all(s->fd, s->stage, s->staged);
  s->staged = 0;
  return rc;
}

int sm_spill_write(sm_spill *s, const void *p, size_t n) {
  s->nbytes += n;
  if (n < SM_SPILL_STAGE - s->staged) {
    memcpy(s->stage + s->staged, p, n);
    s->staged += n;
    return 0;
  }
  int rc = flush_stage(s);
  if (rc < 0) return rc;
  if (n >= SM_SPILL_STAGE) return sm_write_all(s->fd, p, n);
  memcpy(s->stage, p, n);
  s->staged = n;
  return 0;
}

int sm_spill_finish(sm_spill *s) {
  int rc = flush_stage(s);
  return rc == 0 ? sm_anon_seal(s->fd, false) : rc;
}

void sm_spill_close(sm_spill *s) {
  if (s->fd >= 0) close(s->fd);
  s->fd = -1;
  free(s->stage);
  s->stage = NULL;
}

int sm_spill_map(int fd, uint64_t nbytes, const uint8_t **out) {
  struct stat st;
  if (fstat(fd, &st) < 0) return -errno;
  bool fixed;
  if ((uint64_t)st.st_size != nbytes || nbytes == 0 || sm_anon_check(fd, &fixed) < 0) return SM_EFORMAT;
  if (nbytes > SIZE_MAX / 2) return SM_ENOROOM;
  int flags = MAP_SHARED;
#ifdef MAP_POPULATE
  flags |= MAP_POPULATE;
#endif
  void *p = mmap(NULL, (size_t)nbytes, PROT_READ, flags, fd, 0);
  if (p == MAP_FAILED) return -errno;
  *out = p;
  return 0;
}

void sm_spill_unmap(const uint8_t *p, uint64_t nbytes) { munmap((void *)(uintptr_t)p, (size_t)nbytes); }
