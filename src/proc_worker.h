/* proc_worker.h: the record that a process keeps of one process that it has forked.
 *
 * States     SM_PROC_NONE -> RUNNING (spawned) -> REAPED (waited for)
 * Ownership  a record belongs to the process that spawned; in any other process (`owner` differs)
 *            every function but sm_proc_forget() does nothing.
 * Liveness   a pidfd where there is one, the end-of-file on the socket, and waitpid(own pid, WNOHANG).
 *            No SIGCHLD handler, no waitpid(-1), no disposition of the parent is changed.
 */
#ifndef PROC_WORKER_H
#define PROC_WORKER_H

#include <sys/types.h>

#include "sm_base.h"

typedef enum { SM_PROC_NONE = 0, SM_PROC_RUNNING, SM_PROC_REAPED } sm_proc_state;

typedef struct {
  pid_t pid;
  pid_t owner;   /* process that spawned it */
  int sock;      /* parent's end of a stream socket pair; -1 when closed */
  int pidfd;     /* -1 where there is none */
  int state;     /* sm_proc_state */
  int status;    /* wait status, once REAPED; -1 if somebody else took it */
  bool peaceful; /* the process has done its work: processes that it has started are left alone */
} sm_proc;

void sm_proc_init(sm_proc *p);

/* A stream socket pair, close-on-exec. 0 or a negative code. */
int sm_proc_pair(int pair[2]);

/* Fork. In the parent: 0, p is RUNNING. In the child: 1, *child_sock is its end of the pair, it leads a process group, SIGINT is ignored,
 * fatal signals are at their default, others as the parent had them, stdin is /dev/null, and the child dies with its parent;
 * exit() ends it at once, with no exit handler of the parent run. On failure: a negative code, nothing is open, nothing runs.
 * The caller has called sm_proc_flush(). */
int sm_proc_spawn(sm_proc *p, int *child_sock);

/* The record of a child that runs, with this end of its pair. */
void sm_proc_started(sm_proc *p, pid_t pid, int sock);

/* In the child: close the parent's ends of siblings that were spawned earlier. Never touches processes. */
void sm_proc_forget(sm_proc *p);

/* Look without waiting: true once the process has ended; then it is REAPED, status is set, and unless it was peaceful
 * its process group is dead. */
bool sm_proc_poll(sm_proc *p);

/* Wait up to timeout_ms for its end. True when REAPED. */
bool sm_proc_wait(sm_proc *p, int timeout_ms);

/* SIGKILL, if it still runs, and unless it is peaceful for all that it has started. Does not wait. */
void sm_proc_kill(sm_proc *p);

/* A pidfd, or -1 where there is none; and SIGKILL through one, for a process that is no child of this one. */
int sm_proc_open_pidfd(pid_t pid);
void sm_proc_kill_pidfd(const sm_proc *p);

/* In a child that ignores SIGINT: handle it as the parent did, or ignore it again. False where the disposition was that already. */
bool sm_proc_heed(bool heed);

/* Kill if needed, reap, close. Always ends with state REAPED or NONE and no descriptor open. */
void sm_proc_close(sm_proc *p);

/* The process has sent its last frame: SIGKILL, if it still runs, and close. True where its pid must still be waited for; that is the
 * caller's duty from then on. */
bool sm_proc_leave(sm_proc *p);

/* The package has been loaded in this process, which was not forked from a process that read ahead from a file. */
void sm_proc_loaded(void);

/* Before a fork, and before a child ends: write out the buffers of stdio. fflush(NULL) also moves the offset of each file that stdio
 * reads back to where the program has read, and processes share offsets across a fork. The session calls it before its forks, so no
 * child of ours holds bytes that were read ahead. A child of another package's fork does hold such bytes: there fflush(NULL) would
 * make the session read lines of its script or of a connection again, so this function does nothing (R does not buffer its console). */
void sm_proc_flush(void);

/* End this process at once, without running any exit path. Does not return. */
void sm_proc_end_self(void);

/* In a child that leads its process group: from now on it dies with its parent, and takes its group along. The caller looks afterwards
 * whether the parent has died meanwhile. */
void sm_proc_die_with(pid_t parent);

/* True in a child whose parent has died. parent: getppid() as it was at the start. */
bool sm_proc_orphaned(pid_t parent);

#endif
