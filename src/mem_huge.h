/* mem_huge.h: are fresh huge pages cheap here?
 *
 * A huge page normally costs a quarter of faulting in the 512 small pages that it stands for. A guest whose balloon device reports
 * free memory to its host (virtio's free page reporting) returns just the blocks that huge pages are made of, one or two
 * seconds after they fell free. The host must back such a block anew, which costs four times as much as small pages do, and the
 * guest cannot tell which blocks it returned. This file is a workaround for such guests.
 */
#ifndef MEM_HUGE_H
#define MEM_HUGE_H

#include "sm_base.h"

/* False where free memory is reported to a host. */
bool sm_huge_is_cheap(void);

/* Does one of the balloon devices below `folder` (/sys/bus/virtio/devices) report free pages? */
bool sm_huge_reported_in(const char *folder);

#endif
