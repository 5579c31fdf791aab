/* arr_convert.h: values between a dtype's bytes and R's vector types.
 *
 * R's types are named here by their C layout, so that the core needs no R header: logical and integer are
 * int32_t with INT32_MIN for NA, double has NA as a NaN whose low word is 1954. Text (S<n>) is converted
 * by the glue. Shared memory may be unaligned (a file mapped at an odd offset): all loads go by memcpy.
 */
#ifndef ARR_CONVERT_H
#define ARR_CONVERT_H

#include "arr_dtype.h"

/* The R type that holds every value of a dtype. */
static inline sm_rtype sm_rtype_of(sm_dtype d) { return sm_dtype_info_of(d)->rtype; }

/* Bytes an element of an R type; 0 for SM_R_STR. */
size_t sm_rtype_size(sm_rtype t);

/* True if the dtype's bytes are the R type's bytes, so that a copy converts. */
bool sm_rtype_same(sm_dtype d, sm_rtype t);

/* R's NA_real_ */
double sm_na_real(void);
bool sm_is_na_real(double v);

/* n items of dtype bytes at src to R values at dst. t: sm_rtype_of(d), or SM_R_I64 for i8, or SM_R_DBL for
 * any numeric dtype. */
void sm_convert_read(sm_dtype d, const void *src, int64_t n, sm_rtype t, void *dst);

/* n numbers as doubles: where they lie, if they are doubles and aligned, or in buffer. */
const double *sm_convert_doubles(sm_dtype d, const void *src, int64_t n, double *buffer);

/* n times NA of type t at dst (0 for raw). */
void sm_convert_na(sm_rtype t, int64_t n, void *dst);

/* True if values of this type go into the dtype at all. */
bool sm_convert_allowed(sm_dtype d, sm_rtype t);

/* Position of the first of n R values that the dtype cannot hold, or -1. na64: INT64_MIN of i8 stands for NA. */
int64_t sm_convert_check(sm_dtype d, sm_rtype t, const void *src, int64_t n, bool na64);

/* n R values to dtype bytes at dst; they passed sm_convert_check(). */
void sm_convert_write(sm_dtype d, sm_rtype t, const void *src, int64_t n, void *dst);

/* True if one of n i8 items is past 2^53 in size. */
bool sm_convert_lossy(const void *src, int64_t n);

#endif
