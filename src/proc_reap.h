/* proc_reap.h: waits in the background for children that have said their last word.
 *
 * A process takes a while to die: its pages go back first. Who has all of its answers need not wait for that, but
 * must not leave a zombie either; so one thread, which does nothing else, waits for the last children.
 *
 * Fork     a fork of this process has no such thread and no such children; it starts anew.
 * Threads  these functions are for one thread, the one that forks. The waiting thread blocks all signals, allocates
 *          nothing and holds no lock.
 */
#ifndef PROC_REAP_H
#define PROC_REAP_H

#include <sys/types.h>

#include "sm_base.h"

/* Wait for n children in the background; if others are still waited for, for those first, here. Where there can be no
 * thread, wait for all here. */
void sm_reap_begin(const pid_t *pids, int n);

/* True if nothing is waited for any more. Does not wait. */
bool sm_reap_done(void);

/* Wait until nothing is. */
void sm_reap_join(void);

#endif
