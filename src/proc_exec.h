/* proc_exec.h: another program as a child of this process, known by the same record as a forked one (proc_worker.h). */
#ifndef PROC_EXEC_H
#define PROC_EXEC_H

#include "proc_worker.h"

/* Where the program finds its end of the socket. */
#define SM_EXEC_SOCK 3

/* Run argv with the environment envp. It has /dev/null as stdin, `out` as stdout and stderr, its end of a stream socket pair as
 * SM_EXEC_SOCK, and no other descriptor of this process (where the system can close them all); signals at their defaults and none
 * blocked; a process group of its own. Safe where fork() is not: no handler of pthread_atfork() runs, no memory is copied. 0: p is
 * RUNNING; or a negative code, and nothing is open. */
int sm_proc_exec(sm_proc *p, char *const argv[], char *const envp[], int out);

#endif
