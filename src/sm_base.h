/* sm_base.h: base types and error codes of the core, its clock, and what every layer needs of the system.
 *
 * Errors: every core function that can fail returns 0 or a negative code:
 * -errno, or one of the SM_E* codes below, all under -10000.
 */
#ifndef SM_BASE_H
#define SM_BASE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What Linux has beyond POSIX can be left out at compile time, one by one, or all with SM_PORTABLE; then the POSIX way is taken, which is
 * what other systems have. SUPPORT.md lists what each way guarantees. */
#if defined(SM_PORTABLE) || !defined(__linux__)
#define SM_NO_MEMFD     /* memory lies in an unlinked file of shm_open() or of TMPDIR, which has no seals */
#define SM_NO_FUTEX     /* a wait between processes is a sleep of 1 ms, again and again */
#define SM_NO_PIDFD     /* the end of a process is looked for every few milliseconds */
#define SM_NO_PDEATHSIG /* a thread of a child looks whether the parent lives */
#define SM_NO_VMREADV   /* large results pass through a file instead of from memory to memory */
#if !defined(__FreeBSD__) || defined(SM_PORTABLE)
#define SM_NO_ROBUST /* a lock is its holder's pid, and each waiter looks whether the holder lives */
#endif
#endif

#define SM_ENOROOM (-10001)  /* the machine or its cgroup cannot back this much memory */
#define SM_EFORMAT (-10002)  /* bytes from outside are not what they claim to be */
#define SM_ESHORT (-10003)   /* a file or message ends before what was promised */
#define SM_EGONE (-10004)    /* the other side, or the memory, is no longer there */
#define SM_EFAILED (-10005)  /* the group's failure flag is set: leave */
#define SM_EMISUSE (-10006)  /* called in a state that does not allow it */
#define SM_ERANGE (-10007)   /* a value or index does not fit */
#define SM_EAGAIN (-10008)   /* not now: would have to wait */
#define SM_EINTR (-10009)    /* the caller's interrupt check asked to stop */
#define SM_ECHANGED (-10010) /* a file changed while it was read */

/* What always holds of queue, turnstile and arena (ARCHITECTURE.md), looked at in builds with -DSM_DEBUG. */
#ifdef SM_DEBUG
#define SM_KEEP(what) ((what) ? (void)0 : __builtin_trap())
#else
#define SM_KEEP(what) ((void)0)
#endif

#define SM_PAGE ((size_t)4096)
#define SM_CACHELINE 64

/* Monotonic time in nanoseconds. */
uint64_t sm_clock_ns(void);

/* The id of this process, without a system call where forks can be watched. */
pid_t sm_pid(void);

/* Has the process of this id ended, reaped or not? A look by pid, for where there is no pidfd; it reaps nothing, and any thread may call
 * it. Of a process that is no child of this one the end may be seen only once its parent has reaped it (not on Linux). */
bool sm_pid_gone(pid_t pid);

/* What /proc/<pid>/stat says behind the name of the process, as a string in buf; NULL where there is none (Linux). */
const char *sm_pid_stat(pid_t pid, char *buf, size_t size);

/* The text of a small file as a string, cut at size - 1 bytes; false if it cannot be read or is empty. */
bool sm_read_text(const char *path, char *buf, size_t size);

/* Start run(arg) in a thread with a stack of 256 KiB that blocks all signals; the mask of the calling thread is as before. The caller
 * joins the thread. 0 or a negative code. */
int sm_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg);

/* A short English text for a code of any core function; never NULL. Static storage
 * for SM_E* codes, strerror() otherwise. */
const char *sm_error_text(int code);

#endif
