/* shim.c: makes the n-th call of a chosen function fail with a chosen errno, for tools/faults.R; loaded by LD_PRELOAD.
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
#include <unistd.h>

#define FUNCTIONS(_)                                                                                                                      \
  _(malloc) _(calloc) _(realloc) _(fork) _(mmap64) _(memfd_create) _(ftruncate64) _(fallocate64) _(write) _(read) _(socketpair)          \
  _(sendmsg) _(recvmsg) _(poll) _(pidfd_open) _(process_vm_readv) _(pthread_create) _(open64) _(pipe2) _(pread64) _(pwrite64) _(shm_open) \
  _(pthread_mutex_init) _(madvise) _(send)
#define NUMBER(f) F_##f,
#define NAME(f) #f,
enum { FUNCTIONS(NUMBER) NFUNCTIONS };
static const char *names[] = {FUNCTIONS(NAME)};

static struct plan {
  _Atomic int function, depth, at, error; /* the at-th call fails; 0: none */
  _Atomic int calls[3][NFUNCTIONS];
  _Atomic int failed; /* how many did */
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

static int due(int function, void *caller) {
  if (!plan || (uintptr_t)caller < from || (uintptr_t)caller >= to) return 0;
  int n = atomic_fetch_add(&plan->calls[depth > 2 ? 2 : depth][function], 1) + 1;
  if (plan->function != function || plan->depth != (depth > 2 ? 2 : depth) || plan->at != n) return 0;
  atomic_fetch_add(&plan->failed, 1);
  errno = plan->error;
  return 1;
}

#define DUE(f) due(F_##f, __builtin_return_address(0))
#define REAL(f, ...) ((__typeof__(&f))dlsym(RTLD_NEXT, #f))(__VA_ARGS__)

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *malloc(size_t n) { return DUE(malloc) ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t k) { return DUE(calloc) ? NULL : __libc_calloc(n, k); }
void *realloc(void *p, size_t n) { return DUE(realloc) ? NULL : __libc_realloc(p, n); }
pid_t fork(void) { return DUE(fork) ? -1 : REAL(fork); }
void *mmap64(void *a, size_t n, int p, int f, int fd, off64_t o) { return DUE(mmap64) ? MAP_FAILED : REAL(mmap64, a, n, p, f, fd, o); }
int memfd_create(const char *name, unsigned flags) { return DUE(memfd_create) ? -1 : REAL(memfd_create, name, flags); }
int ftruncate64(int fd, off64_t n) { return DUE(ftruncate64) ? -1 : REAL(ftruncate64, fd, n); }
int fallocate64(int fd, int mode, off64_t at, off64_t n) { return DUE(fallocate64) ? -1 : REAL(fallocate64, fd, mode, at, n); }
ssize_t write(int fd, const void *p, size_t n) { return DUE(write) ? -1 : REAL(write, fd, p, n); }
ssize_t read(int fd, void *p, size_t n) { return DUE(read) ? -1 : REAL(read, fd, p, n); }
ssize_t pread64(int fd, void *p, size_t n, off64_t o) { return DUE(pread64) ? -1 : REAL(pread64, fd, p, n, o); }
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t o) { return DUE(pwrite64) ? -1 : REAL(pwrite64, fd, p, n, o); }
int socketpair(int d, int t, int p, int sv[2]) { return DUE(socketpair) ? -1 : REAL(socketpair, d, t, p, sv); }
ssize_t send(int s, const void *p, size_t n, int f) { return DUE(send) ? -1 : REAL(send, s, p, n, f); }
ssize_t sendmsg(int s, const struct msghdr *m, int f) { return DUE(sendmsg) ? -1 : REAL(sendmsg, s, m, f); }
ssize_t recvmsg(int s, struct msghdr *m, int f) { return DUE(recvmsg) ? -1 : REAL(recvmsg, s, m, f); }
int poll(struct pollfd *p, nfds_t n, int ms) { return DUE(poll) ? -1 : REAL(poll, p, n, ms); }
int pipe2(int p[2], int f) { return DUE(pipe2) ? -1 : REAL(pipe2, p, f); }
int shm_open(const char *name, int f, mode_t m) { return DUE(shm_open) ? -1 : REAL(shm_open, name, f, m); }
int madvise(void *p, size_t n, int a) { return DUE(madvise) ? -1 : REAL(madvise, p, n, a); }
int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg) {
  return DUE(pthread_create) ? errno : REAL(pthread_create, t, a, run, arg);
}
int pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a) {
  return DUE(pthread_mutex_init) ? errno : REAL(pthread_mutex_init, m, a);
}
ssize_t process_vm_readv(pid_t p, const struct iovec *l, unsigned long nl, const struct iovec *r, unsigned long nr, unsigned long f) {
  return DUE(process_vm_readv) ? -1 : REAL(process_vm_readv, p, l, nl, r, nr, f);
}
int open64(const char *path, int flags, ...) {
  va_list ap;
  va_start(ap, flags);
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
  va_end(ap);
  return DUE(open64) ? -1 : REAL(open64, path, flags, mode);
}
long syscall(long number, ...) {
  va_list ap;
  long a[6];
  va_start(ap, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(ap, long);
  va_end(ap);
  if (number == SYS_pidfd_open && DUE(pidfd_open)) return -1;
  return REAL(syscall, number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
