/* task_rng.h: a random state an item: L'Ecuyer's MRG32k3a (R's "L'Ecuyer-CMRG"), hashed from (base, item).
 *
 * The hash is that of NumPy's SeedSequence (M. E. O'Neill's seed_seq_fe with a pool of 128 bits): a base is the pool
 * after the entropy, an item's number is the spawn key. Hashed states lie anywhere in the period of 2^191. Items do not get successive
 * streams (2^127 steps apart) or substreams (2^76), because code inside an item takes the next ones of those itself.
 */
#ifndef TASK_RNG_H
#define TASK_RNG_H

#include "sm_base.h"

typedef struct {
  uint32_t s[6]; /* s[0..2] in 1 ... m1 - 1, s[3..5] in 1 ... m2 - 1 */
} sm_rng_state;

typedef struct {
  uint32_t pool[4];
  uint32_t factor; /* of the hash, as the entropy has left it */
} sm_rng_base;

/* A base of n words of entropy, n >= 0; fewer than 4 count as followed by zeros. */
void sm_rng_base_init(sm_rng_base *b, const uint32_t *entropy, size_t n);

/* The state of item k: valid for every base and k. */
void sm_rng_item(const sm_rng_base *b, uint64_t k, sm_rng_state *out);

/* n words of the base itself: SeedSequence(entropy).generate_state(n). */
void sm_rng_words(const sm_rng_base *b, uint32_t *out, int n);

#endif
