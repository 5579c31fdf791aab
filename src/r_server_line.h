/* r_server_line.h: a line between two processes that are no forks of each other: R values both ways.
 *
 * Who opens a line makes its memory (a segment: two words "I sleep", two rings) and a socket pair, and hands the other process two
 * descriptors: the memory's, and an end of the sockets. Wake-ups, descriptors of arrays and of large values, and the end of file go
 * by the socket; all else by the rings. Each end is used by one process.
 */
#ifndef R_SERVER_LINE_H
#define R_SERVER_LINE_H

#include "mem_segment.h"
#include "r_wire_frame.h"

typedef struct {
  sm_segment *seg; /* NULL: no line */
  int sock;
  _Atomic uint32_t *asleep; /* this end sleeps in poll */
  r_channel in, out;
} r_line;

/* Open a line. fds: what to hand over; fds[0] belongs to the line, fds[1] is the caller's to close. 0 or a negative code. */
int r_line_open(r_line *l, int fds[2]);

/* The same over a socket pair that exists: *fd is handed over by the caller, sock belongs to the line. */
int r_line_open_on(r_line *l, int sock, int *fd);

/* The other end, from such descriptors, which belong to the line afterwards. 0 or a negative code; then both are closed. */
int r_line_take(r_line *l, int fd, int sock);

void r_line_close(r_line *l);

/* As r_frame_send(). */
int r_line_send(r_line *l, SEXP value, const sm_watch *watch);

/* The next value, if one has come; else R_UnboundValue. SM_EGONE in *rc once the other end has closed and nothing is left. */
SEXP r_line_read(r_line *l, int *rc);

/* This end will look at the line's socket: a value that comes from now on wakes it. False where one has come already. */
bool r_line_arm(r_line *l);

/* Wait for a value as the watch allows; *rc is SM_EGONE, SM_EFAILED or SM_EINTR where none comes. */
SEXP r_line_wait(r_line *l, const sm_watch *watch, int *rc);

#endif
