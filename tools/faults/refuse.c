/* refuse.c: runs a program under a filter (seccomp) that refuses some calls of the system, as containers and job systems do.
 *
 *   refuse ERRNO CALL[,CALL...] PROGRAM [ARGUMENT...]
 *
 * ERRNO is a number. A call that this machine does not have is passed over. Exit status 77: filters are not to be had here.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALL(name) {#name, SYS_##name},
static const struct {
  const char *name;
  long number;
} calls[] = {
#ifdef SYS_memfd_create
    CALL(memfd_create)
#endif
#ifdef SYS_pidfd_open
    CALL(pidfd_open)
#endif
#ifdef SYS_pidfd_send_signal
    CALL(pidfd_send_signal)
#endif
#ifdef SYS_clone3
    CALL(clone3)
#endif
#ifdef SYS_close_range
    CALL(close_range)
#endif
#ifdef SYS_rseq
    CALL(rseq)
#endif
#ifdef SYS_statx
    CALL(statx)
#endif
#ifdef SYS_membarrier
    CALL(membarrier)
#endif
    CALL(fallocate) CALL(process_vm_readv) CALL(process_vm_writev) CALL(madvise) CALL(prctl) CALL(sched_setaffinity) CALL(sched_getaffinity)
    CALL(getrandom) CALL(set_robust_list) CALL(prlimit64) CALL(setpgid) CALL(socketpair)
    CALL(sendmsg) CALL(recvmsg) CALL(sendto) CALL(recvfrom) CALL(ftruncate) CALL(mremap) CALL(msync) CALL(flock) CALL(ptrace)
    CALL(kcmp) CALL(mincore) CALL(getrusage) CALL(sysinfo) CALL(fsync) CALL(fdatasync) CALL(fadvise64) CALL(copy_file_range)
    CALL(sched_yield) CALL(pwrite64) CALL(readlinkat) CALL(getpriority) CALL(setpriority) CALL(setrlimit)};

static long number_of(const char *name) {
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
    if (strcmp(calls[i].name, name) == 0) return calls[i].number;
  return -1;
}

int main(int argc, char **argv) {
  struct sock_filter code[64] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  unsigned short n = 1;
  if (argc < 4) return 2;
  for (char *name = strtok(argv[2], ","); name && n < 60; name = strtok(NULL, ",")) {
    long number = number_of(name);
    if (number < 0) continue;
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned)atoi(argv[1]) & SECCOMP_RET_DATA));
  }
  code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog filter = {n, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0) {
    fprintf(stderr, "refuse: %s\n", strerror(errno));
    return 77;
  }
  execvp(argv[3], argv + 3);
  return 127;
}
