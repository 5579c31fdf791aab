/* proc_reap.c: see proc_reap.h.
 *
 * Ownership: the job is the starting thread's again once `done` is set and the thread has been joined.
 * Errors: a child that other code has waited for counts as reaped.
 */
#define _GNU_SOURCE
#include "proc_reap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

typedef struct {
  pthread_t thread;
  pid_t owner;
  _Atomic int done;
  int n;
  pid_t pids[];
} reap_job;

static reap_job *job;

static void wait_for(const pid_t *pids, int n) {
  for (int i = 0; i < n; i++)
    while (waitpid(pids[i], NULL, 0) < 0 && errno == EINTR) {}
}

static void *reap(void *arg) {
  reap_job *j = arg;
  wait_for(j->pids, j->n);
  atomic_store(&j->done, 1);
  return NULL;
}

/* The job of this process. A job that was inherited over a fork is dropped without being freed, because its thread does not exist here. */
static reap_job *own_job(void) {
  if (job && job->owner != sm_pid()) job = NULL;
  return job;
}

void sm_reap_join(void) {
  reap_job *j = own_job();
  if (!j) return;
  pthread_join(j->thread, NULL);
  free(j);
  job = NULL;
}

bool sm_reap_done(void) {
  const reap_job *j = own_job();
  if (!j) return true;
  if (!atomic_load(&j->done)) return false;
  sm_reap_join();
  return true;
}

void sm_reap_begin(const pid_t *pids, int n) {
  if (n <= 0) return;
  sm_reap_join();
  reap_job *j = malloc(sizeof *j + (size_t)n * sizeof *pids);
  if (j) {
    j->owner = sm_pid();
    atomic_init(&j->done, 0);
    j->n = n;
    memcpy(j->pids, pids, (size_t)n * sizeof *pids);
    if (sm_thread_start(&j->thread, reap, j) == 0) {
      job = j;
      return;
    }
    free(j);
  }
  wait_for(pids, n);
}
