/* proc_watch.c: see proc_watch.h. */
#define _GNU_SOURCE
#include "proc_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc_worker.h"

#define LOOK_MS 50

struct sm_sentinel {
  pthread_t thread;
  pid_t owner;
  pthread_t asker; /* is told: another thread might take a SIGINT of the process, and later than sm_watch_stop() expects */
  int stop[2];     /* pipe: sm_watch_stop() writes to it (a fork of this process may hold its ends, so closing them would tell nothing) */
  atomic_bool told;
  bool heeds;
  const _Atomic uint32_t *failed;
  bool (*ended)(void *arg, int i);
  void *arg;
  int n;
  pid_t *pids;         /* n; 0: has a pidfd, or has ended */
  struct pollfd fds[]; /* n + 1 */
};

/* The thread checks the flag only every LOOK_MS, because a member that sets it ends soon after, and poll() sees that at once. */
static void *watch(void *arg) {
  sm_sentinel *s = arg;
  for (;;) {
    int got = poll(s->fds, (nfds_t)s->n + 1, LOOK_MS);
    if (got > 0 && s->fds[s->n].revents) return NULL;
    for (int i = 0; got > 0 && i < s->n; i++)
      if (s->fds[i].revents) {
        s->ended(s->arg, i);
        s->fds[i].fd = -1;
      }
    for (int i = 0; i < s->n; i++)
      if (s->pids[i] && sm_pid_gone(s->pids[i])) {
        s->ended(s->arg, i);
        s->pids[i] = 0;
      }
    if (atomic_load(s->failed) > 1) break;
  }
  atomic_store(&s->told, true);
  pthread_kill(s->asker, SIGINT);
  return NULL;
}

static void shut(sm_sentinel *s) {
  if (s->heeds) sm_proc_heed(false);
  close(s->stop[0]);
  if (s->stop[1] >= 0) close(s->stop[1]);
  free(s);
}

sm_sentinel *sm_watch_start(const _Atomic uint32_t *failed, const sm_watched *members, int n, bool (*ended)(void *arg, int i), void *arg) {
  sm_sentinel *s = calloc(1, sizeof *s + ((size_t)n + 1) * sizeof s->fds[0] + (size_t)n * sizeof s->pids[0]);
  if (!s) return NULL;
  if (pipe(s->stop) < 0) {
    free(s);
    return NULL;
  }
  for (int k = 0; k < 2; k++) fcntl(s->stop[k], F_SETFD, FD_CLOEXEC);
  s->owner = sm_pid();
  s->asker = pthread_self();
  s->failed = failed;
  s->ended = ended;
  s->arg = arg;
  s->n = n;
  s->pids = (pid_t *)(s->fds + n + 1);
  for (int i = 0; i < n; i++) {
    s->fds[i] = (struct pollfd){members[i].pidfd, POLLIN, 0};
    if (members[i].pidfd < 0) s->pids[i] = members[i].pid;
  }
  s->fds[n] = (struct pollfd){s->stop[0], POLLIN, 0};
  s->heeds = sm_proc_heed(true);
  if (sm_thread_start(&s->thread, watch, s) == 0) return s;
  shut(s);
  return NULL;
}

bool sm_watch_told(const sm_sentinel *s) { return atomic_load(&s->told); }

bool sm_watch_stop(sm_sentinel *s) {
  if (!s) return false;
  if (s->owner == sm_pid()) {
    ssize_t n;
    do n = write(s->stop[1], "", 1);
    while (n < 0 && errno == EINTR);
    if (n < 0) { /* the end of the pipe tells it, too, unless a child holds it */
      close(s->stop[1]);
      s->stop[1] = -1;
    }
    pthread_join(s->thread, NULL);
  }
  bool told = atomic_load(&s->told);
  shut(s); /* its system calls: a pending SIGINT is delivered before one returns */
  return told;
}
