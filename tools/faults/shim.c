/* shim.c: makes the n-th call of a chosen function fail with a chosen errno, or take long, for tools/faults.R; loaded by LD_PRELOAD.
 *
 * Only calls that sharedmem.so itself makes are counted and fail: R's own allocations, reads and forks are R's affair. The plan lies in
 * memory that all forked processes share, so that a count goes on across them. Depth 0 is the process that made the plan (the
 * session), depth 1 what it forks (workers, members, the template), depth 2 what these fork (successors).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FUNCTIONS(_)                                                                                                                      \
  _(malloc) _(calloc) _(realloc) _(fork) _(mmap64) _(memfd_create) _(ftruncate64) _(fallocate64) _(write) _(read) _(socketpair)          \
  _(sendmsg) _(recvmsg) _(poll) _(pidfd_open) _(process_vm_readv) _(pthread_create) _(open64) _(pipe2) _(pread64) _(pwrite64) _(shm_open) \
  _(pthread_mutex_init) _(madvise) _(send) _(kill)
#define NUMBER(f) F_##f,
#define NAME(f) #f,
enum { FUNCTIONS(NUMBER) NFUNCTIONS };
static const char *names[] = {FUNCTIONS(NAME)};

static struct plan {
  _Atomic int function, depth, at, error; /* the at-th call (0: none) fails, or it is late where error is 0 */
  _Atomic int calls[3][NFUNCTIONS];
  _Atomic int failed; /* how many did, or were late */
} *plan;
static uintptr_t from, to; /* sharedmem.so */
static int depth;

static int find(struct dl_phdr_info *info, size_t size, void *unused) {
  (void)size, (void)unused;
  if (!info->dlpi_name || !strstr(info->dlpi_name, "/sharedmem.so")) return 0;
  from = info->dlpi_addr;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
    if (end > to) to = end;
  }
  return 1;
}

static void deeper(void) { depth++; }

/* .C("fault_plan", function name, depth, at, errno): counts from 0 again. */
void fault_plan(char **function, int *of_depth, int *at, int *error) {
  if (!plan) {
    plan = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_atfork(NULL, NULL, deeper);
    dl_iterate_phdr(find, NULL);
  }
  plan->at = 0;
  plan->function = -1;
  for (int i = 0; i < NFUNCTIONS; i++) {
    if (!strcmp(names[i], *function)) plan->function = i;
    for (int d = 0; d < 3; d++) plan->calls[d][i] = 0;
  }
  plan->failed = 0;
  plan->depth = *of_depth;
  plan->error = *error;
  plan->at = *at;
}

/* .C("fault_calls", function name, depth, calls, failed) */
void fault_calls(char **function, int *of_depth, int *calls, int *failed) {
  *calls = 0;
  for (int i = 0; i < NFUNCTIONS; i++)
    if (!strcmp(names[i], *function)) *calls = plan->calls[*of_depth][i];
  *failed = plan->failed;
}

static void pause_some(void) {
  const struct timespec some = {0, 30000000};
  int before = errno;
  nanosleep(&some, NULL);
  errno = before;
}

enum { AS_EVER, FAILS, LATE };

static int due(int function, void *caller) {
  if (!plan || (uintptr_t)caller < from || (uintptr_t)caller >= to) return 0;
  int n = atomic_fetch_add(&plan->calls[depth > 2 ? 2 : depth][function], 1) + 1;
  if (plan->function != function || plan->depth != (depth > 2 ? 2 : depth) || plan->at != n) return AS_EVER;
  atomic_fetch_add(&plan->failed, 1);
  if (plan->error == 0) {
    pause_some();
    return LATE;
  }
  errno = plan->error;
  return FAILS;
}

#define DUE(f) due(F_##f, __builtin_return_address(0))
#define REAL(f, ...) ((__typeof__(&f))dlsym(RTLD_NEXT, #f))(__VA_ARGS__)
/* The real call, unless it is to fail; a late one pauses before and after it. */
#define CALL(f, failure, ...)                                       \
  int how = DUE(f);                                                 \
  if (how == FAILS) return failure;                                 \
  __typeof__(f(__VA_ARGS__)) got = REAL(f, __VA_ARGS__);            \
  if (how == LATE) pause_some();                                    \
  return got

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *malloc(size_t n) { return DUE(malloc) ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t k) { return DUE(calloc) ? NULL : __libc_calloc(n, k); }
void *realloc(void *p, size_t n) { return DUE(realloc) ? NULL : __libc_realloc(p, n); }
pid_t fork(void) { CALL(fork, -1); }
void *mmap64(void *a, size_t n, int p, int f, int fd, off64_t o) { CALL(mmap64, MAP_FAILED, a, n, p, f, fd, o); }
int memfd_create(const char *name, unsigned flags) { CALL(memfd_create, -1, name, flags); }
int ftruncate64(int fd, off64_t n) { CALL(ftruncate64, -1, fd, n); }
int fallocate64(int fd, int mode, off64_t at, off64_t n) { CALL(fallocate64, -1, fd, mode, at, n); }
ssize_t write(int fd, const void *p, size_t n) { CALL(write, -1, fd, p, n); }
ssize_t read(int fd, void *p, size_t n) { CALL(read, -1, fd, p, n); }
ssize_t pread64(int fd, void *p, size_t n, off64_t o) { CALL(pread64, -1, fd, p, n, o); }
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t o) { CALL(pwrite64, -1, fd, p, n, o); }
int socketpair(int d, int t, int p, int sv[2]) { CALL(socketpair, -1, d, t, p, sv); }
ssize_t send(int s, const void *p, size_t n, int f) { CALL(send, -1, s, p, n, f); }
ssize_t sendmsg(int s, const struct msghdr *m, int f) { CALL(sendmsg, -1, s, m, f); }
ssize_t recvmsg(int s, struct msghdr *m, int f) { CALL(recvmsg, -1, s, m, f); }
int poll(struct pollfd *p, nfds_t n, int ms) { CALL(poll, -1, p, n, ms); }
int kill(pid_t p, int sig) { CALL(kill, -1, p, sig); }
int pipe2(int p[2], int f) { CALL(pipe2, -1, p, f); }
int shm_open(const char *name, int f, mode_t m) { CALL(shm_open, -1, name, f, m); }
int madvise(void *p, size_t n, int a) { CALL(madvise, -1, p, n, a); }
int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg) {
  CALL(pthread_create, errno, t, a, run, arg);
}
int pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a) {
  CALL(pthread_mutex_init, errno, m, a);
}
ssize_t process_vm_readv(pid_t p, const struct iovec *l, unsigned long nl, const struct iovec *r, unsigned long nr, unsigned long f) {
  CALL(process_vm_readv, -1, p, l, nl, r, nr, f);
}
int open64(const char *path, int flags, ...) {
  va_list ap;
  va_start(ap, flags);
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
  va_end(ap);
  CALL(open64, -1, path, flags, mode);
}
long syscall(long number, ...) {
  va_list ap;
  long a[6];
  va_start(ap, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(ap, long);
  va_end(ap);
  if (number == SYS_pidfd_open && DUE(pidfd_open) == FAILS) return -1;
  return REAL(syscall, number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
