/* mem_fault.c: see mem_fault.h.
 *
 * Fork and signals: the disposition of SIGBUS is replaced while any thread is inside a guarded call, and
 *   restored before the last one's result is looked at. A SIGBUS of another thread is handed to the handler
 *   that stood before, or ends the process as it would have.
 */
#define _GNU_SOURCE
#include "mem_fault.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>

static _Thread_local sigjmp_buf *resume = NULL;          /* set while this thread is inside a guarded call */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* of the two below; not held while memory is touched */
static int inside = 0;
static struct sigaction before;

static void on_bus(int sig, siginfo_t *info, void *context) {
  if (resume) siglongjmp(*resume, 1);
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(sig, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(sig);
  } else {
    signal(sig, SIG_DFL); /* the access is made again, and ends the process */
  }
}

static int enter(void) {
  struct sigaction act;
  memset(&act, 0, sizeof act);
  act.sa_sigaction = on_bus;
  act.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&act.sa_mask);
  pthread_mutex_lock(&gate);
  int rc = inside == 0 && sigaction(SIGBUS, &act, &before) < 0 ? SM_EMISUSE : 0;
  if (rc == 0) inside++;
  pthread_mutex_unlock(&gate);
  return rc;
}

static void leave(void) {
  pthread_mutex_lock(&gate);
  if (--inside == 0) sigaction(SIGBUS, &before, NULL);
  pthread_mutex_unlock(&gate);
}

int sm_fault_guard(void (*fn)(void *), void *ctx) {
  sigjmp_buf here;
  volatile int rc = resume ? SM_EMISUSE : enter();
  if (rc < 0) return rc;
  if (sigsetjmp(here, 1) == 0) {
    resume = &here;
    fn(ctx);
  } else {
    rc = SM_ECHANGED;
  }
  resume = NULL;
  leave();
  return rc;
}

void *sm_fault_suspend(void) {
  void *guard = resume;
  resume = NULL;
  return guard;
}

void sm_fault_resume(void *guard) { resume = guard; }
