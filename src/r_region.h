/* r_region.h: a parallel region: its shared memory, its team, and this process's place in it.
 *
 * Shared memory (MAP_SHARED, inherited by the fork), each part on its own cache line:
 *   r_region_shm | schedule | desks of the template | rings of ranks 0 ... nproc - 1 (the first desk and ring are not used)
 * Rank 0 is the process that made the region (`owner`): it alone spawns, reads rings, kills, reaps and frees. The
 * others have the same struct by inheritance; `pid` is the process whose place the struct describes. In a served region (r_server.h) a
 * process that the owner has not forked, the team's template, forks them; the memory then is a segment, and lies elsewhere in them.
 *
 * Failure: the team's `failed` is set once, by the first to fail or for a member that ended without closing its ring. Every wait
 * looks at it. A member that sees it ends; in the owner the R code of the region is left through its restart, also while it
 * computes: a thread (proc_watch.h) sends it SIGINT, and the handler of the braces in R/parallel-region.R tells that from Ctrl-C.
 */
#ifndef R_REGION_H
#define R_REGION_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "proc_watch.h"
#include "r_team.h"
#include "sync_barrier.h"
#include "sync_lock.h"
#include "task_schedule.h"

typedef struct {
  r_team_shm team;
  sm_barrier_shm barrier;
  sm_lock_shm critical;
} r_region_shm;

typedef struct {
  uint32_t magic;
  pid_t owner, pid, parent;
  int nproc, rank;
  int id; /* names the restart that leaves the region in the owner */
  void *mem;
  size_t nbytes;
  size_t reserve; /* address space for each member's heap */
  r_region_shm *ctl;
  r_team team;
  sm_sentinel *sentinel; /* owner: what watches while it computes */
  sm_schedule schedule;
  sm_watch watch;     /* what a wait of this process looks at */
  uint64_t ticked_ns; /* owner: when it last looked after the members */
  bool in_critical, in_loop, in_ordered;
  int64_t item, through; /* ordered loops: the item at hand, the last that was in its section; -1 for none */
} r_region;

/* The region behind its external pointer, in a process that is of it. Raises sharedmem_region_error. */
r_region *r_region_get(SEXP ptr, const char *what);

/* Set the failure flag, if nobody has, and wake everybody. True where it is `rank` that failed first, also where that is said again. */
bool r_region_fail(r_region *r, int rank);

/* What a member does right after its fork. Does not return. */
void r_region_run(void *region, int rank, SEXP main, SEXP jumped);

/* This process's place in the region: right after it was made, or in a member right after the fork. */
void r_region_take_place(r_region *r, int rank);

/* In the owner: is it time to look after the members? */
bool r_region_due(const r_region *r);

/* Owner: it looks after the members itself from now on. No SIGINT of the sentinel is pending afterwards. */
void r_region_stop_sentinel(r_region *r);

/* Kill, reap, close. Idempotent, never raises, only in the owner. */
void r_region_end(r_region *r);

#endif
