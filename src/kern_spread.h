/* kern_spread.h: a map from the values that occur to codes of few bits. */
#ifndef KERN_SPREAD_H
#define KERN_SPREAD_H

#include "kern_keys.h"

/* A map onto codes of at most `bits` bits for what was scanned (not all missing). For many floats
 * a sample decides whether value or key is nearer to uniform in 2^coarse buckets. Looks at data: see kern_keys.h. */
void sm_spread_choose(const sm_keys *k, const sm_keys_stats *stats, int bits, int coarse, sm_keys_map *out);

#endif
