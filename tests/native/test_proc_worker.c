/* proc_worker: processes that are started, watched and ended, and leave nothing. */
#include "../../src/proc_worker.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "check.h"

static int count_fds(void) {
  int n = 0;
  DIR *d = opendir("/dev/fd");
  while (d && readdir(d)) n++;
  if (d) closedir(d);
  return n;
}

static int no_children(void) {
  int status;
  return waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD;
}

static void ends(void) {
  sm_proc p;
  int sock;
  sm_proc_init(&p);
  if (sm_proc_spawn(&p, &sock) == 1) _exit(3);
  check(p.state == SM_PROC_RUNNING && p.owner == getpid() && p.sock >= 0, "a spawned process runs and has a socket");
  check(sm_proc_wait(&p, 30000) && p.state == SM_PROC_REAPED, "its end is waited for");
  check(WIFEXITED(p.status) && WEXITSTATUS(p.status) == 3, "and its exit status known");
  char c;
  check(read(p.sock, &c, 1) == 0, "its socket has ended");
  sm_proc_close(&p);
  sm_proc_close(&p);
  check(p.sock == -1 && p.pidfd == -1, "closing twice closes once");

  sm_proc_init(&p);
  if (sm_proc_spawn(&p, &sock) == 1) sm_proc_end_self();
  check(sm_proc_wait(&p, 30000) && WIFSIGNALED(p.status) && WTERMSIG(p.status) == SIGKILL, "a process that ends itself runs no exit path");
  sm_proc_close(&p);

  sm_proc_init(&p);
  if (sm_proc_spawn(&p, &sock) == 1)
    for (;;) pause_ms(1000);
  check(!sm_proc_poll(&p) && !sm_proc_wait(&p, 20), "one that runs is not waited for longer than asked");
  sm_proc_close(&p);
  check(p.state == SM_PROC_REAPED && WIFSIGNALED(p.status), "closing kills and reaps what runs");

  sm_proc_init(&p);
  if (sm_proc_spawn(&p, &sock) == 1) {
    raise(SIGSTOP);
    _exit(0);
  }
  pause_ms(5);
  sm_proc_close(&p);
  check(p.state == SM_PROC_REAPED, "also when it is stopped");

  sm_proc_init(&p);
  if (sm_proc_spawn(&p, &sock) == 1)
    for (;;) pause_ms(1000);
  sm_proc none = p;
  none.pidfd = -1;
  sm_proc_kill_pidfd(&none);
  check(!sm_proc_wait(&p, 20), "without a descriptor of a process none is killed by it");
  if (p.pidfd >= 0) {
    sm_proc_kill_pidfd(&p);
    check(sm_proc_wait(&p, 30000) && WIFSIGNALED(p.status) && WTERMSIG(p.status) == SIGKILL, "with one it is");
    sm_proc_kill_pidfd(&p); /* nobody: not whoever has its number now */
  }
  sm_proc_close(&p);

  sm_proc_init(&p);
  if (sm_proc_spawn(&p, &sock) == 1) _exit(0);
  int status;
  waitpid(p.pid, &status, 0);
  check(sm_proc_poll(&p) && p.state == SM_PROC_REAPED && p.status == -1, "one that somebody else has reaped is known to be gone");
  sm_proc_kill(&p);
  sm_proc_close(&p);

  sm_proc_init(&p);
  check(!sm_proc_orphaned(getppid()) && sm_proc_orphaned(-5), "an orphan is told by its parent");
  sm_proc_close(&p);
  check(p.state == SM_PROC_NONE, "a record that was never used can be closed");
  check(no_children(), "no child is left");
}

static int *tidied; /* shared: exit handlers that ran */
static void tidy(void) {
  if (tidied) ++*tidied;
}

static void foreign_exit(void) {
  sm_proc p;
  int sock;
  FILE *f = tmpfile();
  char line[16];
  tidied = shared_memory(sizeof *tidied);
  atexit(tidy);
  for (int i = 0; i < 4; i++) fprintf(f, "line %d\n", i);
  rewind(f);
  check(fgets(line, sizeof line, f) != NULL, "a file is being read");
  fflush(NULL);
  sm_proc_init(&p);
  if (sm_proc_spawn(&p, &sock) == 1) exit(3);
  check(sm_proc_wait(&p, 30000), "exit() ends a child");
#if defined(__linux__) && defined(__GLIBC__)
  check(WIFEXITED(p.status) && WEXITSTATUS(p.status) == 3, "and gives its status");
#endif
  check(*tidied == 0, "runs no exit handler of the parent");
  int n = 1;
  while (fgets(line, sizeof line, f)) n++;
  check(n == 4, "and does not make the parent read a file again");
  sm_proc_close(&p);
  fclose(f);
  tidied = NULL;
}

static volatile sig_atomic_t caught;
static void on_signal(int sig) { caught = sig; }

static void child_state(void) {
  sm_proc p;
  int sock;
  sigset_t block, now;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR2);
  sigprocmask(SIG_BLOCK, &block, NULL);
  signal(SIGTERM, on_signal);
  signal(SIGINT, on_signal);
  signal(SIGHUP, on_signal);
  sm_proc_init(&p);
  if (sm_proc_spawn(&p, &sock) == 1) {
    struct sigaction a;
    char c;
    int bad = 0;
    sigaction(SIGINT, NULL, &a);
    if (a.sa_handler != SIG_IGN || getpgrp() != getpid()) bad |= 1;
    if (!sm_proc_heed(true) || sigaction(SIGINT, NULL, &a) || a.sa_handler != on_signal || !sm_proc_heed(false)) bad |= 1;
    raise(SIGINT);
    if (caught) bad |= 1;
    sigaction(SIGTERM, NULL, &a);
    if (a.sa_handler != SIG_DFL) bad |= 2;
    sigaction(SIGHUP, NULL, &a);
    if (a.sa_handler != on_signal) bad |= 4;
    sigprocmask(SIG_SETMASK, NULL, &now);
    if (!sigismember(&now, SIGUSR2) || sigismember(&now, SIGINT) || sigismember(&now, SIGCHLD)) bad |= 8;
    if (read(STDIN_FILENO, &c, 1) != 0) bad |= 16;
    if (write(sock, "x", 1) != 1) bad |= 32;
    _exit(bad);
  }
  sigprocmask(SIG_SETMASK, NULL, &now);
  check(sigismember(&now, SIGUSR2) && !sigismember(&now, SIGINT) && !sigismember(&now, SIGTERM), "the parent's mask is as it was");
  struct sigaction a;
  sigaction(SIGINT, NULL, &a);
  check(a.sa_handler == on_signal, "and so are its dispositions");
  char c = 0;
  check(read(p.sock, &c, 1) == 1 && c == 'x', "what the child writes arrives");
  sm_proc_wait(&p, 30000);
  check(WIFEXITED(p.status) && WEXITSTATUS(p.status) == 0, "the child leads a group, ignores SIGINT until it is to heed it, SIGTERM ends "
                                                           "it, the rest and the mask are the parent's, stdin is empty");
  sm_proc_close(&p);
  sigprocmask(SIG_UNBLOCK, &block, NULL);
  signal(SIGTERM, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  signal(SIGHUP, SIG_DFL);
}

static void no_stdin(void) {
  pid_t pid = fork();
  if (pid == 0) {
    sm_proc p;
    int sock;
    close(STDIN_FILENO);
    sm_proc_init(&p);
    int rc = sm_proc_spawn(&p, &sock);
    if (rc == 1) _exit(write(sock, "x", 1) != 1);
    char c = 0;
    int ok = rc == 0 && read(p.sock, &c, 1) == 1 && c == 'x';
    sm_proc_close(&p);
    _exit(!ok);
  }
  check(end_of(pid) == 0, "a parent without stdin has children whose socket works");
}

static void foreign(void) {
  sm_proc p;
  int sock;
  sm_proc_init(&p);
  if (sm_proc_spawn(&p, &sock) == 1)
    for (;;) pause_ms(1000);
  pid_t pid = fork();
  if (pid == 0) {
    sm_proc_kill(&p);
    int ok = sm_proc_poll(&p) && p.state == SM_PROC_RUNNING;
    sm_proc_close(&p);
    _exit(ok && p.sock == -1 && p.pidfd == -1 ? 0 : 1);
  }
  check(end_of(pid) == 0, "in another process a record is only forgotten");
  pause_ms(20);
  check(!sm_proc_poll(&p), "and its process lives on");
  sm_proc_close(&p);
}

typedef struct {
  _Atomic int grandchild;
} orphan_case;

static void spawn_and_die(void *arg, int in_loop) {
  orphan_case *c = arg;
  sm_proc p;
  int sock;
  sm_proc_init(&p);
  if (sm_proc_spawn(&p, &sock) == 1) {
    for (volatile unsigned long i = 0;; i++)
      if (!in_loop) pause_ms(1000);
#ifdef UNDER_TSAN
      else pause_ms(0); /* it runs a signal's handler at the next call that it knows */
#endif
  }
  atomic_store(&c->grandchild, (int)p.pid);
  for (;;) pause_ms(1000);
}

static void orphans(void) {
#ifdef __linux__
  for (int in_loop = 0; in_loop <= 1; in_loop++) {
    orphan_case *c = shared_memory(sizeof *c);
    pid_t pid = start_child(spawn_and_die, c, in_loop);
    while (!atomic_load(&c->grandchild)) pause_ms(1);
    kill(pid, SIGKILL);
    end_of(pid);
    int gone = 0;
    for (int i = 0; i < 5000 && !gone; i++) {
      char path[64], line[256] = "";
      snprintf(path, sizeof path, "/proc/%d/stat", atomic_load(&c->grandchild));
      FILE *f = fopen(path, "r");
      gone = !f || !fgets(line, sizeof line, f) || strstr(line, ") Z ") != NULL;
      if (f) fclose(f);
      pause_ms(1);
    }
    check(gone, "a parent's death by SIGKILL ends its child, asleep or at work");
  }
#endif
}

static void nothing_left(void) {
  int before = count_fds();
  sm_proc p[20];
  int sock;
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < 20; i++) {
      sm_proc_init(&p[i]);
      if (sm_proc_spawn(&p[i], &sock) == 1) {
        for (int k = 0; k < i; k++) sm_proc_forget(&p[k]);
        int bad = count_fds() != before + 1;
        if (i % 2)
          for (;;) pause_ms(1000);
        _exit(bad);
      }
    }
    for (int i = 0; i < 20; i++) {
      if (i % 2 == 0)
        check(sm_proc_wait(&p[i], 30000) && p[i].status == 0, "a child that forgot its siblings has its own socket and no other");
      sm_proc_close(&p[i]);
    }
  }
  check(count_fds() == before, "after 200 processes no descriptor is left");
  check(no_children(), "and no child");

  struct rlimit old, few;
  getrlimit(RLIMIT_NOFILE, &old);
  few = old;
  few.rlim_cur = 4;
  sm_proc_init(&p[0]);
  setrlimit(RLIMIT_NOFILE, &few);
  int rc = sm_proc_spawn(&p[0], &sock);
  setrlimit(RLIMIT_NOFILE, &old);
  if (rc == 1) _exit(0);
  check(rc == -EMFILE && p[0].state == SM_PROC_NONE && no_children(), "where there is no descriptor to be had nothing is started");
  check(count_fds() == before, "and nothing stays open");
}

int main(void) {
  ends();
  foreign_exit();
  child_state();
  no_stdin();
  foreign();
  orphans();
  nothing_left();
  return report();
}
