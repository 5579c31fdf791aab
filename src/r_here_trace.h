/* r_here_trace.h: a map's trace as the glue sees it.
 *
 * A process records for at most one map at a time (`r_trace_target`, `r_trace_rank`): a worker for the map that it works for, the session
 * for a map that runs in it. r_trace_begin() gives 0 wherever there is nothing to record, and r_trace_end() does nothing for 0, so
 * callers need not ask.
 */
#ifndef R_HERE_TRACE_H
#define R_HERE_TRACE_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "task_trace.h"

extern sm_trace_shm *r_trace_target;
extern int r_trace_rank;

/* The clock, or 0 unless this process records for the block t. */
static inline uint64_t r_trace_begin(const sm_trace_shm *t) { return t && t == r_trace_target ? sm_clock_ns() : 0; }

/* Record what began at t0_ns; gives the clock. Nothing, and 0, where t0_ns is 0. */
static inline uint64_t r_trace_end(uint32_t kind, int64_t item, uint64_t t0_ns) {
  if (!t0_ns) return 0;
  uint64_t now = sm_clock_ns();
  sm_trace_record(r_trace_target, r_trace_rank, kind, item, t0_ns, now);
  return now;
}

/* Let this process record for `rank` in t from now on; t NULL: for no map. Evaluates R, because collections are recorded too. */
void r_trace_attach(sm_trace_shm *t, int rank);

/* Report private memory and processor time of this worker, which is about to end. */
void r_trace_leave(void);

#endif
