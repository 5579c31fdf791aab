/* kern_cell.h: sort one bucket of packed codes in cache and write the places of its elements.
 *
 * A packed word is code << index_bits | index, so that plain order of words is order by code and, within
 * one code, by place: the sort is stable whatever moves the words.
 */
#ifndef KERN_CELL_H
#define KERN_CELL_H

#include "kern_keys.h"

typedef enum { SM_PLACE_I4, SM_PLACE_I8, SM_PLACE_F8 } sm_place_type;

typedef struct {
  const sm_keys *keys;
  sm_stop *stop;
  int rank;
  int index_bits;
  sm_place_type type;
  void *out; /* 1-based places of the sorted elements */
} sm_cell_job;

/* Write m places, the indices of the packed words v + 1, to out[pos], out[pos + 1], ... */
void sm_cell_emit(const sm_cell_job *j, const uint64_t *v, int64_t m, int64_t pos);

/* Sort a[0, m), words whose codes are below 2^code_bits, and write their places from pos on. b is scratch
 * of the same length; both are overwritten. exact: equal codes are equal elements; else ties are
 * resolved by the elements themselves. Stops early, with out incomplete, when the job's stop is due. */
void sm_cell_sort(const sm_cell_job *j, uint64_t *a, uint64_t *b, int64_t m, int code_bits, bool exact, int64_t pos);

#endif
