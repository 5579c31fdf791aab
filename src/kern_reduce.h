/* kern_reduce.h: sums, extremes and counts on several threads.
 *
 * Every result is the same for any number of threads: blocks of fixed size are reduced alone, and their
 * results are combined in order.
 */
#ifndef KERN_REDUCE_H
#define KERN_REDUCE_H

#include "arr_convert.h"
#include "kern_threads.h"

/* What is reduced. Numbers only (not c16, not S<n>), at any alignment: f8 f4 with NaN, i4 b1 with NA, others with nothing missing. */
typedef struct {
  sm_dtype d;
  const void *x;
  int64_t n;
  bool skip; /* leave missing values out */
} sm_numbers;

typedef struct {
  int64_t n;    /* elements used: all, or (skip) those that are not missing */
  bool na, nan; /* NA, or NaN that is not NA, among all elements; of a finite sum of floats not told */
} sm_tally;

typedef struct {
  sm_tally tally;
  long double sum; /* floats: correct to about 2^-64 of the exact sum, Inf and NaN as the values give */
  int64_t whole;   /* integers and logical values: the exact sum; SM_ERANGE instead if it does not fit */
} sm_sum;

typedef struct {
  sm_tally tally;
  double lo, hi; /* of the values that are not missing; lo > hi if there are none; of equal zeros the first */
} sm_extremes;

typedef struct {
  sm_tally tally;
  int64_t nonzero; /* elements that are neither missing nor zero */
} sm_count;

/* Each gives 0, -ENOMEM or the stop's code. Missing values that are not skipped show in the tally, and a sum of floats is then
 * NaN. Extremes and counts leave missing values out whether or not `skip` is set. */
int sm_reduce_sum(const sm_numbers *of, const sm_work *work, sm_sum *out);
int sm_reduce_extremes(const sm_numbers *of, const sm_work *work, sm_extremes *out);
int sm_reduce_count(const sm_numbers *of, const sm_work *work, sm_count *out);

#endif
