/* proc_reap: children that are waited for in the background, and forks in between. */
#include "../../src/proc_reap.h"

#include <errno.h>
#include <stdatomic.h>

#include "../../src/proc_worker.h"
#include "check.h"

static void idle(void *arg, int rank) {
  (void)rank;
  while (!atomic_load((_Atomic int *)arg)) pause_ms(1);
}

static bool is_child(pid_t pid) { return kill(pid, 0) == 0; }

static int no_children(void) { return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD; }

static void background(_Atomic int *go) {
  pid_t pids[3];
  atomic_store(go, 0);
  for (int i = 0; i < 3; i++) pids[i] = start_child(idle, go, i);
  sm_reap_begin(pids, 3);
  sm_reap_begin(pids, 0);
  check(!sm_reap_done() && is_child(pids[0]), "who waits in the background comes back at once, also with nobody to wait for");
  atomic_store(go, 1);
  for (int i = 0; i < 3000 && !sm_reap_done(); i++) pause_ms(10);
  check(sm_reap_done() && no_children(), "all are reaped without a further call that waits");
  check(sm_reap_done(), "and then nothing is waited for");
  sm_reap_join();
  sm_reap_begin(pids, 0);
  check(sm_reap_done(), "waiting for nobody is done at once");
}

static void second(_Atomic int *go) {
  atomic_store(go, 1);
  pid_t first = start_child(idle, go, 0), next = start_child(idle, go, 1);
  sm_reap_begin(&first, 1);
  sm_reap_begin(&next, 1);
  sm_reap_join();
  check(no_children(), "a second group waits for the first");
  sm_reap_begin(&first, 1);
  sm_reap_join();
  check(sm_reap_done(), "a child that was reaped already is none to wait for");
}

static void forked(_Atomic int *go) {
  atomic_store(go, 0);
  pid_t pid = start_child(idle, go, 0);
  sm_reap_begin(&pid, 1);
  fflush(NULL);
  pid_t fork_of_ours = fork();
  if (fork_of_ours == 0) {
    sm_reap_join();
    int ok = sm_reap_done();
#ifndef UNDER_TSAN /* it lets no fork of a process with threads start one */
    pid_t own = fork();
    if (own == 0) _exit(0);
    sm_reap_begin(&own, 1);
    sm_reap_join();
#endif
    _exit(ok && no_children() && sm_pid() == getpid() ? 0 : 1);
  }
  int status = -1;
  waitpid(fork_of_ours, &status, 0);
  check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a fork in between has nothing to wait for but its own");
  atomic_store(go, 1);
  sm_reap_join();
  check(no_children(), "and takes nothing away");
}

static void left(void) {
  sm_proc p;
  int sock;
  sm_proc_init(&p);
  if (sm_proc_spawn(&p, &sock) == 1)
    for (;;) pause_ms(1000);
  pid_t pid = p.pid;
  bool wait = sm_proc_leave(&p);
  check(p.sock == -1 && p.pidfd == -1 && sm_proc_poll(&p), "a process that is left has no descriptor, and counts as ended");
  if (wait) sm_reap_begin(&pid, 1);
  sm_reap_join();
  check(wait && no_children(), "what ran was killed, for the caller to wait for");
  sm_proc_init(&p);
  if (sm_proc_spawn(&p, &sock) == 1) _exit(0);
  check(sm_proc_wait(&p, 30000) && !sm_proc_leave(&p) && p.sock == -1, "one that has ended leaves nothing to wait for");
}

int main(void) {
  _Atomic int *go = shared_memory(SM_PAGE);
  background(go);
  second(go);
  forked(go);
  left();
  return report();
}
