/* r_frame.h: R values as frames on a worker's channel.
 *
 * A channel is the ring and the socket between one worker and its master. A value is serialized (native
 * byte order) straight into the ring; one that passes half the ring's capacity goes on into an anonymous
 * file whose descriptor travels over the socket, named by a small frame (SM_FRAME_SPILLED). Large vectors
 * stay out of the stream (r_move.h): the reader copies them from the writer's memory while the writer waits, or, where it
 * may not or does not come to it soon, from a file.
 */
#ifndef R_FRAME_H
#define R_FRAME_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "chan_move.h"
#include "chan_ring.h"
#include "chan_socket.h"
#include "chan_spill.h"
#include "r_move.h"

typedef enum {
  SM_FRAME_RESULTS = 1, /* results of items [first, first + count): a list, or a vector of r_scalars_pack() */
  SM_FRAME_ERROR,       /* first: item (-1 outside of any); value: see R/worker.R */
  SM_FRAME_STOPPED,     /* the item asked to end the map quietly */
  SM_FRAME_CONDITION,   /* a warning or message; first: item */
  SM_FRAME_BYE,         /* nothing follows; the worker ends itself */
  SM_FRAME_QUIT         /* the worker ran R's exit path and ends itself */
} sm_frame_type;

/* flags: bit 0 says that the payload is a uint64_t, the size of the file; from bit 8 on, the number of
 * segments whose descriptors have been sent since the frame before, for shared arrays that this process made. They
 * stand in the socket in that order, then that of the file with the vectors, the spilled payload's last. */
#define SM_FRAME_SPILLED 1u
#define SM_FRAME_MOVED 2u /* the payload begins with a sm_move_head_shm */
#define SM_FRAME_FILED 4u /* its vectors are in a file */
#define SM_FRAME_SEGMENT_SHIFT 8

typedef struct {
  sm_ring ring;
  int sock;
  _Atomic uint32_t *sleeping;  /* writer: the master sleeps in poll: wake it */
  sm_spill spill;              /* writer */
  uint64_t spill_end;          /* writer: ring position behind the last frame with a file */
  uint64_t last_nbytes;        /* writer: of the frame sent last, as it stands in the ring or in its file */
  sm_move_table moved;         /* writer: the vectors of the frame being sent */
  int moved_fd;                /* writer: file with them, -1 */
  bool denied;                 /* writer: the reader may not read this process's memory */
  pid_t peer;                  /* reader: the writer, if it is a child of this process; else 0 */
  bool later;                  /* writer: another frame follows at once, or r_channel_wake(): do not wake the master yet */
  uint32_t segments_sent;      /* writer: since the last frame, also by attempts that failed */
  int *fds;                    /* reader: descriptors received and not yet claimed, nfds of them */
  int nfds, fds_size;
  bool eof;                    /* reader: the socket has ended */
  bool fd_lost;                /* reader: a descriptor came for which there was no room */
} r_channel;

void r_channel_open(r_channel *c, void *ring_memory, uint64_t capacity);
/* Closes what the channel owns; the socket belongs to the process record. */
void r_channel_close(r_channel *c);

/* Writer: wake the master if it sleeps. */
void r_channel_wake(r_channel *c);

/* Writer. Serializes value (R_NilValue allowed) and publishes the frame. Raises an R error if value cannot be
 * serialized or there is no memory; then nothing of it is published. Gives 0, or a negative code when the
 * master has gone. */
int r_frame_send(r_channel *c, uint32_t type, SEXP value, int64_t first, int64_t count, const sm_watch *watch);

/* Reader: the value of the frame peeked at. Raises an R error for malformed bytes. Releases nothing.
 * R_UnboundValue: the frame says nothing (it was withdrawn, or its writer ended too early): pass it over. */
SEXP r_frame_read(r_channel *c, const sm_frame *f);

/* Reader: take what stands in the socket. 0, or SM_EGONE at its end. */
int r_channel_drain_socket(r_channel *c);

#endif
