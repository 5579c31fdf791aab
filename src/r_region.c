/* r_region.c: making, spawning, tending and ending a region; see r_region.h.
 *
 * Ownership: the external pointer with its finalizer stands before anything is acquired. The
 * finalizer does nothing in any process but the owner.
 */
#include "r_region.h"

#include <R.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem_segment.h"
#include "r_team_template.h"
#include "r_util.h"

#define REGION_MAGIC 0x534D5247u
#define RING_CAPACITY (UINT64_C(1) << 16)
#define TICK_NS (SM_SLICE_MS * UINT64_C(500000))

/* ---- making ---- */

static void region_free(r_region *r) {
  r_region_end(r);
  r_team_close(&r->team);
  if (r->team.seg) sm_segment_unref(r->team.seg);
  else if (r->mem) sm_anon_unmap(r->mem, r->nbytes);
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

void r_region_take_place(r_region *r, int rank) {
  r->pid = sm_pid();
  r->rank = rank;
  r->item = r->through = -1;
  r->ticked_ns = sm_clock_ns();
  r->watch = (sm_watch){&r->ctl->team.failed, rank > 0 ? r_team_orphans.check : owner_check, r};
  sm_schedule_open(&r->schedule, r->schedule.shm, rank);
}

/* Find the parts of a region in its memory: in a segment where there is `fd` (that of another process's region, to which it belongs
 * then) or where it is served. */
static int lay_out(r_region *r, bool served, int fd) {
  size_t ctl = r_team_align(sizeof *r->ctl), schedule = r_team_align(sm_schedule_nbytes(r->nproc));
  size_t desks = r_team_align(sizeof(r_desk_shm) * (size_t)r->nproc);
  r->nbytes = ctl + schedule + desks + r_team_rings_nbytes(r->nproc, RING_CAPACITY);
  int rc = fd >= 0  ? sm_segment_adopt(fd, &r->team.seg)
           : served ? sm_segment_new(r->nbytes, &r->team.seg)
                    : sm_anon_map(r->nbytes, &r->mem);
  if (rc < 0) return rc;
  if (r->team.seg && r->team.seg->nbytes < r->nbytes) return SM_EFORMAT;
  uint8_t *p = r->team.seg ? r->team.seg->payload : r->mem;
  r->ctl = (r_region_shm *)p;
  r->schedule.shm = (sm_schedule_shm *)(p + ctl);
  r->team.desks = (r_desk_shm *)(p + ctl + schedule);
  r_team_set_rings(&r->team, p + ctl + schedule + desks, RING_CAPACITY, &r->ctl->team);
  r->mem = p;
  if (fd >= 0) return 0;
  sm_schedule_init(r->schedule.shm, r->nproc);
  sm_barrier_init(&r->ctl->barrier, r->nproc, sysconf(_SC_NPROCESSORS_ONLN) >= r->nproc);
  return sm_lock_init(&r->ctl->critical);
}

/* A region, whose owner is this process or another one; see lay_out(). */
static SEXP make(int nproc, int id, bool served, int fd, pid_t owner) {
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(ptr, region_finalize, FALSE);
  r_region *r = calloc(1, sizeof *r);
  if (!r) r_abort("sharedmem_memory_error", "cannot allocate a region");
  r->magic = REGION_MAGIC;
  r->owner = owner;
  R_SetExternalPtrAddr(ptr, r);
  r->nproc = nproc;
  r->id = id;
  r->team.run = r_region_run;
  int rc = r_team_open(&r->team, r, r->nproc, R_OUTPUT_SPOOL);
  r->team.owner = owner;
  if (rc == 0) rc = lay_out(r, served, fd);
  if (rc < 0) r_abort("sharedmem_memory_error", "cannot map %.0f bytes for a region: %s", (double)r->nbytes, sm_error_text(rc));
  if (owner == sm_pid()) r_region_take_place(r, 0);
  UNPROTECT(1);
  return ptr;
}

/* served: its members are to be no forks of this process. */
SEXP ffi_region_new(SEXP nproc, SEXP id, SEXP served) {
  return make(Rf_asInteger(nproc), Rf_asInteger(id), Rf_asLogical(served) == TRUE, -1, sm_pid());
}

/* In the process that is to be its template: the region of process `owner`, whose memory is behind a descriptor. */
SEXP ffi_region_join(SEXP nproc, SEXP fd, SEXP owner) {
  return make(Rf_asInteger(nproc), 0, true, Rf_asInteger(fd), (pid_t)Rf_asInteger(owner));
}

/* ---- failure ---- */

bool r_region_fail(r_region *r, int rank) {
  uint32_t none = 0;
  atomic_compare_exchange_strong(&r->ctl->team.failed, &none, (uint32_t)rank + 1);
  sm_barrier_wake_all(&r->ctl->barrier);
  sm_schedule_wake_all(r->schedule.shm);
  return atomic_load(&r->ctl->team.failed) == (uint32_t)rank + 1;
}

/* A handler that runs on a full stack may fail itself, so one process may say it twice. */
SEXP ffi_region_fail(SEXP ptr) {
  r_region *r = r_region_get(ptr, "fail");
  r_region_stop_sentinel(r);
  return Rf_ScalarLogical(r_region_fail(r, r->rank));
}

void r_region_stop_sentinel(r_region *r) {
  if (r->pid != r->owner) return;
  bool told = sm_watch_stop(r->sentinel);
  r->sentinel = NULL;
  if (told) r_interrupt_pending(NULL); /* its SIGINT, if that has not been taken for what it is yet, goes no further */
}

void r_region_end(r_region *r) {
  if (r->owner != sm_pid() || !r->mem) return;
  r_region_stop_sentinel(r);
  uint32_t none = 0;
  if (r_team_running(&r->team) > 0) atomic_compare_exchange_strong(&r->ctl->team.failed, &none, 1);
  r_template_end(&r->team);
  r_team_end(&r->team);
}

/* ptr: a region, also one that has ended, or NULL. */
SEXP ffi_region_end(SEXP ptr) {
  r_region *r = TYPEOF(ptr) == EXTPTRSXP ? R_ExternalPtrAddr(ptr) : NULL;
  if (r && r->owner == sm_pid()) {
    r_region_stop_sentinel(r);
    if (r->team.member) r_team_relay_output(&r->team, true);
    R_ClearExternalPtr(ptr);
    region_free(r);
  }
  return R_NilValue;
}

SEXP ffi_region_pids(SEXP ptr) {
  r_region *r = r_region_get(ptr, "pids");
  SEXP out = PROTECT(Rf_allocVector(INTSXP, r->nproc));
  INTEGER(out)[0] = (int)r->owner;
  for (int i = 1; i < r->nproc; i++) INTEGER(out)[i] = (int)r->team.member[i].proc.pid;
  UNPROTECT(1);
  return out;
}
