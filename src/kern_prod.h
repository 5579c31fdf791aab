/* kern_prod.h: products on several threads, the same for any number of them. */
#ifndef KERN_PROD_H
#define KERN_PROD_H

#include "kern_reduce.h"

/* The product in long double, of what sm_reduce_sum() takes. Where it leaves the range on the way it is taken from first
 * to last. Gives 0, -ENOMEM or the stop's code. */
int sm_prod(const sm_numbers *of, const sm_work *work, sm_tally *tally, long double *out);

#endif
