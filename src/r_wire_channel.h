/* r_wire_channel.h: one side of the channel between a worker and its master: the ring, the socket, and what is under way on them. */
#ifndef R_WIRE_CHANNEL_H
#define R_WIRE_CHANNEL_H

#include "chan_move.h"
#include "chan_ring.h"
#include "chan_socket.h"
#include "chan_spill.h"

typedef struct {
  sm_ring ring;
  int sock;
  _Atomic uint32_t *sleeping; /* writer: the master sleeps in poll: wake it */
  sm_spill spill;             /* writer */
  uint64_t spill_end;         /* writer: ring position behind the last frame with a file */
  uint64_t last_nbytes;       /* writer: of the frame sent last, as it stands in the ring or in its file */
  sm_move_table moved;        /* writer: the vectors of the frame being sent */
  int moved_fd;               /* writer: file with them, -1 */
  bool denied;                /* writer: the reader may not read this process's memory */
  pid_t peer;                 /* reader: the writer, if it is a child of this process; else 0 */
  bool defer_wake;            /* writer: another frame follows at once, or r_channel_wake(): do not wake the master yet */
  uint32_t segments_sent;     /* writer: since the last frame, also by attempts that failed */
  int *fds;                   /* reader: descriptors received and not yet claimed, nfds of them */
  int nfds, fds_size;
  bool eof;     /* reader: the socket has ended */
  bool fd_lost; /* reader: a descriptor came for which there was no room */
  /* Between processes that are no forks of each other: a preserved list of environments that the other end has its own of, and goes by
   * their places in it, or NULL; and whether a live external pointer is an error, instead of arriving dead. */
  void *known;
  bool strict;
} r_channel;

void r_channel_open(r_channel *c, void *ring_memory, uint64_t capacity);
/* Closes what the channel owns; the socket belongs to the process record. */
void r_channel_close(r_channel *c);

/* Writer: wake the master if it sleeps. */
void r_channel_wake(r_channel *c);

/* Writer: what sending a frame needs is given back, however the sending ended. */
void r_channel_drop_sent(r_channel *c);

/* Reader: take what stands in the socket. 0, or SM_EGONE at its end. */
int r_channel_drain_socket(r_channel *c);

#endif
