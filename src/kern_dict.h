/* kern_dict.h: data of few distinct values, as dictionaries and an id of 16 bits an element.
 *
 * sm_dict_make() reads words (numbers as they lie, or pointers), each once: each thread has a share of the elements and a
 * dictionary of its own, whose entries are the distinct words that it met. Then the entries are ranked: by the numbers
 * that they are, or by the texts that the caller finds for them. sm_dict_codes() gives the rank of an element's word. From
 * sm_dict_make() on nothing looks at the data, which may have changed since.
 */
#ifndef KERN_DICT_H
#define KERN_DICT_H

#include "kern_keys.h"

/* Distinct words, 0 not counted. A sort of numbers is soon faster than a dictionary that has left the nearest cache; a sort
 * of texts is not. */
#define SM_DICT_NUMBERS 8192
#define SM_DICT_TEXTS 65534

#define SM_DICT_STEP 512 /* shares begin at its multiples: sm_share(n, share, np, SM_DICT_STEP) */

typedef struct sm_dict_part sm_dict_part;
typedef struct sm_dict_entry sm_dict_entry;

typedef struct {
  int64_t n;
  int np;                /* shares, in every pass the same */
  uint16_t *ids;         /* of the elements, in the dictionary of the share they lie in */
  sm_dict_part *parts;   /* a dictionary a share; the first then has the words of all */
  sm_dict_entry *sorted; /* room to sort the entries */
  int ranks;             /* equal entries, once ranked, have one rank below this; missing ones have this */
  int64_t missing;
  bool in_order; /* ranks do not fall, and none is missing (false may be wrong) */
} sm_dict;

/* True if a sample of n words of `width` bytes (4 or 8) has so few distinct ones that sm_dict_make() for `most` of them is worth
 * trying. Touches the words: to be called from within sm_threads_one(). */
bool sm_dict_likely(const void *words, size_t width, int64_t n, int most);

/* Make the dictionaries of up to `most` words (SM_DICT_NUMBERS or SM_DICT_TEXTS), a share for each thread of `work`. Gives 1 if there
 * are few words, 0 if not (nothing is held then), -ENOMEM or the stop's code. Scratch, until sm_dict_free(): 2 bytes an element, and a
 * thread 210 KiB or 1.6 MiB. */
int sm_dict_make(const void *words, size_t width, int64_t n, int most, const sm_work *work, sm_dict *d);
void sm_dict_free(sm_dict *d);

/* The distinct words have the ids 1 to sm_dict_count(); id 0 is the word 0, which is always there. */
int sm_dict_count(const sm_dict *d);
uint64_t sm_dict_word(const sm_dict *d, int id);

/* Rank the entries as the numbers of k, whose elements they are. */
void sm_dict_rank_numbers(sm_dict *d, const sm_keys *k);

/* Rank the entries by texts, texts[i] of entry i (0 included; NULL: missing), in C-locale order or its reverse. order: the m entries
 * that have a text, sorted by it. */
void sm_dict_rank_texts(sm_dict *d, const char *const *texts, const int *order, int m, bool decreasing);

/* How often each rank (the missing last: d->ranks + 1 counters) occurs in the share, added to count[]. */
void sm_dict_tally(const sm_dict *d, int share, int64_t *count);

/* Ranks of the elements from, ..., from + m - 1, which lie in the share. */
void sm_dict_codes(const sm_dict *d, int share, int64_t from, int64_t m, uint16_t *out);

#endif
