/* task_rng.h: a random stream an item: L'Ecuyer's MRG32k3a (R's "L'Ecuyer-CMRG"), jumped to directly.
 *
 * Streams are 2^127 steps apart (L'Ecuyer, Simard, Chen and Kelton 2002, Operations Research 50(6)):
 * stream k of a base state is what k calls of parallel::nextRNGStream() give.
 */
#ifndef TASK_RNG_H
#define TASK_RNG_H

#include "sm_base.h"

typedef struct {
  uint32_t s[6];
} sm_rng_state;

/* A valid base state from any 64 bits. */
void sm_rng_base(uint64_t bits, sm_rng_state *out);

/* The state at the start of stream k >= 0 of base: O(log k). */
void sm_rng_stream(const sm_rng_state *base, uint64_t k, sm_rng_state *out);

#endif
