/* r_region.c: making, spawning, tending and ending a region; see r_region.h.
 *
 * Ownership: the external pointer with its finalizer stands before anything is acquired. The
 * finalizer does nothing in any process but the owner.
 * Errors: a member runs under R_ToplevelExec() and ends by itself, so nothing of it ever gets back to top level.
 */
#include "r_region.h"

#include <R.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem_segment.h"
#include "r_util.h"

#define REGION_MAGIC 0x534D5247u
#define RING_CAPACITY (UINT64_C(1) << 16)
#define TICK_NS (SM_SLICE_MS * UINT64_C(500000))

/* ---- making ---- */

static void region_free(r_region *r) {
  r_region_end(r);
  r_team_remove(&r->team);
  if (r->mem) sm_anon_unmap(r->mem, r->nbytes);
  free(r->member);
  r->magic = 0;
  free(r);
}

static void region_finalize(SEXP ptr) {
  r_region *r = R_ExternalPtrAddr(ptr);
  if (!r || r->owner != sm_pid()) return;
  R_ClearExternalPtr(ptr);
  region_free(r);
}

r_region *r_region_get(SEXP ptr, const char *what) {
  r_region *r = TYPEOF(ptr) == EXTPTRSXP ? R_ExternalPtrAddr(ptr) : NULL;
  if (!r || r->magic != REGION_MAGIC)
    r_abort("sharedmem_region_error", "%s is used outside of a region: it works only inside with(p, { ... })", what);
  if (r->pid != sm_pid()) r_abort("sharedmem_region_error", "%s is used in a process that is not one of the region's", what);
  return r;
}

/* What a wait of the owner looks at: time to tend the members. */
bool r_region_due(const r_region *r) { return sm_clock_ns() - r->ticked_ns > TICK_NS; }

static int owner_check(void *arg) { return r_region_due(arg); }

static int member_check(void *arg) {
  if (sm_proc_orphaned(((r_region *)arg)->parent)) sm_proc_end_self();
  return 0;
}

void r_region_take_place(r_region *r, int rank) {
  r->pid = sm_pid();
  r->parent = getppid();
  r->rank = rank;
  r->item = r->through = -1;
  r->ticked_ns = sm_clock_ns();
  r->watch = (sm_watch){&r->ctl->failed, rank == 0 ? owner_check : member_check, r};
  sm_schedule_open(&r->schedule, r->schedule.shm, rank);
}

static size_t align_line(size_t n) { return (n + SM_CACHELINE - 1) / SM_CACHELINE * SM_CACHELINE; }

static int lay_out(r_region *r) {
  size_t ctl = align_line(sizeof *r->ctl), schedule = align_line(sm_schedule_nbytes(r->nproc));
  size_t members = (size_t)r->nproc * sizeof *r->shm, ring = align_line(sm_ring_nbytes(RING_CAPACITY));
  r->nbytes = ctl + schedule + members + ring * (size_t)(r->nproc - 1);
  int rc = sm_anon_map(r->nbytes, &r->mem);
  if (rc < 0) return rc;
  uint8_t *p = r->mem;
  r->ctl = (r_region_shm *)p;
  r->schedule.shm = (sm_schedule_shm *)(p += ctl);
  r->shm = (r_member_shm *)(p += schedule);
  p += members;
  sm_schedule_init(r->schedule.shm, r->nproc);
  sm_barrier_init(&r->ctl->barrier, r->nproc, sysconf(_SC_NPROCESSORS_ONLN) >= r->nproc);
  for (int i = 1; i < r->nproc; i++) {
    sm_proc_init(&r->member[i].proc);
    r_channel_open(&r->member[i].chan, p + (size_t)(i - 1) * ring, RING_CAPACITY);
    r->member[i].chan.sleeping = &r->ctl->sleeping;
  }
  return sm_lock_init(&r->ctl->critical);
}

static void forget(r_team *t, bool mine, int keep) {
  (void)mine;
  r_region *r = (r_region *)((char *)t - offsetof(r_region, team));
  for (int i = 1; i < r->nproc; i++) {
    sm_proc_forget(&r->member[i].proc);
    if (i != keep) r_channel_close(&r->member[i].chan);
  }
}

SEXP ffi_region_new(SEXP nproc, SEXP id) {
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(ptr, region_finalize, FALSE);
  r_region *r = calloc(1, sizeof *r);
  if (!r) r_abort("sharedmem_memory_error", "cannot allocate a region");
  r->magic = REGION_MAGIC;
  r->owner = sm_pid();
  r_team_add(&r->team, forget);
  R_SetExternalPtrAddr(ptr, r);
  r->nproc = Rf_asInteger(nproc);
  r->id = Rf_asInteger(id);
  r->member = calloc((size_t)r->nproc, sizeof *r->member);
  int rc = r->member ? lay_out(r) : -ENOMEM;
  if (rc < 0) r_abort("sharedmem_memory_error", "cannot map %.0f bytes for a region: %s", (double)r->nbytes, sm_error_text(rc));
  r_region_take_place(r, 0);
  UNPROTECT(1);
  return ptr;
}

void r_region_exit(void) {
  sm_proc_flush();
  sm_proc_end_self();
}

/* ---- failure ---- */

bool r_region_fail(r_region *r, int rank) {
  uint32_t none = 0;
  bool first = atomic_compare_exchange_strong(&r->ctl->failed, &none, (uint32_t)rank + 1);
  sm_barrier_wake_all(&r->ctl->barrier);
  sm_schedule_wake_all(r->schedule.shm);
  return first;
}

/* True where this process is the first to fail. */
SEXP ffi_region_fail(SEXP ptr) {
  r_region *r = r_region_get(ptr, "fail");
  return Rf_ScalarLogical(r_region_fail(r, r->rank));
}

void r_region_end(r_region *r) {
  if (r->owner != sm_pid() || !r->mem) return;
  atomic_store(&r->ctl->failed, atomic_load(&r->ctl->failed) ? atomic_load(&r->ctl->failed) : 1);
  for (int i = 1; i < r->nproc; i++) sm_proc_kill(&r->member[i].proc);
  for (int i = 1; i < r->nproc; i++) {
    sm_proc_close(&r->member[i].proc);
    r_channel_close(&r->member[i].chan);
  }
}

/* ptr: a region, also one that has ended, or NULL. */
SEXP ffi_region_end(SEXP ptr) {
  r_region *r = TYPEOF(ptr) == EXTPTRSXP ? R_ExternalPtrAddr(ptr) : NULL;
  if (r && r->owner == sm_pid()) {
    R_ClearExternalPtr(ptr);
    region_free(r);
  }
  return R_NilValue;
}

SEXP ffi_region_pids(SEXP ptr) {
  r_region *r = r_region_get(ptr, "pids");
  SEXP out = PROTECT(Rf_allocVector(INTSXP, r->nproc));
  INTEGER(out)[0] = (int)r->owner;
  for (int i = 1; i < r->nproc; i++) INTEGER(out)[i] = (int)r->member[i].proc.pid;
  UNPROTECT(1);
  return out;
}
