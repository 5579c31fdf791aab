/* r_array.h: the handle of a shared array, an external pointer of S3 class "shared_array".
 *
 * address   sm_array (malloc'd, process-local, freed by the finalizer), or NULL while not attached
 * tag       raw vector: the descriptor that survives serialize() (id, pid, fd, offset, dtype, shape)
 * protected R list of R-level attributes (names, dimnames, class, levels, ...), or NULL
 * class     c("shared_array"); never anything else as an R attribute
 *
 * An external pointer is never duplicated by R, so no function changes a handle in place that
 * others may hold: `dim<-` and friends make a new handle over the same segment.
 */
#ifndef R_ARRAY_H
#define R_ARRAY_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "arr_dtype.h"
#include "mem_segment.h"

typedef struct {
  uint32_t magic;   /* SM_ARRAY_MAGIC */
  bool readonly;
  bool vector;      /* a plain vector: dim() is NULL; a scalar has ndim 0 and length 1 */
  sm_dtype dtype;
  int ndim;         /* 1 for a plain vector */
  int64_t length;   /* elements: the product of dim, 1 for a scalar */
  int64_t *dim;     /* ndim extents, behind this struct */
  uint8_t *data;    /* first element; length * dtype.itemsize bytes lie inside seg */
  sm_segment *seg;  /* one ref held by this handle */
} sm_array;

#define SM_ARRAY_MAGIC 0x534D4152u

bool r_array_is(SEXP x);

/* The attached array behind a handle; attaches it where it came by serialize(). Raises
 * sharedmem_unattached_error or an argument error naming `arg`; never returns NULL. Valid while x is protected. */
sm_array *r_array_get(SEXP x, const char *arg);

/* A new zero-filled array. dim: ndim extents; vector as in sm_array. Raises classed errors. */
SEXP r_array_new(sm_dtype dtype, int ndim, const int64_t *dim, bool vector);

/* For the result channel. If x is an attached handle whose segment did not exist at the fork of
 * this process (this process made or received it), its descriptor to be passed on; else -1. */
int r_array_travel_fd(SEXP x, pid_t me);

#endif
