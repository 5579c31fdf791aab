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

#include "mem_heap.h"
#include "mem_segment.h"
#include "r_map.h"
#include "r_util.h"

#define REGION_MAGIC 0x534D5247u
#define RING_CAPACITY (UINT64_C(1) << 16)
#define TICK_NS (SM_SLICE_MS * UINT64_C(500000))

static r_region *regions = NULL;
static r_region *member_of = NULL; /* the region that this process was forked for */

/* ---- making ---- */

static void region_free(r_region *r) {
  r_region_end(r);
  for (r_region **p = &regions; *p; p = &(*p)->next)
    if (*p == r) {
      *p = r->next;
      break;
    }
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
static int owner_check(void *arg) { return sm_clock_ns() - ((r_region *)arg)->ticked_ns > TICK_NS; }

static int member_check(void *arg) {
  if (sm_proc_orphaned(((r_region *)arg)->parent)) sm_proc_end_self();
  return 0;
}

static void take_place(r_region *r, int rank) {
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

SEXP ffi_region_new(SEXP nproc, SEXP id) {
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(ptr, region_finalize, FALSE);
  r_region *r = calloc(1, sizeof *r);
  if (!r) r_abort("sharedmem_memory_error", "cannot allocate a region");
  r->magic = REGION_MAGIC;
  r->owner = sm_pid();
  r->next = regions;
  regions = r;
  R_SetExternalPtrAddr(ptr, r);
  r->nproc = Rf_asInteger(nproc);
  r->id = Rf_asInteger(id);
  r->member = calloc((size_t)r->nproc, sizeof *r->member);
  int rc = r->member ? lay_out(r) : -ENOMEM;
  if (rc < 0) r_abort("sharedmem_memory_error", "cannot map %.0f bytes for a region: %s", (double)r->nbytes, sm_error_text(rc));
  take_place(r, 0);
  UNPROTECT(1);
  return ptr;
}

/* ---- members ---- */

void r_region_forget_all(void) {
  for (r_region *r = regions; r; r = r->next)
    for (int i = 1; i < r->nproc; i++) {
      sm_proc_forget(&r->member[i].proc);
      r_channel_close(&r->member[i].chan);
    }
}

static void end_member(void) {
  fflush(NULL);
  sm_proc_end_self();
}

static void send_last(r_region *r, uint32_t type, SEXP value) {
  sm_watch watch = {NULL, member_check, r};
  r_frame_send(&r->member[r->rank].chan, type, value, r->schedule.met, 0, &watch);
  atomic_store(&r->shm[r->rank].done, 1);
}

/* onexit = TRUE: the one hook that runs when R is about to leave. */
static void exit_finalizer(SEXP x) {
  (void)x;
  if (!member_of || member_of->pid != sm_pid()) return;
  if (r_region_fail(member_of, member_of->rank)) send_last(member_of, SM_FRAME_QUIT, R_NilValue);
  end_member();
}

SEXP ffi_region_guard_exit(void) {
  SEXP x = PROTECT(R_MakeExternalPtr(&member_of, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(x, exit_finalizer, TRUE);
  UNPROTECT(1);
  return x;
}

static void eval_call(void *call) { Rf_eval((SEXP)call, R_GlobalEnv); }

/* Does not return. */
static void run_member(r_region *r, int rank, SEXP main, SEXP jumped) {
  take_place(r, rank);
  member_of = r;
  SEXP arg = PROTECT(Rf_ScalarInteger(rank));
  SEXP call = PROTECT(Rf_lang2(main, arg)), last = PROTECT(Rf_lang1(jumped));
  if (!R_ToplevelExec(eval_call, call)) R_ToplevelExec(eval_call, last);
  end_member();
}

/* Fork ranks 1, 2, …: each evaluates main(rank), or jumped() after a jump to top level, and ends. */
SEXP ffi_region_spawn(SEXP ptr, SEXP main, SEXP jumped) {
  r_region *r = r_region_get(ptr, "spawn");
  fflush(NULL);
  size_t reserve = sm_heap_prepare(r->nproc);
  for (int i = 1; i < r->nproc; i++) {
    int sock = -1;
    int rc = sm_proc_spawn(&r->member[i].proc, &sock);
    if (rc == 1) {
      sm_heap_reserve(reserve);
      r_map_forget_all(NULL, -1); /* and all regions */
      r->member[i].chan.sock = sock;
      run_member(r, i, main, jumped);
    }
    if (rc < 0) {
      r_region_end(r);
      r_abort("sharedmem_fork_error", "cannot start process %d of %d: %s", i, r->nproc, sm_error_text(rc));
    }
    r->member[i].chan.sock = r->member[i].proc.sock;
  }
  r->ticked_ns = sm_clock_ns();
  return R_NilValue;
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

void r_region_unwind(r_region *r) {
  if (r->pid != r->owner) end_member();
  SEXP name = PROTECT(Rf_mkString("sharedmem"));
  SEXP ns = PROTECT(R_FindNamespace(name)), id = PROTECT(Rf_ScalarInteger(r->id));
  SEXP call = PROTECT(Rf_lang2(Rf_install("region_unwind"), id));
  Rf_eval(call, ns);
  r_abort("sharedmem_region_error", "the region has failed"); /* not reached: region_unwind() jumps */
}

void r_region_tick(r_region *r, SEXP ptr) {
  if (r->pid != r->owner) return;
  r->ticked_ns = sm_clock_ns();
  r_region_tend(r, ptr);
  R_CheckUserInterrupt();
}

void r_region_look(r_region *r, SEXP ptr) {
  if (r->pid == r->owner && owner_check(r)) r_region_tick(r, ptr);
  if (atomic_load_explicit(&r->ctl->failed, memory_order_relaxed)) r_region_unwind(r);
}

/* ---- the end ---- */

/* Publish a frame. last: nothing follows it. */
SEXP ffi_region_send(SEXP ptr, SEXP type, SEXP value, SEXP last) {
  r_region *r = r_region_get(ptr, "send");
  if (Rf_asLogical(last) == TRUE) {
    send_last(r, (uint32_t)Rf_asInteger(type), value);
  } else {
    sm_watch watch = {NULL, member_check, r};
    r_frame_send(&r->member[r->rank].chan, (uint32_t)Rf_asInteger(type), value, 0, 0, &watch);
  }
  return R_NilValue;
}

/* This process comes to no barrier and no loop any more. Gives the number of loops it has met. */
SEXP ffi_region_leave(SEXP ptr) {
  r_region *r = r_region_get(ptr, "leave");
  sm_schedule_leave(&r->schedule);
  sm_barrier_leave(&r->ctl->barrier);
  return Rf_ScalarReal(r->schedule.met);
}

/* A member ends, without running R's exit path. */
SEXP ffi_region_exit(SEXP ptr) {
  r_region *r = r_region_get(ptr, "exit");
  if (r->pid != r->owner) end_member();
  return R_NilValue;
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
