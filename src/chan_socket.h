/* chan_socket.h: wake-ups and descriptors over a worker's stream socket.
 *
 * One byte a message: SM_SOCK_WAKE, or SM_SOCK_FD with one descriptor as SCM_RIGHTS.
 */
#ifndef CHAN_SOCKET_H
#define CHAN_SOCKET_H

#include "sync_futex.h"

#define SM_SOCK_WAKE 'w'
#define SM_SOCK_FD 'd'

/* Never blocks, never raises SIGPIPE. A wake-up that does not fit into the buffer is dropped, because the reader has not yet read
 * earlier ones. SM_EGONE when the other side has closed. */
int sm_socket_wake(int sock);

/* Waits while the buffer is full, as the watch allows. SM_EGONE when the other side has closed. */
int sm_socket_send_fd(int sock, int fd, const sm_watch *watch);

/* Read one message without waiting. Gives its byte (and *fd, close-on-exec, for SM_SOCK_FD; -1
 * otherwise), 0 when there is none, SM_EGONE at the end, SM_EFORMAT for what is no such message. */
int sm_socket_recv(int sock, int *fd);

/* ---- datagrams with descriptors, from many writers to one reader: each arrives whole or not at all ---- */

#define SM_POST_FDS 2

/* A pair of such sockets, close-on-exec: pair[0] is read, pair[1] written. 0 or a negative code. */
int sm_socket_post_pair(int pair[2]);

/* Send n bytes and SM_POST_FDS descriptors. Waits while the reader's queue is full, as the watch allows. */
int sm_socket_post(int sock, const void *msg, size_t n, const int *fds, const sm_watch *watch);

/* Take one without waiting: 1 (the descriptors are the caller's), 0 where there is none or what came is none of these. */
int sm_socket_take_post(int sock, void *msg, size_t n, int *fds);

#endif
