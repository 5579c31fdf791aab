/* proc_reap.h: waits in the background for children that have sent their last frame.
 *
 * A process takes a while to die, because its pages go back first. An owner that has all results need not wait for that, but must not
 * leave a zombie either; so one thread, which does nothing else, waits for the last children.
 *
 * Fork     a fork of this process has no such thread and no such children; it starts anew.
 * Threads  these functions are for one thread, the one that forks. The waiting thread blocks all signals, allocates
 *          nothing and holds no lock.
 */
#ifndef PROC_REAP_H
#define PROC_REAP_H

#include <sys/types.h>

#include "sm_base.h"

/* Wait for n children in the background. Children of an earlier call are waited for first, in the calling thread; where no thread can
 * be started, these are too. */
void sm_reap_begin(const pid_t *pids, int n);

/* True once all children have been waited for. Does not wait. */
bool sm_reap_done(void);

/* Wait until all children have been waited for. */
void sm_reap_join(void);

#endif
