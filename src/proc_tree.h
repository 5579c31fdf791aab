/* proc_tree.h: the end of a process together with all processes that it has started.
 *
 * Tree   the process, its children, their children, as the kernel lists them (Linux). Each is stopped before its children
 *        are listed, so none starts another unseen; then all get SIGKILL.
 * Group  every process that this package forks leads a process group of its own, which its children inherit. A group is
 *        named by the pid of its leader, so its leader must not have been waited for.
 * A process that has left both (a daemon: setsid(), and its parent has ended) is not found.
 */
#ifndef PROC_TREE_H
#define PROC_TREE_H

#include <sys/types.h>

/* SIGKILL for a child of this process, all its descendants, and its process group. */
void sm_tree_kill(pid_t pid);

/* SIGKILL for the process group of a child that has ended and has not been waited for. */
void sm_group_kill(pid_t pid);

#endif
