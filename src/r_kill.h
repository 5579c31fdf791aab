/* r_kill.h: points of the worker's protocol at which a test can have it killed; see tests/testthat/test-deaths.R.
 *
 * A point costs a comparison. Nothing sets it but ffi_test_kill_at(), and only the first worker of rank 0 dies at it, never a successor.
 */
#ifndef R_KILL_H
#define R_KILL_H

typedef enum {
  R_KILL_NONE = 0,
  R_KILL_BEFORE_ITEMS,  /* before its first item */
  R_KILL_TAKEN,         /* an item is taken, and not yet begun */
  R_KILL_RING_FULL,     /* in the middle of a batch, the ring is full */
  R_KILL_DESCRIPTOR,    /* a descriptor is sent, its frame is not */
  R_KILL_PUBLISHED,     /* results are published, and not yet struck off the slot */
  R_KILL_LAST_FRAME     /* after its last frame */
} r_kill_where;

extern int r_kill_at;
void r_kill_self(void);

static inline void r_kill_point(int where) {
  if (r_kill_at == where) r_kill_self();
}

#endif
