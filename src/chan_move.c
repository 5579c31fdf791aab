/* chan_move.c: see chan_move.h.
 *
 * Ownership: a table owns its entries and the blocks given to it; pieces belong to the writer's vectors.
 * Fork and signals: none; reads are begun again after a signal.
 * Errors: 0 or a negative code.
 */
#define _GNU_SOURCE
#include "chan_move.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifndef SM_NO_VMREADV
#include <sys/uio.h>
#endif

#include "chan_spill.h"
#include "mem_file.h"
#include "mem_limit.h"

#define STEP ((size_t)1 << 30)

/* Room for one more of `count` elements in *p; false if there is no memory. */
static bool grow(void *p, size_t count, size_t *size, size_t each) {
  if (count < *size) return true;
  size_t more = *size ? 2 * *size : 16;
  void *old, *bigger;
  memcpy(&old, p, sizeof old);
  if (!(bigger = realloc(old, more * each))) return false;
  memcpy(p, &bigger, sizeof bigger);
  *size = more;
  return true;
}

int sm_move_add(sm_move_table *t, size_t *index) {
  if (!grow(&t->entry, t->count, &t->size, sizeof *t->entry)) return -ENOMEM;
  memset(&t->entry[t->count], 0, sizeof t->entry[0]);
  *index = t->count++;
  return 0;
}

int sm_move_own(sm_move_table *t, void *p) {
  if (!grow(&t->owned, t->nowned, &t->owned_size, sizeof *t->owned)) {
    free(p);
    return -ENOMEM;
  }
  t->owned[t->nowned++] = p;
  return 0;
}

void sm_move_clear(sm_move_table *t) {
  for (size_t i = 0; i < t->nowned; i++) free(t->owned[i]);
  free(t->owned);
  free(t->entry);
  memset(t, 0, sizeof *t);
}

/* ---- files ---- */

static int write_file(const sm_move_table *t, sm_moved_shm *entry, int fd, sm_move_head_shm *head) {
  uint64_t at = 0;
  for (size_t i = 0; i < t->count; i++)
    for (int k = 0; k < SM_MOVE_PIECES; k++) {
      uint64_t n = entry[i].nbytes[k];
      if (n == 0) continue;
      int rc = sm_write_all(fd, (const uint8_t *)(uintptr_t)entry[i].at[k], (size_t)n);
      if (rc < 0) return rc;
      entry[i].at[k] = at;
      at += n;
    }
  *head = (sm_move_head_shm){at, t->count};
  int rc = sm_write_all(fd, (const uint8_t *)entry, t->count * sizeof *entry);
  return rc == 0 ? sm_anon_seal(fd, false) : rc;
}

int sm_move_to_file(const sm_move_table *t, int *fd, sm_move_head_shm *head) {
  uint64_t available;
  int rc = sm_limit_check(t->nbytes, &available);
  if (rc < 0) return rc;
  size_t n = t->count * sizeof *t->entry;
  sm_moved_shm *entry = malloc(n > 0 ? n : 1);
  if (!entry) return -ENOMEM;
  if (n > 0) memcpy(entry, t->entry, n);
  int file = sm_anon_file();
  rc = file < 0 ? file : write_file(t, entry, file, head);
  free(entry);
  if (rc < 0 && file >= 0) close(file);
  if (rc == 0) *fd = file;
  return rc;
}

int sm_move_open(int fd, sm_move_source *out) {
  struct stat st;
  if (fstat(fd, &st) < 0) return -errno;
  if (!S_ISREG(st.st_mode)) return SM_EFORMAT;
  *out = (sm_move_source){0, fd, (uint64_t)st.st_size};
  return 0;
}

static int read_file(const sm_move_source *s, uint64_t at, uint8_t *to, size_t n) {
  if (at > s->size || n > s->size - at) return SM_EFORMAT;
  while (n > 0) {
    ssize_t k = pread(s->fd, to, n < STEP ? n : STEP, (off_t)at);
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) return -errno;
    if (k == 0) return SM_EFORMAT;
    to += k;
    at += (uint64_t)k;
    n -= (size_t)k;
  }
  return 0;
}

/* ---- another process's memory ---- */

#ifndef SM_NO_VMREADV
static int read_process(const sm_move_source *s, uint64_t at, uint8_t *to, size_t n) {
  while (n > 0) {
    size_t step = n < STEP ? n : STEP;
    struct iovec here = {to, step}, there = {(void *)(uintptr_t)at, step};
    ssize_t k = process_vm_readv(s->pid, &here, 1, &there, 1, 0);
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) return errno == ESRCH ? SM_EGONE : errno == EFAULT || errno == EINVAL ? SM_EFORMAT : -errno;
    if (k == 0) return SM_EFORMAT;
    to += k;
    at += (uint64_t)k;
    n -= (size_t)k;
  }
  return 0;
}
#else
static int read_process(const sm_move_source *s, uint64_t at, uint8_t *to, size_t n) {
  return (void)s, (void)at, (void)to, (void)n, -ENOSYS;
}
#endif

int sm_move_read(const sm_move_source *s, uint64_t at, void *to, size_t n) {
  if (n == 0) return 0;
  if (s->fd >= 0) return read_file(s, at, to, n);
  return s->pid > 0 ? read_process(s, at, to, n) : -EPERM;
}
