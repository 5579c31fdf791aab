/* mem_forks.h: does a child that was forked between two moments still run?
 *
 * Forks are numbered. Around a fork the parent opens a file of its own once more and locks the byte of that fork's
 * number; it closes that description again and the child keeps it, so the lock lasts until the child
 * and all that it forks have ended or called exec(). Whoever forks (parallel, system(), this package) is covered by
 * pthread_atfork(). It costs nothing while nobody asks to watch.
 *
 * Without such locks (not Linux, no /proc) every child counts as running for ever.
 */
#ifndef MEM_FORKS_H
#define MEM_FORKS_H

#include "sm_base.h"

/* Watch forks from now on, while wanted() is true at the fork: fd is a memory file that the caller keeps open until
 * it gives another or -1. in_child() is called in every child; numbers start again there and nothing is watched. */
int sm_forks_watch(int fd, bool (*wanted)(void), void (*in_child)(void));

/* The number of the last fork that was watched. */
uint64_t sm_forks_count(void);

/* True if a child of the forks after .. upto (after < number <= upto) may still run. Answers from the last look, where
 * that found one; sm_forks_look() makes the next answer a new look. */
bool sm_forks_alive(uint64_t after, uint64_t upto);
void sm_forks_look(void);

/* Record locks of an open file description (Linux): first byte locked by others at or after `start` within `len` bytes, -1 if none;
 * lock (shared or not) or unlock a byte. */
int64_t sm_forks_byte_locked(int fd, int64_t start, int64_t len);
int sm_forks_byte_lock(int fd, int64_t at, bool exclusive);
int sm_forks_byte_unlock(int fd, int64_t at);

#endif
