/* r_kernel.h: what the glue of the kernels shares: views of data, interrupts, clean-up. */
#ifndef R_KERNEL_H
#define R_KERNEL_H

#include "kern_few.h"
#include "r_array_handle.h"

/* The elements of an R vector or shared array, as they lie. Valid while x is protected. */
typedef struct {
  sm_dtype dtype; /* of an R vector: f8, i4 (integer and logical), c16, raw; SM_STR with itemsize 0: character */
  bool logical;   /* values are R's logical (i4 layout) or b1 */
  bool integer64; /* class says so: INT64_MIN is NA */
  bool shared;
  const void *data; /* character: the SEXP's own elements, not bytes */
  int64_t n;
} r_kernel_view;

/* Raises an argument error naming `arg` if x holds no atomic elements. Elements that lie in a mapped file, which may
 * shrink under a thread, or are not aligned, are copied by R_alloc(). */
r_kernel_view r_kernel_look(SEXP x, const char *arg);

/* A stop that asks R for interrupts. */
void r_kernel_stop(sm_stop *stop);

/* fun(arg), then clean(arg), however fun ends. */
SEXP r_kernel_clean(SEXP (*fun)(void *), void (*clean)(void *), void *arg);

/* Raise what a kernel's negative code says: an interrupt, memory, else an error with `what`. Returns on rc == 0. */
void r_kernel_check(int rc, const char *what);

/* What a key type for sorting the view is; SM_KEY_PTR for character. Complex raises an argument error. */
sm_key_type r_kernel_key_type(const r_kernel_view *v, const char *arg);

/* Strings of a character vector as C-locale order has them (UTF-8 bytes), NULL for NA. From R_alloc(). */
const char *const *r_kernel_strings(SEXP x);

/* The same of the distinct elements of a character vector, by their numbers. From R_alloc(). */
const char *const *r_kernel_texts(const sm_few *f);

#endif
