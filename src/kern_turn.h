/* kern_turn.h: arrays copied with the order of their axes reversed, in parallel.
 *
 * NumPy's C order has the last index fastest, R and Fortran the first. Copying from one to the other is the same work both
 * ways: the elements of an array of extents d, last index fastest, become those of the same array with the first one fastest.
 */
#ifndef KERN_TURN_H
#define KERN_TURN_H

#include "kern_threads.h"

#define SM_TURN_NDIM 64

typedef struct {
  const void *from; /* the last index is the fastest; at any alignment */
  void *to;         /* the first index is the fastest */
  int ndim;
  const int64_t *dim;
  size_t itemsize;
  int swap;        /* bytes of a number whose order is turned round (1: none, 2, 4, 8) */
  sm_back_fn back; /* for the target, or NULL for memory that is there */
  void *ctx;
} sm_turn;

/* 0, the stop's code, back()'s or the guard's. */
int sm_turn_run(const sm_turn *t, const sm_work *work);

#endif
