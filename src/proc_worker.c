/* proc_worker.c: see proc_worker.h.
 *
 * Purpose: the only fork() of the package, and the end of what it made.
 * Fork and signals: all signals are blocked over the fork and the mask is restored in both processes before
 * anything else is looked at. The child leads a process group of its own, so Ctrl-C in a terminal reaches its parent alone, which
 * ends the child.
 * Errors: 0 or a negative code; on failure nothing stays open.
 */
#define _GNU_SOURCE
#include "proc_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "proc_reap.h"
#include "proc_tree.h"

void sm_proc_init(sm_proc *p) {
  memset(p, 0, sizeof *p);
  p->pid = -1;
  p->sock = p->pidfd = -1;
}

static void shut(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

int sm_proc_pair(int pair[2]) {
#ifdef SOCK_CLOEXEC
  return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
#else
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) return -errno;
  fcntl(pair[0], F_SETFD, FD_CLOEXEC);
  fcntl(pair[1], F_SETFD, FD_CLOEXEC);
  return 0;
#endif
}

static pid_t whole; /* pid of a process whose stdio holds no input that another process's stdio holds too */

void sm_proc_loaded(void) { whole = sm_pid(); }

void sm_proc_flush(void) {
  if (whole == sm_pid()) fflush(NULL);
}

/* Foreign code in a child may call exit(). This handler ends the child before the rest of exit() runs, because closing stdio would move
 * the offset of files that the parent reads, and the parent's exit handlers must not run in a child. The exit status is kept where the
 * system allows it. */
#if defined(__GLIBC__) && defined(SYS_exit_group)
static void leave_at_once(int status, void *arg) {
  (void)arg;
  sm_proc_flush();
  for (;;) syscall(SYS_exit_group, status);
}
static void guard_exit(void) { on_exit(leave_at_once, NULL); }
#else
static void leave_at_once(void) { sm_proc_end_self(); }
static void guard_exit(void) { atexit(leave_at_once); }
#endif

static struct sigaction interrupt; /* the parent's, for sm_proc_heed() */

bool sm_proc_heed(bool heed) {
  struct sigaction now;
  sigaction(SIGINT, NULL, &now);
  if (heed == (now.sa_handler != SIG_IGN) || !interrupt.sa_handler) return false;
  if (heed) sigaction(SIGINT, &interrupt, NULL);
  else signal(SIGINT, SIG_IGN);
  return true;
}

static pid_t its_parent;

#ifdef SM_NO_PDEATHSIG
/* A thread looks, because the process may be in code of the user's that runs for hours. */
static void *look_for_parent(void *arg) {
  const struct timespec pause = {0, 50000000L};
  while (!sm_proc_orphaned(its_parent)) nanosleep(&pause, NULL);
  kill(0, SIGKILL); /* this process's own group: it goes with what it has started */
  return arg;
}

void sm_proc_die_with(pid_t parent) {
  pthread_t thread;
  its_parent = parent;
  if (sm_thread_start(&thread, look_for_parent, NULL) == 0) pthread_detach(thread);
}
#else
static pid_t child;

/* The kernel's word, in the parent's name, that the thread which forked has ended; the parent may still have other threads that end.
 * Whoever else sends this signal gets what it does by default. */
static void parent_ended(int sig, siginfo_t *from, void *context) {
  (void)context;
  bool word = from->si_code == SI_USER && from->si_pid == its_parent;
  if (getpid() == child && (word || getppid() != its_parent)) kill(0, SIGKILL); /* its own group: it goes with what it has started */
  signal(sig, SIG_DFL);
  raise(sig);
}

void sm_proc_die_with(pid_t parent) {
  int sig = SIGRTMAX - 1;
  child = getpid();
  its_parent = parent;
  struct sigaction action = {.sa_sigaction = parent_ended, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(sig, &action, NULL);
  prctl(PR_SET_PDEATHSIG, sig);
}
#endif

static void child_setup(pid_t parent) {
  if (whole == parent) whole = sm_pid();
  guard_exit();
  setpgid(0, 0);
  struct sigaction before;
  sigaction(SIGINT, NULL, &before);
  if (before.sa_handler != SIG_IGN) interrupt = before;
  signal(SIGINT, SIG_IGN); /* this drops a pending SIGINT, too */
  /* The kernel stops a background group that touches its terminal. With these two ignored the process gets an error instead. */
  signal(SIGTTIN, SIG_IGN);
  signal(SIGTTOU, SIG_IGN);
  /* Crash handlers of the host program would clean up what belongs to the parent. */
  static const int crash[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGUSR1, SIGUSR2, SIGTERM};
  for (size_t i = 0; i < sizeof crash / sizeof crash[0]; i++) signal(crash[i], SIG_DFL);
  sm_proc_die_with(parent);
  if (sm_proc_orphaned(parent)) sm_proc_end_self();
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null > 0) {
    dup2(null, STDIN_FILENO);
    close(null);
  }
}

/* The allocator of the address sanitizer does not reset its locks at a fork: a lock that an ending thread holds at that moment stays
 * locked in the child. */
static void end_threads(void) {
#if defined(__SANITIZE_ADDRESS__)
  sm_reap_join();
#endif
}

int sm_proc_spawn(sm_proc *p, int *child_sock) {
  end_threads();
  int pair[2];
  int rc = sm_proc_pair(pair);
  if (rc < 0) return rc;
  sigset_t all, before;
  sigfillset(&all);
  pid_t parent = sm_pid();
  pthread_sigmask(SIG_BLOCK, &all, &before);
  pid_t pid = fork();
  int err = errno;
  if (pid == 0) child_setup(parent);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (pid == 0) {
    close(pair[0]);
    *child_sock = pair[1];
    return 1;
  }
  close(pair[1]);
  if (pid < 0) {
    close(pair[0]);
    return -err;
  }
  setpgid(pid, pid); /* parent and child both call it, because either may run first */
  sm_proc_started(p, pid, pair[0]);
  return 0;
}

void sm_proc_started(sm_proc *p, pid_t pid, int sock) {
  *p = (sm_proc){.pid = pid, .owner = sm_pid(), .sock = sock, .pidfd = sm_proc_open_pidfd(pid), .state = SM_PROC_RUNNING, .status = -1};
}

int sm_proc_open_pidfd(pid_t pid) {
#if !defined(SM_NO_PIDFD) && defined(SYS_pidfd_open)
  return (int)syscall(SYS_pidfd_open, pid, 0);
#else
  return (void)pid, -1;
#endif
}

void sm_proc_kill_pidfd(const sm_proc *p) {
#if !defined(SM_NO_PIDFD) && defined(SYS_pidfd_send_signal)
  if (p->pidfd >= 0) syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
#else
  (void)p;
#endif
}

void sm_proc_forget(sm_proc *p) {
  shut(&p->sock);
  shut(&p->pidfd);
}

static bool mine(const sm_proc *p) { return p->state != SM_PROC_NONE && p->owner == sm_pid(); }

bool sm_proc_poll(sm_proc *p) {
  if (!mine(p)) return true;
  if (p->state == SM_PROC_REAPED) return true;
  int status;
  pid_t got;
  siginfo_t ended;
  memset(&ended, 0, sizeof ended);
  if (!p->peaceful && waitid(P_PID, (id_t)p->pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == p->pid)
    sm_group_kill(p->pid);
  do got = waitpid(p->pid, &status, WNOHANG);
  while (got < 0 && errno == EINTR);
  if (got == 0) return false;
  p->status = got == p->pid ? status : -1;
  p->state = SM_PROC_REAPED;
  return true;
}

bool sm_proc_wait(sm_proc *p, int timeout_ms) {
  uint64_t until = sm_clock_ns() + (uint64_t)timeout_ms * 1000000u;
  while (!sm_proc_poll(p)) {
    uint64_t now = sm_clock_ns();
    if (now >= until) return false;
    int left = (int)((until - now) / 1000000u) + 1;
    struct pollfd f = {p->pidfd >= 0 ? p->pidfd : p->sock, POLLIN, 0};
    if (p->pidfd < 0 && left > 2) left = 2;
    if (p->pidfd < 0) f.events = 0;
    poll(&f, 1, left);
  }
  return true;
}

void sm_proc_kill(sm_proc *p) {
  if (!mine(p) || p->state != SM_PROC_RUNNING || sm_proc_poll(p)) return;
  if (p->peaceful) kill(p->pid, SIGKILL);
  else sm_tree_kill(p->pid);
}

void sm_proc_close(sm_proc *p) {
  if (p->state == SM_PROC_NONE) return;
  if (mine(p)) {
    sm_proc_kill(p);
    while (!sm_proc_wait(p, 1000)) sm_proc_kill(p);
  }
  sm_proc_forget(p);
}

bool sm_proc_leave(sm_proc *p) {
  bool left = mine(p) && !sm_proc_poll(p);
  if (left) {
    kill(p->pid, SIGKILL);
    p->state = SM_PROC_REAPED;
    p->status = -1;
  }
  sm_proc_forget(p);
  return left;
}

void sm_proc_end_self(void) {
  for (;;) raise(SIGKILL);
}

bool sm_proc_orphaned(pid_t parent) { return getppid() != parent; }
