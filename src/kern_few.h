/* kern_few.h: data of few distinct values, as dictionaries and a number of 16 bits an element.
 *
 * sm_few_find() reads words (numbers as they lie, or pointers), each thread its share of the elements into a
 * dictionary of its own. Then the few distinct words are ranked: by the numbers that they are, or by the texts that
 * the caller finds for them. sm_few_codes() gives the rank of an element's word.
 */
#ifndef KERN_FEW_H
#define KERN_FEW_H

#include "kern_keys.h"

#define SM_FEW_MOST 8192 /* distinct words, 0 not counted */
#define SM_FEW_BLOCK 512 /* threads' shares begin at its multiples: sm_share(n, rank, np, SM_FEW_BLOCK) */

typedef struct sm_few_part sm_few_part;
typedef struct sm_few_entry sm_few_entry;

typedef struct {
  int64_t n;
  int np;                /* shares, in every pass the same */
  uint16_t *numbers;     /* of the elements, in the dictionary of the share they lie in */
  sm_few_part *parts;    /* a dictionary a share; the first then has the words of all */
  sm_few_entry *entries; /* room to sort the words */
  int ranks;             /* equal words, once ranked, have one rank below this; missing ones have this */
  int64_t missing;
  bool in_order; /* ranks do not fall, and none is missing (false may be wrong) */
} sm_few;

/* True if a sample of n words of `width` bytes (4 or 8) has so few distinct ones that sm_few_find() is worth trying. */
bool sm_few_likely(const void *words, size_t width, int64_t n);

/* Make the dictionaries. Gives 1 if there are few words, 0 if not (nothing is held then), -ENOMEM or the stop's
 * code. Scratch: 2 bytes an element and 256 KiB a thread, until sm_few_free(). */
int sm_few_find(const void *words, size_t width, int64_t n, int np, sm_stop *stop, sm_few *f);
void sm_few_free(sm_few *f);

/* The distinct words are those numbered 1 to sm_few_count(); 0 is the word 0, which is always there. */
int sm_few_count(const sm_few *f);
uint64_t sm_few_word(const sm_few *f, int number);

/* Rank the words as the numbers of k, whose elements they are. */
void sm_few_rank_numbers(sm_few *f, const sm_keys *k);

/* Rank the words by texts, texts[i] of word i (0 included; NULL: missing), in C-locale order or its reverse. */
void sm_few_rank_texts(sm_few *f, const char *const *texts, bool decreasing);

/* How often each rank (the missing last: f->ranks + 1 counters) occurs in the share, added to count[]. */
void sm_few_tally(const sm_few *f, int rank, int64_t *count);

/* Ranks of the elements from, ..., from + m - 1, which lie in the share of `rank`. */
void sm_few_codes(const sm_few *f, int rank, int64_t from, int64_t m, uint16_t *out);

#endif
