/* r_wire_frame.h: R values as frames on a worker's channel.
 *
 * A channel is the ring and the socket between one worker and its master. A value is serialized (native
 * byte order) straight into the ring; one that passes half the ring's capacity goes on into an anonymous
 * file whose descriptor travels over the socket, named by a small frame (SM_FRAME_SPILLED). Large vectors
 * stay out of the stream (r_wire_move.h): the reader copies them from the writer's memory while the writer waits, or, where it
 * may not or does not come to it soon, from a file.
 */
#ifndef R_WIRE_FRAME_H
#define R_WIRE_FRAME_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "r_wire_channel.h"

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

/* Writer. Serializes value (R_NilValue allowed) and publishes the frame. Raises an R error if value cannot be
 * serialized or there is no memory; then nothing of it is published. Gives 0, or a negative code when the
 * master has gone. */
int r_frame_send(r_channel *c, uint32_t type, SEXP value, int64_t first, int64_t count, const sm_watch *watch);

/* Reader: the value of the frame peeked at. Raises an R error for malformed bytes. Releases nothing.
 * R_UnboundValue: the frame says nothing (it was withdrawn, or its writer ended too early): pass it over. */
SEXP r_frame_read(r_channel *c, const sm_frame *f);

#endif
