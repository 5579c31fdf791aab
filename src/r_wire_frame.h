/* r_wire_frame.h: R values as frames on a worker's channel.
 *
 * A channel is the ring and the socket between one member and its owner. A value is serialized (native byte order, or as a compact
 * record where it is small and flat) straight into the ring. A value that passes half the ring's capacity goes on into an anonymous file,
 * whose descriptor travels over the socket and which a small frame names (R_FRAME_SPILLED). Large vectors stay out of the stream
 * (r_wire_move.h): the reader copies them from the writer's memory while the writer waits, or from a file, where the reader may not do
 * that or does not come to it soon.
 */
#ifndef R_WIRE_FRAME_H
#define R_WIRE_FRAME_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "r_wire_channel.h"

typedef enum {
  R_FRAME_RESULTS = 1, /* results of items [first, first + count): a list, or a vector of r_scalars_pack() */
  R_FRAME_RESULT,      /* the result of item `first`; in a region what a member leaves, first: loops it has met */
  R_FRAME_ERROR,       /* first: item (-1 outside of any); value: see report() in R/relay.R */
  R_FRAME_STOPPED,     /* the item asked to end the map quietly */
  R_FRAME_CONDITION,   /* a warning or message; first: item */
  R_FRAME_QUIT,        /* the member ran R's exit path and ends itself */
  R_FRAME_NTYPES
} r_frame_type;

/* The names of the types in R: `type` of the named list that a frame becomes (r_team_frame()). A member closes its ring after its last
 * frame. */
extern const char *const r_frame_names[R_FRAME_NTYPES];

/* flags: the bits below, and from bit 8 on the number of segments whose descriptors have been sent since the previous frame, for shared
 * arrays that this process made. The socket has the descriptors in this order: segments, the file with the vectors, the spilled payload. */
#define R_FRAME_SPILLED 1u /* the payload is a uint64_t, the size of the file */
#define R_FRAME_MOVED 2u   /* the payload begins with a sm_move_head_shm */
#define R_FRAME_FILED 4u   /* its vectors are in a file */
#define R_FRAME_FLAT 8u    /* the payload is a record of r_wire_flat.h */
#define R_FRAME_SEGMENT_SHIFT 8

/* Writer. Serializes value (R_NilValue allowed) and publishes the frame. Raises an R error if value cannot be serialized or there is no
 * memory; then nothing of it is published. Gives 0, or a negative code when the owner has gone.
 * A wait that r_interrupt_watch ends is raised as an interrupt. */
int r_frame_send(r_channel *c, uint32_t type, SEXP value, int64_t first, int64_t count, const sm_watch *watch);

/* Writer: the same for a small flat value (r_wire_flat.h), at a tenth of the price; evaluates and raises nothing. SM_ERANGE for any other.
 */
int r_frame_send_flat(r_channel *c, uint32_t type, SEXP value, int64_t first, const sm_watch *watch);

/* Reader: the value of the frame peeked at. Raises an R error for malformed bytes. Releases nothing.
 * R_UnboundValue: the frame has no value (it was withdrawn, or its writer ended too early), and the caller passes it over. */
SEXP r_frame_read(r_channel *c, const sm_frame *f);

#endif
