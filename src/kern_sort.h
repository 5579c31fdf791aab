/* kern_sort.h: argsort, the stable permutation that sorts.
 *
 * Memory: besides `out`, at most 16 bytes an element (24 for strings) and 320 KiB a thread; 2 bytes an element
 * where few values, or strings by their pointers, are distinct.
 */
#ifndef KERN_SORT_H
#define KERN_SORT_H

#include "kern_cell.h"
#include "kern_few.h"

/* What sm_argsort_look() finds out; the caller then knows how long the result is. */
typedef struct {
  sm_keys keys;
  sm_keys_stats stats;
  int np;
  uint64_t *codes; /* strings: a code an element; scratch of 8 n bytes, freed by sm_argsort_free() */
  sm_keys_map map; /* strings: what codes mean */
  bool few;        /* few distinct values: all there is to know is in */
  sm_few words;
} sm_argsort_plan;

/* Look at the data. On failure nothing is held; else sm_argsort_free() must follow. */
int sm_argsort_look(const sm_keys *keys, int np, sm_stop *stop, sm_argsort_plan *plan);

/* Look at n pointers to texts that the core cannot read, equal ones having equal texts. Gives 1 if few are distinct: then
 * sm_argsort_rank(plan, texts) must be given their texts, as sm_few_rank_texts() takes them, before anything else but
 * sm_argsort_free(). Gives 0, with nothing held, if they are too many, and else as sm_argsort_look(). */
int sm_argsort_look_pointers(const void *const *pointers, int64_t n, bool decreasing, int np, sm_stop *stop, sm_argsort_plan *plan);
void sm_argsort_rank(sm_argsort_plan *plan, const char *const *texts);

/* True if the permutation is 1, 2, ..., n. */
bool sm_argsort_is_identity(const sm_argsort_plan *plan);

/* Write the places: those of missing values after the others, or before them, or (drop) not at all. `out` has
 * n elements, or n - stats.missing. Gives 0, -ENOMEM, or the stop's code, and then out is unspecified. */
typedef enum { SM_MISSING_LAST, SM_MISSING_FIRST, SM_MISSING_DROP } sm_missing;
int sm_argsort_run(const sm_argsort_plan *plan, sm_missing missing, sm_place_type type, void *out, sm_stop *stop);

void sm_argsort_free(sm_argsort_plan *plan);

#endif
