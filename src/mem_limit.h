/* mem_limit.h: how much memory the machine and the control groups of this process can still give.
 *
 * Shared memory is charged when it is reserved, and the kernel answers a charge that it cannot meet by
 * killing a process. So it is asked first.
 */
#ifndef MEM_LIMIT_H
#define MEM_LIMIT_H

#include "sm_base.h"

/* Bytes that can be had now: MemAvailable and free swap, and what every memory control group
 * above this process (v1 or v2) leaves. UINT64_MAX where the system does not say. */
uint64_t sm_limit_available(void);

/* The same from other files than those of /proc and /sys (for tests): meminfo, the process's cgroup list, and the
 * folder under which the control groups are mounted. */
uint64_t sm_limit_available_in(const char *meminfo, const char *cgroup, const char *mount);

/* 0 if nbytes can be had, else SM_ENOROOM; *available is set either way. Small requests are answered from the
 * last look; the system is asked again before a sixteenth of what it had is used up. */
int sm_limit_check(uint64_t nbytes, uint64_t *available);

/* One of `parts` of the memory that is to be had, at most `most` bytes. */
uint64_t sm_limit_share(uint64_t parts, uint64_t most);

/* May address space be taken that is never touched? Not where it is limited, nor where commitments are counted. */
bool sm_limit_space_is_free(void);

#endif
