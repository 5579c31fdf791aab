/* mem_huge.h: are fresh huge pages cheap here?
 *
 * Mostly one costs a quarter of the small pages that it stands for. But a guest whose balloon device reports free memory
 * to its host (virtio's free page reporting) gives back, a second or two after they fell free, just the blocks that huge pages are
 * made of. The host has to back those anew, which costs four times as much as small pages do, and one cannot tell which are.
 */
#ifndef MEM_HUGE_H
#define MEM_HUGE_H

#include "sm_base.h"

/* False where free memory is reported. */
bool sm_huge_pays(void);

/* Does a balloon device of those below `folder` (/sys/bus/virtio/devices) report free pages? */
bool sm_huge_reported_in(const char *folder);

#endif
