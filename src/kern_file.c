/* kern_file.c: see kern_file.h.
 *
 * Slices of 1 MiB are handed out one by one: backed, read, and turned round while they are in cache.
 * Reads past the end of a file that shrinks are short and give SM_ESHORT; nothing is mapped, so there is no SIGBUS.
 */
#define _GNU_SOURCE
#include "kern_file.h"

#include <errno.h>
#include <unistd.h>

#define SLICE ((size_t)1 << 20)

typedef struct {
  sm_file_part part;
  uint8_t *to;
  const uint8_t *from;
  sm_stop *stop;
  _Atomic size_t next;
} file_job;

static int read_all(int fd, uint8_t *to, size_t n, int64_t at) {
  for (size_t have = 0; have < n;) {
    ssize_t got = pread(fd, to + have, n - have, (off_t)at + (off_t)have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    if (got == 0) return SM_ESHORT;
    have += (size_t)got;
  }
  return 0;
}

static int write_all(int fd, const uint8_t *from, size_t n, int64_t at) {
  for (size_t done = 0; done < n;) {
    ssize_t put = pwrite(fd, from + done, n - done, (off_t)at + (off_t)done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno == EFAULT ? SM_ECHANGED : -errno; /* a page that a mapped file has lost is no SIGBUS here */
    if (put == 0) return -EIO;
    done += (size_t)put;
  }
  return 0;
}

static void turn_round(uint8_t *p, size_t n, int width) {
#define TURN(T, expr)                                                   \
  for (T *x = (T *)(void *)p, *end = x + n / sizeof(T); x < end; x++) { \
    T v = *x;                                                           \
    *x = (T)(expr);                                                     \
  }                                                                     \
  break;
  switch (width) {
  case 2: TURN(uint16_t, v >> 8 | v << 8)
  case 4: TURN(uint32_t, __builtin_bswap32(v))
  case 8: TURN(uint64_t, __builtin_bswap64(v))
  default: break;
  }
}

static int read_slice(file_job *j, size_t at, size_t n) {
  int rc = j->part.back ? j->part.back(j->part.ctx, at, n) : 0;
  if (rc == 0) rc = read_all(j->part.fd, j->to + at, n, j->part.offset + (int64_t)at);
  if (rc == 0) turn_round(j->to + at, n, j->part.swap);
  return rc;
}

static void slices_work(void *arg, int rank, int np) {
  file_job *j = arg;
  (void)np;
  while (!sm_stop_due(j->stop, rank)) {
    size_t at = atomic_fetch_add(&j->next, SLICE);
    if (at >= j->part.nbytes) return;
    size_t n = j->part.nbytes - at < SLICE ? j->part.nbytes - at : SLICE;
    int rc = j->to ? read_slice(j, at, n) : write_all(j->part.fd, j->from + at, n, j->part.offset + (int64_t)at);
    if (rc < 0) sm_stop_set(j->stop, rc);
  }
}

bool sm_file_same(const struct stat *a, const struct stat *b) {
#ifdef __APPLE__
#define MTIME(s) (s)->st_mtimespec
#else
#define MTIME(s) (s)->st_mtim
#endif
  return a->st_size == b->st_size && MTIME(a).tv_sec == MTIME(b).tv_sec && MTIME(a).tv_nsec == MTIME(b).tv_nsec;
}

int sm_file_read(const sm_file_part *part, void *to, const sm_work *work) {
  file_job j = {.part = *part, .to = to, .stop = work->stop};
  sm_work shared = sm_work_for(work, (int64_t)part->nbytes, (int64_t)(2 * SLICE));
  int fd = part->fd;
  struct stat before, after;
  if (fstat(fd, &before) < 0) return -errno;
  int rc = sm_threads_run(&shared, slices_work, &j);
  if (rc < 0 && rc != SM_ESHORT) return rc;
  if (fstat(fd, &after) < 0) return -errno;
  return !sm_file_same(&before, &after) ? SM_ECHANGED : rc;
}

int sm_file_write(int fd, int64_t offset, const void *from, size_t nbytes, const sm_work *work) {
  file_job j = {.part = {.fd = fd, .offset = offset, .nbytes = nbytes}, .from = from, .stop = work->stop};
  sm_work shared = sm_work_for(work, (int64_t)nbytes, (int64_t)(2 * SLICE));
  return sm_threads_run(&shared, slices_work, &j);
}
