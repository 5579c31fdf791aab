/* mem_file.h: anonymous files, descriptors and the limit of file sizes.
 *
 * An anonymous file is a memfd. Where the system has none or refuses it (old kernels, sandboxes), it is a file of
 * shm_open(), unlinked at once, and where that is refused one in the folder of temporary files, unlinked at once.
 */
#ifndef MEM_FILE_H
#define MEM_FILE_H

#include <signal.h>

#include "sm_base.h"

/* Ways to have an anonymous file, the best first. */
typedef enum { SM_ANON_MEMFD, SM_ANON_SHM, SM_ANON_TEMP, SM_ANON_WAYS } sm_anon_way;

/* A descriptor (close-on-exec, size 0) by the first way that the system has from *way (in, out) on, or a negative code. */
int sm_anon_file_by(sm_anon_way *way);

/* The same from the first way on. */
int sm_anon_file(void);

/* Fix the size of an anonymous file for everybody who has it, as far as the system can; `grow` too, and the seals
 * themselves. */
int sm_anon_seal(int fd, bool all);

/* What a descriptor from another process is: SM_EFORMAT for anything but a file that was made by sm_anon_file() of this
 * user. *fixed: its size cannot shrink; else it may at any time, and is touched under the guard of mem_fault.h only. */
int sm_anon_check(int fd, bool *fixed);

/* Where a descriptor that lives long is to be: low numbers, of which select() knows 1024 only, are left to others. Gives fd
 * or its new number. The soft limit of descriptors is raised, within the hard one, when it is reached. */
int sm_fd_park(int fd);

/* Call this when a descriptor could not be had (errno EMFILE): true if there is room for more now. */
bool sm_fd_raise_limit(void);

/* True if a process that holds so many descriptors for arrays should take no more of them for small ones. */
bool sm_fd_scarce(size_t held);

/* Around calls that make a file larger: past the limit of file sizes (ulimit -f) they fail with EFBIG, and SIGXFSZ does not
 * end the process. The signal is blocked in this thread and taken back; dispositions stay. Keeps errno. */
typedef struct {
  sigset_t mask;
  bool pending;
} sm_size_guard;
void sm_size_enter(sm_size_guard *g);
void sm_size_leave(const sm_size_guard *g);

/* Bytes that a file of this process may have (ulimit -f), UINT64_MAX without a limit. */
uint64_t sm_size_limit(void);

#endif
