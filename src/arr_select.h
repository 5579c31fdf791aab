/* arr_select.h: elements of an array, selected by a plan, read into or written from plain memory. */
#ifndef ARR_SELECT_H
#define ARR_SELECT_H

#include "arr_convert.h"
#include "arr_index.h"

/* n items of itemsize bytes: base[pos[k]] to dst, SM_POS_NA giving zero bytes. */
void sm_gather(const void *base, size_t itemsize, const int64_t *pos, int64_t n, void *dst);

/* src to base[pos[k]]; SM_POS_NA is passed over. */
void sm_scatter(void *base, size_t itemsize, const int64_t *pos, int64_t n, const void *src);

/* One item, n times: in a row, or to base[pos[k]]. */
void sm_fill(void *dst, size_t itemsize, int64_t n, const void *item);
void sm_scatter_fill(void *base, size_t itemsize, const int64_t *pos, int64_t n, const void *item);

/* All of the plan's elements as R values of type t (not SM_R_STR) at dst. */
void sm_select_read(sm_dtype d, const void *data, sm_plan *p, sm_rtype t, void *dst);

/* Where the values of an assignment come from: n of them, recycled. Values from .. from + count - 1
 * (count <= SM_BLOCK) as items of the dtype are written to out by `stage`; `items` is set where they lie in memory
 * as such already. */
typedef struct {
  int64_t n;
  const uint8_t *items;
  void (*stage)(const void *ctx, int64_t from, int64_t count, void *out);
  const void *ctx;
} sm_source;

/* Write to all of the plan's elements. scratch: SM_BLOCK * itemsize bytes (used where items is NULL). */
void sm_select_write(sm_dtype d, void *data, sm_plan *p, const sm_source *src, void *scratch);

#endif
