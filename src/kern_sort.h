/* kern_sort.h: argsort, the stable permutation that sorts.
 *
 * Memory: besides `out`, at most 16 bytes an element (24 for strings) and 64 KiB a thread.
 */
#ifndef KERN_SORT_H
#define KERN_SORT_H

#include "kern_cell.h"

/* What sm_argsort_plan() finds out; the caller then knows how long the result is. */
typedef struct {
  sm_keys keys;
  sm_keys_stats stats;
  int np;
  uint64_t *codes;     /* strings: a code an element; scratch of 8 n bytes, freed by sm_argsort_free() */
  sm_keys_map map;     /* strings: what codes mean */
} sm_argsort_plan;

/* Look at the data. On failure nothing is held; else sm_argsort_free() must follow. */
int sm_argsort_look(const sm_keys *keys, int np, sm_stop *stop, sm_argsort_plan *plan);

/* True if the permutation is 1, 2, ..., n. */
bool sm_argsort_is_identity(const sm_argsort_plan *plan);

/* Write the places: those of missing values after the others, or before them, or (drop) not at all. `out` has
 * n elements, or n - stats.missing. Gives 0, -ENOMEM, or the stop's code, and then out is unspecified. */
typedef enum { SM_MISSING_LAST, SM_MISSING_FIRST, SM_MISSING_DROP } sm_missing;
int sm_argsort_run(const sm_argsort_plan *plan, sm_missing missing, sm_place_type type, void *out, sm_stop *stop);

void sm_argsort_free(sm_argsort_plan *plan);

#endif
