/* r_kernel.h: what the glue of the kernels shares: views of data, interrupts, clean-up. */
#ifndef R_KERNEL_H
#define R_KERNEL_H

#include "kern_dict.h"
#include "r_array_handle.h"

/* What ffi_reduce_run() computes. */
typedef enum { R_SUM, R_PROD, R_MIN, R_MAX, R_RANGE, R_ANY, R_ALL, R_MEAN } r_summary;

/* The elements of an R vector or shared array, as they lie. Valid while x is protected. */
typedef struct {
  sm_dtype dtype; /* of an R vector: f8, i4 (integer and logical), c16, raw; SM_STR with itemsize 0: character */
  bool logical;   /* values are R's logical (i4 layout) or b1 */
  bool integer64; /* class says so: INT64_MIN is NA */
  bool shared;
  bool fragile;     /* lies in a mapped file, which may shrink: touched under the guard of r_kernel_work() only */
  const void *data; /* character: the SEXP's own elements, not bytes */
  int64_t n;
} r_kernel_view;

/* Raises an argument error naming `arg` if x holds no atomic elements. */
r_kernel_view r_kernel_look(SEXP x, const char *arg);

/* Make v a private copy of x's elements, by R_alloc(): nobody changes it meanwhile. r_kernel_align() does so if elements are not
 * aligned to their size. */
void r_kernel_own(r_kernel_view *v, SEXP x);
void r_kernel_align(r_kernel_view *v, SEXP x);

/* The work of a kernel: at most np threads (an R number), a stop that asks R for interrupts, and a guard if the data, or
 * what is written, are fragile. */
sm_work r_kernel_work(sm_stop *stop, SEXP np, bool fragile);

/* fun(arg), then clean(arg), however fun ends. */
SEXP r_kernel_clean(SEXP (*fun)(void *), void (*clean)(void *), void *arg);

/* Raise what a kernel's negative code says: an interrupt, memory, a file that shrank, else an error with `what`. Returns on
 * rc == 0. */
void r_kernel_check(int rc, const char *what);

/* What a key type for sorting the view is; SM_KEY_PTR for character. Complex raises an argument error. */
sm_key_type r_kernel_key_type(const r_kernel_view *v, const char *arg);

/* Strings of a character vector as C-locale order has them (UTF-8 bytes), NULL for NA. From R_alloc(). */
const char *const *r_kernel_strings(SEXP x);

/* The same of the distinct elements of a character vector, by their numbers. From R_alloc(). */
const char *const *r_kernel_texts(const sm_dict *d);

#endif
