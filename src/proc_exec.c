/* proc_exec.c: see proc_exec.h.
 *
 * Fork and signals: posix_spawn() alone, which host programs with threads of their own survive.
 * Errors: 0 or a negative code; on failure nothing stays open.
 */
#define _GNU_SOURCE
#include "proc_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#if defined(__GLIBC__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
#define CLOSE_FROM
#endif
#endif

/* sock and out lie above the numbers that they are to have. */
static int set_files(posix_spawn_file_actions_t *f, int sock, int out) {
  int rc = posix_spawn_file_actions_addopen(f, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (!rc) rc = posix_spawn_file_actions_adddup2(f, out, STDOUT_FILENO);
  if (!rc) rc = posix_spawn_file_actions_adddup2(f, out, STDERR_FILENO);
  if (!rc) rc = posix_spawn_file_actions_adddup2(f, sock, SM_EXEC_SOCK);
#ifdef CLOSE_FROM
  if (!rc) rc = posix_spawn_file_actions_addclosefrom_np(f, SM_EXEC_SOCK + 1);
#endif
  return -rc;
}

static int set_signals(posix_spawnattr_t *a) {
  sigset_t none, standard;
  sigemptyset(&none);
  sigfillset(&standard);
  sigdelset(&standard, SIGKILL);
  sigdelset(&standard, SIGSTOP);
  int rc = posix_spawnattr_setsigmask(a, &none);
  if (!rc) rc = posix_spawnattr_setsigdefault(a, &standard);
  if (!rc) rc = posix_spawnattr_setpgroup(a, 0);
  if (!rc) rc = posix_spawnattr_setflags(a, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  return -rc;
}

static int spawn(pid_t *pid, char *const argv[], char *const envp[], const int fds[2]) {
  posix_spawn_file_actions_t f;
  posix_spawnattr_t a;
  int rc = -posix_spawn_file_actions_init(&f);
  if (rc < 0) return rc;
  rc = -posix_spawnattr_init(&a);
  if (rc == 0) {
    rc = set_files(&f, fds[0], fds[1]);
    if (rc == 0) rc = set_signals(&a);
    if (rc == 0) rc = -posix_spawn(pid, argv[0], &f, &a, argv, envp);
    posix_spawnattr_destroy(&a);
  }
  posix_spawn_file_actions_destroy(&f);
  return rc;
}

static void shut(int fd) {
  if (fd >= 0) close(fd);
}

int sm_proc_exec(sm_proc *p, char *const argv[], char *const envp[], int out) {
  int pair[2], fds[2];
  int rc = sm_proc_pair(pair);
  if (rc < 0) return rc;
  fds[0] = fcntl(pair[1], F_DUPFD_CLOEXEC, SM_EXEC_SOCK + 1);
  if (fds[0] < 0) rc = -errno;
  fds[1] = fcntl(out, F_DUPFD_CLOEXEC, SM_EXEC_SOCK + 1);
  if (fds[1] < 0 && rc == 0) rc = -errno;
  close(pair[1]);
  pid_t pid = -1;
  if (rc == 0) rc = spawn(&pid, argv, envp, fds);
  shut(fds[0]);
  shut(fds[1]);
  if (rc < 0) {
    close(pair[0]);
    return rc;
  }
  sm_proc_started(p, pid, pair[0]);
  return 0;
}
