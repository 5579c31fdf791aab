/* r_array.h: the handle of a shared array, an external pointer of S3 class "shared_array".
 *
 * address   r_array (malloc'd, process-local, freed by the finalizer), or NULL while not attached
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
#include "mem_arena.h"
#include "mem_segment.h"

typedef struct {
  uint32_t magic; /* SM_ARRAY_MAGIC */
  bool readonly;
  bool vector; /* a plain vector: dim() is NULL; a scalar has ndim 0 and length 1 */
  sm_dtype dtype;
  int ndim;        /* 1 for a plain vector */
  int64_t length;  /* elements: the product of dim, 1 for a scalar */
  int64_t *dim;    /* ndim extents, behind this struct */
  uint8_t *data;   /* first element; length * dtype.itemsize bytes lie inside seg */
  sm_segment *seg; /* one ref held by this handle, unless it has a block */
  sm_block *block; /* of a small array: one ref held by this handle, which keeps seg; else NULL */
} r_array;

#define SM_ARRAY_MAGIC 0x534D4152u   /* data may be read and written directly */
#define SM_ARRAY_CHECKED 0x534D4143u /* only by way of r_array_get() and r_array_access(): the memory may vanish */
#define R_ARRAY_MAX_NDIM 64

bool r_array_is(SEXP x);

/* The R attributes kept with a handle: a named list (names, dimnames, class, levels, units, tzone), or
 * R_NilValue. Never changed in place: r_array_alias() makes a handle with others. */
SEXP r_array_meta(SEXP x);
SEXP r_array_meta_get(SEXP x, const char *name); /* one of them, or R_NilValue */

/* Set the R attributes of a handle that was just made and that nobody else holds yet. */
void r_array_meta_init(SEXP x, SEXP meta);

/* Run fn(ctx), which reads or writes the array's memory: directly, or, where that lies in a file, guarded against
 * a file that shrinks (sharedmem_file_error). fn allocates nothing in R, raises nothing and calls nothing that
 * does; see sm_fault_guard(). */
void r_array_access(const r_array *a, void (*fn)(void *), void *ctx);

/* Raise the sharedmem_file_error that says that the file has become shorter. */
void r_array_abort_shrunk(void)
#if defined(__GNUC__)
    __attribute__((noreturn))
#endif
    ;

/* True if the memory may vanish under an access, so that r_array_access() is needed. */
bool r_array_fragile(const r_array *a);

/* True if elements of a and b are the same memory, whatever mappings they are seen by. */
bool r_array_overlap(const r_array *a, const r_array *b);

/* Raise sharedmem_value_error if a must not be written to. */
void r_array_check_writable(const r_array *a);

/* ---- for the files that make handles ---- */

/* A handle without address: an empty shell, or with its finalizer. r_array_own() gives a shell its finalizer. */
SEXP r_array_shell(void);
SEXP r_array_handle(void);
void r_array_own(SEXP x);

/* The r_array behind a new handle, without memory. */
r_array *r_array_alloc(SEXP x, sm_dtype dtype, int ndim, const int64_t *dim, bool vector);

/* The same for memory that is there already: gives its ref back if there is no memory for the r_array. */
r_array *r_array_alloc_over(SEXP x, sm_dtype dtype, int ndim, const int64_t *dim, bool vector, sm_segment *seg);

/* Hand the memory (a ref of it) to a new handle and write the handle's descriptor. */
void r_array_bind(SEXP x, r_array *a, sm_segment *seg, sm_block *block, uint8_t *data);

#endif
