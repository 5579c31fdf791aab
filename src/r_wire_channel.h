/* r_wire_channel.h: one side of the channel between a member and its owner: the ring, the socket, and what is being sent or received on
 * them. */
#ifndef R_WIRE_CHANNEL_H
#define R_WIRE_CHANNEL_H

#include "chan_move.h"
#include "chan_ring.h"
#include "chan_socket.h"
#include "chan_spill.h"

typedef struct {
  sm_ring ring;
  int sock;
  _Atomic uint32_t *sleeping; /* writer: set while the owner sleeps in poll() */
  sm_spill spill;             /* writer */
  uint64_t spill_end;         /* writer: ring position behind the last frame with a file */
  uint64_t last_nbytes;       /* writer: of the frame sent last, as it stands in the ring or in its file */
  sm_move_table moved;        /* writer: the vectors of the frame being sent */
  int moved_fd;               /* writer: file with them, -1 */
  bool denied;                /* writer: the reader may not read this process's memory */
  pid_t peer;                 /* reader: the writer, if it is a child of this process; else 0 */
  bool defer_wake;            /* writer: another frame or r_channel_wake() follows at once: the owner is not woken yet */
  uint32_t segments_sent;     /* writer: since the last frame, also by attempts that failed */
  int *fds;                   /* reader: descriptors received and not yet claimed, nfds of them */
  int nfds, fds_size;
  bool eof;     /* reader: the socket has ended */
  bool fd_lost; /* reader: a descriptor arrived for which there was no room */
  /* Between processes that are no forks of each other. known: NULL, or a preserved list of environments of which the other end has its
   * own; they are sent as their places in it. strict: a live external pointer is an error, instead of arriving dead. */
  void *known;
  bool strict;
} r_channel;

void r_channel_open(r_channel *c, void *ring_memory, uint64_t capacity);
/* Closes what the channel owns; the socket belongs to the process record. */
void r_channel_close(r_channel *c);

/* Writer: wake the owner if it sleeps. */
void r_channel_wake(r_channel *c);

/* Writer: free what was prepared for the frame, whether or not it was sent. */
void r_channel_drop_sent(r_channel *c);

/* Reader: receive all messages that wait in the socket. 0, or SM_EGONE at its end. */
int r_channel_drain_socket(r_channel *c);

#endif
