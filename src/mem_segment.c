/* mem_segment.c: see mem_segment.h.
 *
 * Purpose: anonymous shared memory that is backed when it is promised.
 * Layout: sm_segment_shm at offset 0, payload from SM_PAGE on.
 * Ownership: the table `live` lists every segment mapped in this process; refs are process-local.
 * Fork and signals: no locks; a child's table is its own copy. Threads that touch pages block all signals
 *   and are joined before the call returns.
 * Errors: 0 or a negative code; on failure nothing stays open or mapped.
 */
#define _GNU_SOURCE
#include "mem_segment.h"

#include "mem_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(sm_segment_shm) == 48, "sm_segment_shm layout");
_Static_assert(offsetof(sm_segment_shm, pinned) == 40, "sm_segment_shm layout");

#define SLICE ((size_t)256 << 20)     /* reserved in one go: about 60 ms */
#define TOUCH_SLICE ((size_t)8 << 20) /* mapped in one go by a thread */
#define TOUCH_MIN ((size_t)16 << 20)  /* below this threads do not pay */
#define TOUCH_THREADS 4

static sm_segment *live = NULL;
static size_t live_count = 0, live_nbytes = 0;

int sm_segment_random(void *p, size_t n) {
  int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  size_t have = 0;
  while (have < n) {
    ssize_t got = read(fd, (char *)p + have, n - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    have += (size_t)got;
  }
  close(fd);
  return have == n ? 0 : -EIO;
}

/* Can the system back a file without writing it? Found out at run time: some kernels and sandboxes refuse it. */
static bool no_fallocate = false;

#ifdef __linux__
/* Back n bytes from `at` on by writing zeros: for a new file only. */
static int write_zeros(int fd, size_t at, size_t n) {
  static const char zeros[1 << 16];
  while (n > 0) {
    ssize_t put = pwrite(fd, zeros, n < sizeof zeros ? n : sizeof zeros, (off_t)at);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return put == 0 ? SM_ENOROOM : -errno;
    at += (size_t)put;
    n -= (size_t)put;
  }
  return 0;
}

static int back_slice(int fd, size_t at, size_t n) {
  while (!no_fallocate) {
    if (fallocate(fd, 0, (off_t)at, (off_t)n) == 0) return 0;
    if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EPERM) no_fallocate = true;
    else if (errno != EINTR) return -errno;
  }
  return write_zeros(fd, at, n);
}
#endif

/* Back size bytes of a new file now, in slices. A signal interrupts a slice, which is then begun again. */
static int reserve(int fd, size_t size, sm_stop_fn stop, void *ctx) {
#ifdef __linux__
  for (size_t at = 0, n; at < size; at += n) {
    n = size - at < SLICE ? size - at : SLICE;
    int rc = back_slice(fd, at, n);
    if (rc < 0) return rc == -ENOSPC || rc == -ENOMEM ? SM_ENOROOM : rc;
    if (stop && n == SLICE && stop(ctx)) return SM_EINTR;
  }
#else
  (void)fd, (void)size, (void)stop, (void)ctx;
#endif
  return 0;
}

/* How a new segment is made. */
typedef struct {
  size_t size;
  bool backed; /* all of it, or only the header */
  sm_stop_fn stop;
  void *ctx;
} making;

static int fill_file(int fd, const making *m) {
  sm_size_guard guard;
  sm_size_enter(&guard);
  int rc = ftruncate(fd, (off_t)m->size) < 0 ? -errno : 0;
  if (rc == -EFBIG && sm_size_limit() >= m->size) rc = SM_ENOROOM;
  if (rc == -EINVAL) rc = SM_ENOROOM;
  if (rc == 0) rc = reserve(fd, SM_PAGE, NULL, NULL);
  if (rc == 0 && (m->backed || no_fallocate)) rc = reserve(fd, m->size, m->stop, m->ctx);
  if (rc == 0) rc = sm_anon_seal(fd, true);
  sm_size_leave(&guard);
  return rc;
}

/* Where the file system of one way has no room (a small /dev/shm), the next way is tried. */
static int anonymous_file(const making *m) {
  sm_anon_way way = SM_ANON_MEMFD;
  for (;;) {
    int fd = sm_anon_file_by(&way);
    if (fd < 0) return fd;
    int rc = fill_file(fd, m);
    if (rc == 0) return sm_fd_park(fd);
    close(fd);
    if (rc != SM_ENOROOM || way != SM_ANON_SHM) return rc;
    way++;
  }
}

static bool counted(const sm_segment *s) { return s->kind == SM_SEGMENT_MEMORY && !s->arena; }

static int table_add(const sm_segment *from, sm_segment **out) {
  sm_segment *s = malloc(sizeof *s);
  if (!s) return -ENOMEM;
  *s = *from;
  s->refs = 1;
  struct stat st;
  if (fstat(s->fd, &st) == 0) {
    s->file[0] = (uint64_t)st.st_dev;
    s->file[1] = (uint64_t)st.st_ino;
  }
  s->prev = NULL;
  s->next = live;
  if (live) live->prev = s;
  live = s;
  live_count += counted(s);
  if (counted(s)) live_nbytes += s->nbytes;
  *out = s;
  return 0;
}

/* A mapped segment whose header was checked or written by the caller. */
static int table_add_memory(int fd, uint8_t *base, size_t size, const sm_segment_shm *h, bool received, sm_segment **out) {
  sm_segment s = {.payload = base + SM_PAGE,
                  .nbytes = (size_t)h->nbytes,
                  .base = base,
                  .mapped = size,
                  .fd = fd,
                  .creator = getpid(),
                  .received = received,
                  .arena = h->arena != 0,
                  .start = SM_PAGE,
                  .kind = SM_SEGMENT_MEMORY,
                  .id = {h->id[0], h->id[1]}};
  return table_add(&s, out);
}

int sm_segment_enlist(const sm_segment *from, sm_segment **out) {
  sm_segment s = *from;
  int rc = sm_segment_random(s.id, sizeof s.id);
  return rc < 0 ? rc : table_add(&s, out);
}

static int segment_make(size_t nbytes, bool backed, sm_stop_fn stop, void *ctx, sm_segment **out) {
  if (nbytes > SIZE_MAX / 4) return SM_ENOROOM;
  size_t size = SM_PAGE + (nbytes + SM_PAGE - 1) / SM_PAGE * SM_PAGE;
  making m = {size, backed, stop, ctx};
  int fd = anonymous_file(&m);
  if (fd < 0) return fd;
  uint8_t *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  int rc = base == MAP_FAILED ? -errno : 0;
  if (rc == 0) {
#ifdef MADV_HUGEPAGE
    if (size >= TOUCH_MIN) madvise(base, size, MADV_HUGEPAGE);
#endif
    sm_segment_shm *h = (sm_segment_shm *)base;
    memcpy(h->magic, "SHRDMEM", 8);
    h->version = 1;
    h->header = (uint32_t)SM_PAGE;
    h->nbytes = nbytes;
    rc = sm_segment_random(h->id, sizeof h->id);
    if (rc == 0) rc = table_add_memory(fd, base, size, h, false, out);
    if (rc < 0) munmap(base, size);
  }
  if (rc < 0) close(fd);
  return rc;
}

int sm_segment_new(size_t nbytes, sm_segment **out) { return sm_segment_new_stoppable(nbytes, NULL, NULL, out); }

int sm_segment_new_stoppable(size_t nbytes, sm_stop_fn stop, void *ctx, sm_segment **out) {
  return segment_make(nbytes, true, stop, ctx, out);
}

int sm_segment_new_bare(size_t nbytes, sm_segment **out) { return segment_make(nbytes, false, NULL, NULL, out); }

/* Through the mapping, so that a large one may come in huge pages; else through the file. */
int sm_segment_back(sm_segment *s, size_t offset, size_t n) {
#ifdef __linux__
  size_t from = (offset + SM_PAGE) / SM_PAGE * SM_PAGE, to = (offset + SM_PAGE + n + SM_PAGE - 1) / SM_PAGE * SM_PAGE;
  if (to > s->mapped) to = s->mapped;
#ifdef MADV_POPULATE_WRITE
  for (;;) {
    if (madvise(s->base + from, to - from, MADV_POPULATE_WRITE) == 0) return 0;
    if (errno == EINVAL || errno == ENOSYS) break;
    if (errno != EINTR && errno != EAGAIN) return SM_ENOROOM;
  }
#endif
  while (!no_fallocate && fallocate(s->fd, 0, (off_t)from, (off_t)(to - from)) < 0) {
    if (errno == ENOSPC || errno == ENOMEM) return SM_ENOROOM;
    if (errno != EINTR) return -errno;
  }
#else
  (void)s, (void)offset, (void)n;
#endif
  return 0;
}

int sm_segment_put(sm_segment *s, size_t offset, const void *from, size_t n) {
#ifdef __linux__
  while (n > 0) {
    sm_size_guard guard;
    sm_size_enter(&guard);
    ssize_t done = pwrite(s->fd, from, n, (off_t)(SM_PAGE + offset));
    sm_size_leave(&guard);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return done == 0 || errno == ENOSPC || errno == ENOMEM ? SM_ENOROOM : -errno;
    from = (const char *)from + done;
    offset += (size_t)done;
    n -= (size_t)done;
  }
#else
  memcpy(s->payload + offset, from, n);
#endif
  return 0;
}

/* ---- segments of other processes ---- */

static bool header_valid(const sm_segment_shm *h, size_t size) {
  return memcmp(h->magic, "SHRDMEM", 8) == 0 && h->version == 1 && h->header == SM_PAGE && h->nbytes <= size - SM_PAGE;
}

/* What fd is, as sm_anon_check() has it; its size into *size. */
static int check_file(int fd, size_t *size, bool *fixed) {
  struct stat st;
  int rc = sm_anon_check(fd, fixed);
  if (rc < 0) return rc;
  if (fstat(fd, &st) < 0) return -errno;
  if (st.st_size < (off_t)SM_PAGE || st.st_size % (off_t)SM_PAGE != 0) return SM_EFORMAT;
  *size = (size_t)st.st_size;
  return 0;
}

int sm_segment_adopt(int fd, sm_segment **out) {
  size_t size = 0;
  bool fixed;
  int rc = check_file(fd, &size, &fixed);
  if (rc < 0) return rc;
  sm_segment_shm h;
  if (pread(fd, &h, sizeof h, 0) != (ssize_t)sizeof h) return SM_EFORMAT;
  uint8_t *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return -errno;
  rc = header_valid(&h, size) ? 0 : SM_EFORMAT;
  sm_segment *known = rc == 0 ? sm_segment_find(h.id) : NULL;
  if (known) {
    munmap(base, size);
    close(fd);
    known->refs++;
    *out = known;
    return 0;
  }
  if (rc == 0) rc = table_add_memory(fd, base, size, &h, true, out);
  if (rc < 0) {
    munmap(base, size);
    return rc;
  }
  (*out)->fd = sm_fd_park(fd);
  (*out)->fragile = !fixed;
  return 0;
}

int sm_segment_open(pid_t pid, int fd, const uint64_t id[2], sm_segment **out) {
#ifdef __linux__
  char path[48];
  struct stat st;
  if (pid <= 0 || fd < 0) return SM_EGONE;
  snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)pid, fd);
  if (stat(path, &st) < 0) return errno == EACCES || errno == EPERM ? -errno : SM_EGONE;
  if (!S_ISREG(st.st_mode) || st.st_nlink != 0 || st.st_uid != geteuid()) return SM_EGONE;
  int own = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (own < 0) return errno == EACCES || errno == EPERM ? -errno : SM_EGONE;
  size_t size;
  bool fixed;
  sm_segment_shm h;
  int rc = check_file(own, &size, &fixed);
  if (rc == 0) {
    ssize_t got = pread(own, &h, sizeof h, 0);
    rc = got == (ssize_t)sizeof h && header_valid(&h, size) && h.id[0] == id[0] && h.id[1] == id[1] ? 0 : SM_EGONE;
  }
  if (rc == 0) rc = sm_segment_adopt(own, out);
  if (rc < 0) close(own);
  else if ((*out)->refs == 1) (*out)->opened = true; /* made by this call */
  return rc == SM_EFORMAT ? SM_EGONE : rc;
#else
  (void)pid, (void)fd, (void)id, (void)out;
  return SM_EGONE;
#endif
}

/* ---- the table ---- */

sm_segment *sm_segment_find(const uint64_t id[2]) {
  for (sm_segment *s = live; s; s = s->next)
    if (s->id[0] == id[0] && s->id[1] == id[1]) return s;
  return NULL;
}

bool sm_segment_writes(const uint64_t file[2]) {
  for (sm_segment *s = live; s; s = s->next)
    if (s->kind == SM_SEGMENT_FILE && !s->readonly && !s->isolated && s->file[0] == file[0] && s->file[1] == file[1]) return true;
  return false;
}

bool sm_segment_overlap(sm_stretch a, sm_stretch b) {
  if (a.seg->file[0] != b.seg->file[0] || a.seg->file[1] != b.seg->file[1]) return false;
  uint64_t p = a.seg->start + (uint64_t)(a.at - a.seg->payload), q = b.seg->start + (uint64_t)(b.at - b.seg->payload);
  return p < q + b.nbytes && q < p + a.nbytes;
}

void sm_segment_ref(sm_segment *s) { s->refs++; }

void sm_segment_unref(sm_segment *s) {
  if (--s->refs > 0) return;
  if (s->prev) s->prev->next = s->next;
  else live = s->next;
  if (s->next) s->next->prev = s->prev;
  live_count -= counted(s);
  if (counted(s)) live_nbytes -= s->nbytes;
  munmap(s->base, s->mapped);
  if (s->fd >= 0) close(s->fd);
  free(s->path);
  free(s);
}

void sm_segment_mark_arena(sm_segment *s) {
  live_count -= counted(s);
  if (counted(s)) live_nbytes -= s->nbytes;
  s->arena = true;
  ((sm_segment_shm *)s->base)->arena = 1;
}

void sm_segment_usage(size_t *count, size_t *nbytes) {
  *count = live_count;
  *nbytes = live_nbytes;
}

/* ---- touching pages ---- */

typedef struct {
  uint8_t *base;
  size_t size;
  _Atomic size_t next; /* offset of the next slice nobody has */
} touch_job;

static void *touch_run(void *arg) {
  touch_job *job = arg;
  for (;;) {
    size_t at = atomic_fetch_add(&job->next, TOUCH_SLICE);
    if (at >= job->size) return NULL;
    size_t n = job->size - at < TOUCH_SLICE ? job->size - at : TOUCH_SLICE;
#ifdef MADV_POPULATE_WRITE
    if (madvise(job->base + at, n, MADV_POPULATE_WRITE) < 0) return NULL;
#else
    for (size_t i = 0; i < n; i += SM_PAGE) *(volatile uint8_t *)(job->base + at + i) = 0;
#endif
  }
}

void sm_segment_touch(sm_segment *s) {
  if (s->mapped < TOUCH_MIN || s->kind != SM_SEGMENT_MEMORY) return;
  long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  int want = cpus < 1 ? 1 : cpus > TOUCH_THREADS ? TOUCH_THREADS : (int)cpus, started = 0;
  touch_job job = {s->payload, s->mapped - SM_PAGE, 0};
  pthread_t thread[TOUCH_THREADS];
  sigset_t all, before;
  sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return;
  while (started < want - 1 && pthread_create(&thread[started], NULL, touch_run, &job) == 0) started++;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  touch_run(&job);
  for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
}

/* ---- memory without a descriptor ---- */

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

int sm_anon_map_lazy(size_t nbytes, void **out) {
  void *p = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return -errno;
  *out = p;
  return 0;
}

void sm_anon_unmap(void *p, size_t nbytes) { munmap(p, nbytes); }
