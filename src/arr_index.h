/* arr_index.h: which elements of an array an index selects, as a stream of positions.
 *
 * sm_axis    one index vector against one extent: a range, a list, a logical vector or a complement
 * sm_plan    one axis an extent (or a single axis over all elements), walked in column-major order
 * sm_span    what the walk gives: a run of consecutive elements, or a block of at most SM_BLOCK positions
 *
 * Index vectors are read through a callback in blocks, and read again at each pass; nothing as long as the
 * index is ever built. A complement needs one bit an element of its extent.
 * Positions are 0-based; SM_POS_NA stands for NA.
 */
#ifndef ARR_INDEX_H
#define ARR_INDEX_H

#include "sm_base.h"

#define SM_BLOCK 1024
#define SM_POS_NA (-1)
#define SM_INDEX_NA INT64_MIN /* NA among 1-based index values */
#define SM_MAX_DIM 64

/* Writes index values from .. from + n - 1 (n <= SM_BLOCK) to out: 1-based, negative or 0 as in R, or
 * SM_INDEX_NA. For a logical index: 0, 1 or SM_INDEX_NA. */
typedef void (*sm_index_fetch)(const void *src, int64_t from, int64_t n, int64_t *out);

typedef enum { SM_AXIS_RANGE = 1, SM_AXIS_LIST, SM_AXIS_LOGICAL, SM_AXIS_EXCEPT } sm_axis_kind;

typedef struct {
  sm_axis_kind kind;
  int64_t extent;
  int64_t n; /* elements selected */
  bool has_na;
  int64_t start, step;  /* range: first position and difference */
  sm_index_fetch fetch; /* list, logical */
  const void *src;
  int64_t srclen;
  const uint8_t *bits; /* except: a bit for each position that is left out */
} sm_axis;

typedef struct {
  int64_t at;    /* position in the index vector where the fault stands, 0-based */
  int64_t value; /* the index value there, 1-based */
} sm_index_fault;

void sm_axis_range(sm_axis *a, int64_t extent, int64_t start, int64_t step, int64_t n);

/* Take a numeric index of srclen values: counts, checks, and finds out whether it is a range.
 * 0; 1 if it is a complement: sm_axis_except() has to follow; SM_ERANGE out of bounds; SM_EMISUSE negative mixed
 * with positive or NA. */
int sm_axis_numeric(sm_axis *a, int64_t extent, sm_index_fetch fetch, const void *src, int64_t srclen, sm_index_fault *fault);

/* Complete a complement. bits: (extent + 7) / 8 bytes of the caller's, all 0, that outlive the axis. */
void sm_axis_except(sm_axis *a, uint8_t *bits);

/* Take a logical index, recycled to the extent. SM_ERANGE if one past the extent is TRUE or NA. */
int sm_axis_logical(sm_axis *a, int64_t extent, sm_index_fetch fetch, const void *src, int64_t srclen, sm_index_fault *fault);

typedef struct {
  int64_t at;
} sm_cursor;

/* Up to cap <= SM_BLOCK further positions; 0 at the end. A cursor starts as {0}. */
int64_t sm_axis_next(const sm_axis *a, sm_cursor *c, int64_t *out, int64_t cap);

typedef struct {
  sm_axis axis;
  int64_t stride;
  sm_cursor cursor;
  bool whole; /* buf holds all of the axis */
  int64_t have, at;
  int64_t *buf; /* SM_BLOCK positions */
} sm_plan_axis;

typedef struct {
  int naxis;
  int64_t n; /* elements selected in all */
  bool has_na;
  bool done;
  int64_t base; /* offset of the axes that select one element each */
  sm_plan_axis axis[SM_MAX_DIM];
  int64_t out[SM_BLOCK];
} sm_plan;

typedef struct {
  int64_t n;          /* 0 at the end */
  int64_t start;      /* first position of a run */
  const int64_t *pos; /* NULL for a run */
} sm_span;

/* Bytes of buffer that a plan over naxis axes needs. */
size_t sm_plan_buffer(int naxis);

/* axes[k] over extents as they stand in the axes; buffer of sm_plan_buffer(naxis) bytes outlives the plan. */
void sm_plan_init(sm_plan *p, const sm_axis *axes, int naxis, void *buffer);

/* Back to the start. */
void sm_plan_rewind(sm_plan *p);

/* The next stretch, in order. */
sm_span sm_plan_next(sm_plan *p);

#endif
