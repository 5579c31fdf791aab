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
#include "mem_arena.h"
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
  sm_segment *seg;  /* one ref held by this handle, unless it has a block */
  sm_block *block;  /* of a small array: one ref held by this handle, which keeps seg; else NULL */
} sm_array;

#define SM_ARRAY_MAGIC 0x534D4152u   /* data may be read and written directly */
#define SM_ARRAY_CHECKED 0x534D4143u /* only by way of r_array_get() and r_array_access(): the memory may vanish */
#define R_ARRAY_MAX_NDIM 64

bool r_array_is(SEXP x);

/* The attached array behind a handle; attaches it where it came by serialize(). Raises
 * sharedmem_unattached_error or an argument error naming `arg`; never returns NULL. Valid while x is protected. */
sm_array *r_array_get(SEXP x, const char *arg);

/* A new zero-filled array. dim: ndim extents; vector as in sm_array. Raises classed errors. */
SEXP r_array_new(sm_dtype dtype, int ndim, const int64_t *dim, bool vector);

/* The same for who fills it at once: if block is NULL in the handle, sm_segment_back() must precede any touch of a part. */
SEXP r_array_new_bare(sm_dtype dtype, int ndim, const int64_t *dim, bool vector);

/* A new handle over the memory of the attached handle x: other shape (ndim, dim: the product must be the
 * length of x; dim may be x's own) and other R attributes (meta: a named list, or R_NilValue). */
SEXP r_array_alias(SEXP x, int ndim, const int64_t *dim, bool vector, SEXP meta);

/* The R attributes kept with a handle: a named list (names, dimnames, class, levels, units, tzone), or
 * R_NilValue. Never changed in place: r_array_alias() makes a handle with others. */
SEXP r_array_meta(SEXP x);
SEXP r_array_meta_get(SEXP x, const char *name); /* one of them, or R_NilValue */

/* Set the R attributes of a handle that was just made and that nobody else holds yet. */
void r_array_meta_init(SEXP x, SEXP meta);

/* Run fn(ctx), which reads or writes the array's memory: directly, or, where that lies in a file, guarded against
 * a file that shrinks (sharedmem_file_error). fn allocates nothing in R, raises nothing and calls nothing that
 * does; see sm_fault_guard(). */
void r_array_access(const sm_array *a, void (*fn)(void *), void *ctx);

/* True if the memory may vanish under an access, so that r_array_access() is needed. */
bool r_array_fragile(const sm_array *a);

/* Raise sharedmem_value_error if a must not be written to. */
void r_array_check_writable(const sm_array *a);

/* For the result channel. If x is an attached handle whose segment did not exist at the fork of
 * this process (this process made or received it), its descriptor to be passed on; else -1. */
int r_array_travel_fd(SEXP x, pid_t me);

/* For the hooks of R_InitOutPStream() and R_InitInPStream(). r_array_name(): the name (a character vector) under which
 * handle x goes through a stream, or R_NilValue if x is no attached handle. r_array_from_name(): a handle of that
 * name, attached if its segment is known here (sm_segment_find(), sm_segment_adopt()) or can be opened, and holding refs
 * of its own; R errors only for a name that r_array_name() never gave. */
SEXP r_array_name(SEXP x);
SEXP r_array_from_name(SEXP name);

/* ---- for the files that make handles ---- */

/* A handle without address: an empty shell, or with its finalizer. r_array_own() gives a shell its finalizer. */
SEXP r_array_shell(void);
SEXP r_array_handle(void);
void r_array_own(SEXP x);

/* The sm_array behind a new handle, without memory. */
sm_array *r_array_alloc(SEXP x, sm_dtype dtype, int ndim, const int64_t *dim, bool vector);

/* The same for memory that is there already: gives its ref back if there is no memory for the sm_array. */
sm_array *r_array_alloc_over(SEXP x, sm_dtype dtype, int ndim, const int64_t *dim, bool vector, sm_segment *seg);

/* Arguments `dtype` and `shape`: raise argument errors, and sharedmem_memory_error for what no machine can hold.
 * Extents go to dim[R_ARRAY_MAX_NDIM]; gives their number (0 for NULL). */
sm_dtype r_array_dtype_arg(SEXP dtype);
int r_array_shape_arg(SEXP shape, sm_dtype dtype, int64_t *dim);

/* Hand the memory (a ref of it) to a new handle and write the handle's descriptor. */
void r_array_bind(SEXP x, sm_array *a, sm_segment *seg, sm_block *block, uint8_t *data);

/* nbytes are about to be added to what this process holds: let R's collector find handles that are gone, if much has come
 * since it last did. */
void r_array_collect_before(size_t nbytes);

/* Attach a handle that came without address (by serialize()); NULL and *reason where it cannot be. */
sm_array *r_array_attach(SEXP x, const char **reason);

/* Raise sharedmem_memory_error with fields asked and available (NA_REAL: not known). */
void r_abort_memory(double asked, double available, const char *reason)
#if defined(__GNUC__)
  __attribute__((noreturn))
#endif
  ;

#endif
