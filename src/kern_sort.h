/* kern_sort.h: argsort, the stable permutation that sorts.
 *
 * Memory: besides `out`, at most 16 bytes an element (24 for strings) and 320 KiB a thread; 2 bytes an element
 * where few values, or strings by their pointers, are distinct.
 *
 * Data that change meanwhile: `out` is then a permutation in no order in particular, or SM_ECHANGED is given, and out is
 * unspecified; nothing is ever read or written out of bounds. A caller that gets SM_ECHANGED sorts a copy.
 */
#ifndef KERN_SORT_H
#define KERN_SORT_H

#include "kern_cell.h"
#include "kern_dict.h"

/* What sm_argsort_look() finds out; the caller then knows how long the result is. */
typedef struct {
  sm_keys keys;
  sm_keys_stats stats;
  sm_work work;    /* on as many threads as pay */
  uint64_t *codes; /* strings: a code an element; scratch of 8 n bytes, freed by sm_argsort_free() */
  sm_keys_map map; /* strings: what codes mean */
  bool few;        /* few distinct values: all there is to know is in `dict` */
  sm_dict dict;
} sm_argsort_plan;

/* Look at the data. On failure nothing is held; else sm_argsort_free() must follow. */
int sm_argsort_look(const sm_keys *keys, const sm_work *work, sm_argsort_plan *plan);

/* Look at pointers to texts that the core cannot read (keys of type SM_KEY_PTR), equal ones having equal texts. Gives 1 if few are
 * distinct: then sm_argsort_rank(plan, texts) must be given their texts, as sm_dict_rank_texts() takes them, before anything
 * else but sm_argsort_free(). Gives 0, with nothing held, if they are too many, and else as sm_argsort_look(). */
int sm_argsort_look_pointers(const sm_keys *keys, const sm_work *work, sm_argsort_plan *plan);
int sm_argsort_rank(sm_argsort_plan *plan, const char *const *texts);

/* True if the permutation is 1, 2, ..., n. */
bool sm_argsort_is_identity(const sm_argsort_plan *plan);

/* Write the places: those of missing values after the others, or before them, or (drop) not at all. `out` has
 * n elements, or n - stats.missing. Gives 0, -ENOMEM, SM_ECHANGED, or the stop's code, and then out is unspecified. */
typedef enum { SM_MISSING_LAST, SM_MISSING_FIRST, SM_MISSING_DROP } sm_missing;
int sm_argsort_run(const sm_argsort_plan *plan, sm_missing missing, sm_places out);

void sm_argsort_free(sm_argsort_plan *plan);

#endif
