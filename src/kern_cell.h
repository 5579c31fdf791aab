/* kern_cell.h: sort one bucket of packed codes in cache and write the places of its elements.
 *
 * A packed word is code << index_bits | index, so that plain order of words is order by code and, within
 * one code, by place: the sort is stable whatever moves the words.
 */
#ifndef KERN_CELL_H
#define KERN_CELL_H

#include "kern_keys.h"

/* Where places go: 1-based positions, as numbers of one type. */
typedef enum { SM_PLACE_I4, SM_PLACE_I8, SM_PLACE_F8 } sm_place_type;
typedef struct {
  sm_place_type type;
  void *at;
} sm_places;

typedef struct {
  const sm_keys *keys;
  sm_stop *stop;
  int rank;
  int index_bits;
  int code_bits; /* codes are below 2^code_bits */
  bool exact;    /* equal codes are equal elements; else ties are resolved by the elements themselves */
  sm_places out; /* of the sorted elements */
} sm_cell_job;

/* Write m places, the indices of the packed words v + 1, to out[pos], out[pos + 1], ... */
void sm_cell_emit(const sm_cell_job *j, const uint64_t *v, int64_t m, int64_t pos);

/* Sort the packed words a[0, m), whose indices are those of elements, and write their places from pos on. b is scratch of the
 * same length; both are overwritten. Stops early, with out incomplete, when the job's stop is due. Elements that change
 * meanwhile change the order, never which m places are written where. */
void sm_cell_sort(const sm_cell_job *j, uint64_t *a, uint64_t *b, int64_t m, int64_t pos);

#endif
