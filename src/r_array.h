/* r_array.h: the handle of a shared array, an ALTREP raw vector of a class of our own.
 *
 * R copies a handle as it copies any vector, so its S3 class ("shared_array") and its attributes have value semantics. All
 * copies share data1, an external pointer, and so the memory:
 *
 * address   r_array (malloc'd, process-local, freed by the finalizer), or NULL while not attached
 * tag       raw vector: the descriptor that survives serialize() (id, pid, fd, offset, dtype, shape)
 * protected R list of the attributes that belong to the values (names, dimnames, class, levels, ...), or NULL
 *
 * The pointer is never changed once a handle leads to it: `dim<-` and friends make another one over the same memory. R
 * may set dim, dimnames and names on the handle itself (structure(), attr<-): r_array_get() moves them into such a pointer.
 * For attributes of a vector of 64 elements or more R puts an ALTREP wrapper of its own around the handle; that is a handle too.
 */
#ifndef R_ARRAY_H
#define R_ARRAY_H

#define R_NO_REMAP
#include <Rinternals.h>

#include <R_ext/Altrep.h>
#include <R_ext/Rdynload.h>

#include "arr_dtype.h"
#include "mem_arena.h"
#include "mem_segment.h"

typedef struct {
  uint32_t magic; /* R_ARRAY_MAGIC */
  bool readonly;
  bool vector;  /* an array without dim(): dim() is NULL; a scalar has ndim 0 and length 1 */
  bool fragile; /* the memory is a file's and may vanish: touched only by way of r_array_access() */
  bool fast;    /* the address alone says that the memory is there: no r_array_get() is needed */
  sm_dtype dtype;
  int ndim;        /* 1 for an array without dim() */
  int64_t length;  /* elements: the product of dim, 1 for a scalar */
  int64_t *dim;    /* ndim extents, behind this struct */
  uint8_t *data;   /* first element; length * dtype.itemsize bytes lie inside seg */
  sm_segment *seg; /* one ref held by this handle, unless it has a block */
  sm_small *block; /* of a small array: one ref held by this handle, which keeps seg; else NULL */
} r_array;

#define R_ARRAY_MAGIC 0x534D4152u
#define R_ARRAY_MAX_NDIM 64

void r_array_register(DllInfo *dll);

/* The class of handles, registered by r_array_register() when the package is loaded (r_array_class.c). */
extern R_altrep_class_t r_array_class;

/* A result is being written: what it says is not to change with the memory of a view in it. */
extern bool r_array_in_result;

/* The external pointer behind a handle, or NULL if x is none. */
SEXP r_array_ptr(SEXP x);

static inline bool r_array_is(SEXP x) { return r_array_ptr(x) != NULL; }

/* The attributes that belong to the values: a named list (names, dimnames, class, levels, units, tzone), or
 * R_NilValue. Never changed in place: r_array_alias() makes a handle with others. Valid after r_array_get(). */
SEXP r_array_meta(SEXP x);
SEXP r_array_meta_get(SEXP x, const char *name); /* one of them, or R_NilValue */

/* Set them for a handle that was just made and that nobody else holds yet. */
void r_array_meta_init(SEXP x, SEXP meta);

/* Run fn(ctx), which reads or writes the array's memory: directly, or, where that lies in a file, guarded against
 * a file that shrinks (sharedmem_file_error). fn allocates nothing in R, raises nothing and calls nothing that
 * does; see sm_fault_guard(). */
void r_array_access(const r_array *a, void (*fn)(void *), void *ctx);

/* Raise the sharedmem_file_error that says why the file behind an array could not be touched; NULL: it has become shorter. */
void r_array_abort_fault(const r_array *a)
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

/* For the Dataptr method: what identical(), whose frame is `frame`, may compare as the bytes of handle x; n bytes that are zero. */
const void *r_array_identical(SEXP x, SEXP frame);
const void *r_array_zeros(size_t n);
/* Does the C stack say that R's identical() asks? false where it cannot be read. */
int r_array_compared(void);

/* ---- for the files that make handles ---- */

/* What an array is made of. */
typedef struct {
  sm_dtype dtype;
  int ndim;
  const int64_t *dim;
  bool vector, readonly;
  sm_segment *seg; /* one ref of it, or, where there is a block, of that */
  sm_small *block; /* or NULL */
  uint8_t *data;   /* first element; NULL: at the start of block or segment */
} r_array_spec;

/* A handle without memory; its pointer has the finalizer. Then r_array_make(). */
SEXP r_array_blank(void);

/* A handle of class "shared_array" over a pointer. */
SEXP r_array_handle(SEXP ptr);

/* Give the refs in `spec` to the pointer and write its descriptor. If there is no memory for the r_array, the refs are
 * given back and sharedmem_memory_error is raised. */
r_array *r_array_make(SEXP ptr, const r_array_spec *spec);

/* Give a pointer that came without a finalizer its own. */
void r_array_own(SEXP ptr);

/* Is ptr the pointer of a handle, by its tag? Such a tag may still be damaged. */
bool r_array_ptr_is(SEXP ptr);

#endif
