/* proc_watch.h: a thread that tells this process, by SIGINT, that its group has failed, while it computes.
 *
 * The process that owns a region runs code of its own and looks at the group's flag only now and then. Meanwhile a
 * thread waits until a member has ended, or the flag is set; then it sends SIGINT to the thread that asked, once.
 *
 * Fork     a fork of this process has no such thread; sm_watch_stop() there only closes the descriptors.
 * Threads  start and stop are for one thread. The watching thread blocks all signals, allocates nothing and holds no lock.
 */
#ifndef PROC_WATCH_H
#define PROC_WATCH_H

#include <stdatomic.h>
#include <sys/types.h>

#include "sm_base.h"

typedef struct sm_sentinel sm_sentinel;

/* A process to watch. pidfd: -1 where there is none; then the thread looks for the pid's end every 50 ms. pid 0 is passed over. */
typedef struct {
  pid_t pid;
  int pidfd;
} sm_watched;

/* failed: the group's flag, 1 where this process itself has set it. ended(arg, i): has member i, which has ended, failed? It sets the flag
 * itself; it runs in the thread. NULL if there can be no thread. */
sm_sentinel *sm_watch_start(const _Atomic uint32_t *failed, const sm_watched *members, int n, bool (*ended)(void *arg, int i), void *arg);

/* Has the thread sent SIGINT, or is it about to? */
bool sm_watch_told(const sm_sentinel *s);

/* End and join the thread. NULL is allowed. True if it has sent SIGINT, which has been delivered then. */
bool sm_watch_stop(sm_sentinel *s);

#endif
