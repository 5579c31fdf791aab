/* r_memory_pooled.c: see r_memory_pooled.h.
 *
 * data1   external pointer to a block
 * data2   nothing
 *
 * Ownership: the block, with its memory, is the external pointer's. The finalizer gives it to the pool, or, in a fork, just
 * unmaps it.
 * A read first has R allocate a vector of its own of that size, so that R's collector runs as often as it would: the pages of that
 * vector are never touched, so it costs address space alone. Where that is not free (mem_limit.h) it is itself handed out.
 */
#include "r_memory_pooled.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "arr_select.h"
#include "kern_reduce.h"
#include "mem_heap.h"
#include "mem_limit.h"
#include "mem_pool.h"
#include "r_memory.h"
#include "r_util.h"
#include "r_util_vector.h"

#define POOLED_MIN ((size_t)1 << 20)

/* Reads of more are rare, and what they leave in the pool would be much for a session that has none of its own to come. */
#define READ_MAX ((size_t)16 << 20)

static r_vector_classes pooled, reads;

typedef struct {
  SEXP x; /* the vector itself, for block_of() */
  void *data;
  R_xlen_t length;
  sm_extent extent;
} block;

/* R asks for length and address anew for every element that c() copies, so the block that was asked last is remembered, until make()
 * hands out another vector, which may lie where the block's own was. One word, for other packages' threads may ask, too. */
static const block *_Atomic last;

static inline const block *block_of(SEXP x) {
  const block *b = atomic_load_explicit(&last, memory_order_relaxed);
  if (b && b->x == x) return b;
  b = R_ExternalPtrAddr(R_altrep_data1(x));
  atomic_store_explicit(&last, b, memory_order_relaxed);
  return b;
}
static void *data_of(SEXP x) { return block_of(x)->data; }

static void block_finalize(SEXP ptr) {
  block *b = R_ExternalPtrAddr(ptr);
  if (!b) return;
  R_ClearExternalPtr(ptr);
  if (last == b) last = NULL;
  sm_pool_give(&b->extent);
  free(b);
}

static R_xlen_t vector_length(SEXP x) { return block_of(x)->length; }
static void *vector_dataptr(SEXP x, Rboolean writable) {
  (void)writable;
  return data_of(x);
}
static const void *vector_dataptr_or_null(SEXP x) { return data_of(x); }

static Rboolean vector_inspect(SEXP x, int pre, int deep, int pvec, void (*subtree)(SEXP, int, int, int)) {
  (void)pre, (void)deep, (void)pvec, (void)subtree;
  Rprintf(" pooled, %.0f bytes\n", (double)block_of(x)->extent.nbytes);
  return TRUE;
}

static int int_elt(SEXP x, R_xlen_t i) { return ((const int *)data_of(x))[i]; }
static double real_elt(SEXP x, R_xlen_t i) { return ((const double *)data_of(x))[i]; }
static Rcomplex cplx_elt(SEXP x, R_xlen_t i) { return ((const Rcomplex *)data_of(x))[i]; }
static Rbyte raw_elt(SEXP x, R_xlen_t i) { return ((const Rbyte *)data_of(x))[i]; }

/* Positions of subscripts as R hands them over: from 1, NA or past the end for a missing element. Gives how many of them. */
static int64_t index_block(SEXP indices, R_xlen_t from, R_xlen_t length, int64_t *pos) {
  int whole[SM_BLOCK];
  double real[SM_BLOCK];
  R_xlen_t n;
  if (TYPEOF(indices) == INTSXP) {
    n = INTEGER_GET_REGION(indices, from, SM_BLOCK, whole);
    for (R_xlen_t k = 0; k < n; k++) pos[k] = whole[k] >= 1 && whole[k] <= length ? whole[k] - 1 : SM_POS_NA; /* NA is negative */
  } else {
    n = REAL_GET_REGION(indices, from, SM_BLOCK, real);
    for (R_xlen_t k = 0; k < n; k++) pos[k] = real[k] >= 1 && real[k] < (double)length + 1 ? (int64_t)real[k] - 1 : SM_POS_NA;
  }
  return n;
}

/* x[i] as R takes it from an ordinary vector; without this method R asks for one element after the other. */
static SEXP vector_extract(SEXP x, SEXP indices, SEXP call) {
  (void)call;
  int64_t pos[SM_BLOCK];
  size_t size = r_vector_itemsize(TYPEOF(x));
  R_xlen_t many = XLENGTH(indices);
  SEXP ans = PROTECT(Rf_allocVector((SEXPTYPE)TYPEOF(x), many));
  uint8_t *to = r_vector_ptr(ans);
  for (int64_t done = 0, n; done < many; done += n) {
    n = index_block(indices, (R_xlen_t)done, XLENGTH(x), pos);
    sm_gather(data_of(x), size, pos, n, to + (size_t)done * size);
    for (int64_t k = 0; k < n; k++)
      if (pos[k] == SM_POS_NA) sm_convert_na(r_vector_rtype(TYPEOF(x)), 1, to + (size_t)(done + k) * size);
  }
  UNPROTECT(1);
  return ans;
}

/* What a finite sum, and extremes of what is there, are; NULL, and R itself does it, where that is not so plain. */
static SEXP real_summary(SEXP x, Rboolean narm, double (*of)(const sm_numbers *, const sm_work *)) {
  sm_stop stop;
  sm_stop_init(&stop, NULL, NULL);
  sm_numbers numbers = {{SM_F8, 0, sizeof(double)}, data_of(x), XLENGTH(x), narm};
  double value = of(&numbers, &(sm_work){1, &stop, NULL});
  return R_FINITE(value) ? Rf_ScalarReal(value) : NULL;
}

static double sum_of(const sm_numbers *n, const sm_work *work) {
  sm_sum s;
  return sm_reduce_sum(n, work, &s) < 0 ? R_NaN : (double)s.sum;
}

static bool extremes(const sm_numbers *n, const sm_work *work, sm_extremes *e) {
  return sm_reduce_extremes(n, work, e) == 0 && (n->skip || (!e->tally.na && !e->tally.nan)) && e->lo <= e->hi;
}

static double min_of(const sm_numbers *n, const sm_work *work) {
  sm_extremes e;
  return extremes(n, work, &e) ? e.lo : R_NaN;
}

static double max_of(const sm_numbers *n, const sm_work *work) {
  sm_extremes e;
  return extremes(n, work, &e) ? e.hi : R_NaN;
}

static SEXP real_sum(SEXP x, Rboolean narm) { return real_summary(x, narm, sum_of); }
static SEXP real_min(SEXP x, Rboolean narm) { return real_summary(x, narm, min_of); }
static SEXP real_max(SEXP x, Rboolean narm) { return real_summary(x, narm, max_of); }

static void methods(R_altrep_class_t c) {
  R_set_altrep_Length_method(c, vector_length);
  R_set_altrep_Inspect_method(c, vector_inspect);
  R_set_altvec_Dataptr_method(c, vector_dataptr);
  R_set_altvec_Dataptr_or_null_method(c, vector_dataptr_or_null);
  R_set_altvec_Extract_subset_method(c, vector_extract);
}

static r_vector_classes classes(const char *prefix, DllInfo *dll) {
  r_vector_classes c = r_vector_classes_make(prefix, dll, methods);
  R_set_altinteger_Elt_method(c.intg, int_elt);
  R_set_altreal_Elt_method(c.real, real_elt);
  R_set_altlogical_Elt_method(c.lgl, int_elt);
  R_set_altcomplex_Elt_method(c.cplx, cplx_elt);
  R_set_altraw_Elt_method(c.raw, raw_elt);
  return c;
}

void r_pooled_register(DllInfo *dll) {
  pooled = classes("pooled", dll);
  reads = classes("read", dll);
  R_set_altreal_Sum_method(reads.real, real_sum);
  R_set_altreal_Min_method(reads.real, real_min);
  R_set_altreal_Max_method(reads.real, real_max);
}

/* A vector whose block has no memory yet; its address is set by take(). */
static SEXP make(R_altrep_class_t class, R_xlen_t n, block **out) {
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(ptr, block_finalize, FALSE);
  SEXP x = PROTECT(R_new_altrep(class, ptr, R_NilValue));
  block *b = calloc(1, sizeof *b);
  if (!b) r_abort("sharedmem_memory_error", "no memory for a vector");
  b->x = x;
  b->length = n;
  atomic_store_explicit(&last, NULL, memory_order_relaxed);
  R_SetExternalPtrAddr(ptr, b);
  *out = b;
  UNPROTECT(2);
  return x;
}

static bool take(block *b, size_t nbytes) {
  uint64_t available;
  if (sm_limit_check(nbytes, &available) < 0 || sm_pool_take(nbytes, &b->extent) < 0) return false;
  b->data = b->extent.p;
  return true;
}

SEXP r_pooled_vector(SEXPTYPE type, R_xlen_t n) {
  size_t size = r_vector_itemsize((int)type);
  if ((size_t)n < POOLED_MIN / size) return Rf_allocVector(type, n);
  size_t nbytes = (size_t)n * size;
  block *b;
  r_memory_collect_before(nbytes);
  SEXP x = PROTECT(make(r_vector_class(&pooled, (int)type), n, &b));
  if (!take(b, nbytes)) {
    R_gc();
    sm_pool_trim();
    if (!take(b, nbytes)) r_abort_memory((double)nbytes, NA_REAL, "the system has no room for a vector of that size");
  }
  UNPROTECT(1);
  return x;
}

SEXP r_pooled_read(SEXPTYPE type, R_xlen_t n) {
  size_t nbytes = (size_t)n * r_vector_itemsize((int)type);
  SEXP own = PROTECT(Rf_allocVector(type, n));
  if (nbytes >= POOLED_MIN && nbytes <= READ_MAX && sm_limit_space_is_free()) {
    block *b;
    R_RunPendingFinalizers(); /* what the collector has found gives its blocks back before the next is taken */
    SEXP x = make(r_vector_class(&reads, (int)type), n, &b);
    if (take(b, nbytes)) {
      UNPROTECT(1);
      return x;
    }
  }
  sm_heap_want_huge(r_vector_ptr(own), nbytes);
  UNPROTECT(1);
  return own;
}
