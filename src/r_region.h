/* r_region.h: a parallel region: its shared memory, its member processes, and this process's place in it.
 *
 * Shared memory (MAP_SHARED, inherited by the fork, no descriptor), each part on its own cache line:
 *   r_region_shm | schedule | r_member_shm[nproc] | rings of ranks 1 ... nproc - 1
 * Rank 0 is the process that made the region (`owner`): it alone spawns, reads rings, kills, reaps and frees. The
 * others have the same struct by inheritance; `pid` is the process whose place the struct describes.
 *
 * States of a member as the owner sees it: RUNNING -> DONE (it has published its last frame: results, error
 * or quit) or DEAD (it ended without one, which fails the region).
 * Failure: `failed` is set once, by the first to fail or by the owner for a dead member. Every wait looks at it. A
 * member that sees it ends; in the owner the R code of the region is left through its restart.
 */
#ifndef R_REGION_H
#define R_REGION_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "proc_worker.h"
#include "r_wire_channel.h"
#include "r_team.h"
#include "sync_barrier.h"
#include "sync_lock.h"
#include "task_schedule.h"

typedef struct {
  _Atomic uint32_t failed;   /* 0, or 1 + the rank that failed first */
  _Atomic uint32_t sleeping; /* the owner sleeps in poll */
  uint8_t line[SM_CACHELINE - 8];
  sm_barrier_shm barrier;
  sm_lock_shm critical;
} r_region_shm;

typedef struct {
  _Atomic uint32_t done; /* the last frame is published */
  uint8_t line[SM_CACHELINE - 4];
} r_member_shm;

typedef struct {
  sm_proc proc;
  r_channel chan;
  bool closed; /* owner: the last frame has been read, or there will be none */
} r_member;

typedef struct {
  uint32_t magic;
  pid_t owner, pid, parent;
  int nproc, rank;
  int id; /* names the restart that leaves the region in the owner */
  void *mem;
  size_t nbytes;
  r_region_shm *ctl;
  r_member_shm *shm; /* nproc */
  r_member *member;  /* nproc; [0] is not used */
  sm_schedule schedule;
  sm_watch watch;     /* what a wait of this process looks at */
  uint64_t ticked_ns; /* owner: when it last looked after the members */
  bool in_critical, in_loop, in_ordered;
  int64_t item, through; /* ordered loops: the item at hand, the last that was in its section; -1 for none */
  r_team team;           /* its place among those of this process that may have members */
} r_region;

/* The region behind its external pointer, in a process that is of it. Raises sharedmem_region_error. */
r_region *r_region_get(SEXP ptr, const char *what);

/* Set the failure flag, if nobody has, and wake everybody. True where this call set it. */
bool r_region_fail(r_region *r, int rank);

/* This process's place in the region: right after it was made, or in a member right after the fork. */
void r_region_take_place(r_region *r, int rank);

/* In the owner: is it time to look after the members? */
bool r_region_due(const r_region *r);

/* A member ends, without running R's exit path. */
void r_region_exit(void);

/* Kill, reap, close. Idempotent, never raises, only in the owner. */
void r_region_end(r_region *r);

#endif
