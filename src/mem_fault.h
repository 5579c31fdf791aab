/* mem_fault.h: touch memory whose backing may vanish.
 *
 * A page of a mapped file that lies past the file's end answers with SIGBUS, and a file can shrink between
 * any check and the access. So the access itself is guarded.
 */
#ifndef MEM_FAULT_H
#define MEM_FAULT_H

#include "sm_base.h"

/* Run fn(ctx), which only reads and writes memory: it takes no lock, allocates nothing, never longjmps and calls nothing
 * that does. If memory has no backing it is left where it stood, and SM_ECHANGED is given. SIGBUS is
 * handled here for threads that are inside such a call; for others it does what it did before. Several threads
 * may call at once; calls do not nest (SM_EMISUSE). */
int sm_fault_guard(void (*fn)(void *), void *ctx);

/* For a callback of a guarded call that does other things than touch this memory: until sm_fault_resume() is given back what
 * sm_fault_suspend() gave, a SIGBUS of this thread is none of the guard's. */
void *sm_fault_suspend(void);
void sm_fault_resume(void *guard);

#endif
