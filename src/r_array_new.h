/* r_array_new.h: shared arrays made from scratch. */
#ifndef R_ARRAY_NEW_H
#define R_ARRAY_NEW_H

#include "r_array.h"

/* A new zero-filled array. dim: ndim extents; vector as in r_array. Raises classed errors. */
SEXP r_array_new(sm_dtype dtype, int ndim, const int64_t *dim, bool vector);

/* The same for who fills it at once: if block is NULL in the handle, sm_segment_back() must precede any touch of a part. */
SEXP r_array_new_bare(sm_dtype dtype, int ndim, const int64_t *dim, bool vector);

/* Arguments `dtype` and `shape`: raise argument errors, and sharedmem_memory_error for what no machine can hold.
 * Extents go to dim[R_ARRAY_MAX_NDIM]; gives their number (0 for NULL). */
sm_dtype r_array_dtype_arg(SEXP dtype);
int r_array_shape_arg(SEXP shape, sm_dtype dtype, int64_t *dim);

#endif
