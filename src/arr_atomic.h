/* arr_atomic.h: adding to elements that other processes add to as well, without a lock. */
#ifndef ARR_ATOMIC_H
#define ARR_ATOMIC_H

#include "arr_dtype.h"

/* Each adds v to the element at p (aligned to its size) and gives the new value. SM_ERANGE where the sum does not
 * fit: the element is left as it was. i4: NA (INT32_MIN) on either side gives NA. */
int sm_atomic_add_i4(void *p, int32_t v, int32_t *out);
int sm_atomic_add_i8(void *p, int64_t v, int64_t *out);
int sm_atomic_add_f8(void *p, double v, double *out);

#endif
