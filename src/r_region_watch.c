/* r_region_watch.c: what the owner of a region reads from its members.
 *
 * Frames wait in the external pointer's protected slot (the inbox: a pairlist, newest first) until the region is
 * collected, so that a member's warnings are never raised in the middle of the owner's own code.
 */
#include "r_region_watch.h"

#include <R.h>
#include <poll.h>

#include "r_wire_frame.h"
#include "r_util.h"

/* list(type, rank, value, loops): one frame as R sees it. */
static SEXP frame_list(const sm_frame *f, int rank, SEXP value) {
  PROTECT(value);
  SEXP out = PROTECT(Rf_allocVector(VECSXP, 4));
  SET_VECTOR_ELT(out, 0, Rf_ScalarInteger((int)f->type));
  SET_VECTOR_ELT(out, 1, Rf_ScalarInteger(rank));
  SET_VECTOR_ELT(out, 2, value);
  SET_VECTOR_ELT(out, 3, Rf_ScalarReal((double)f->first));
  UNPROTECT(2);
  return out;
}

static void read_member(r_region *r, SEXP ptr, int rank) {
  r_member *m = &r->member[rank];
  sm_frame f;
  int rc = 0;
  while (!m->closed && (rc = sm_ring_peek(&m->chan.ring, &f)) == 1) {
    SEXP value = PROTECT(r_frame_read(&m->chan, &f));
    sm_ring_release(&m->chan.ring, &f);
    if (value == R_UnboundValue) {
      UNPROTECT(1);
      continue;
    }
    SEXP frame = PROTECT(frame_list(&f, rank, value));
    SEXP inbox = PROTECT(Rf_cons(frame, R_ExternalPtrProtected(ptr)));
    R_SetExternalPtrProtected(ptr, inbox);
    if (f.type != SM_FRAME_CONDITION) m->closed = true;
    UNPROTECT(3);
  }
  if (rc < 0) r_abort("sharedmem_channel_error", "the result ring of process %d is damaged: %s", rank, sm_error_text(rc));
}

void r_region_tend(r_region *r, SEXP ptr) {
  for (int i = 1; i < r->nproc; i++) {
    r_member *m = &r->member[i];
    if (m->closed) continue;
    bool dead = sm_proc_poll(&m->proc);
    read_member(r, ptr, i);
    if (dead && !atomic_load(&r->shm[i].done)) {
      m->closed = true;
      r_region_fail(r, i);
    }
  }
}

void r_region_unwind(r_region *r) {
  if (r->pid != r->owner) r_region_exit();
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
  if (r->pid == r->owner && r_region_due(r)) r_region_tick(r, ptr);
  if (atomic_load_explicit(&r->ctl->failed, memory_order_relaxed)) r_region_unwind(r);
}

/* Is there nothing more to wait for? */
static bool settled(const r_region *r) {
  uint32_t failed = atomic_load(&r->ctl->failed);
  if (failed) return failed == 1 || r->member[failed - 1].closed;
  for (int i = 1; i < r->nproc; i++)
    if (!r->member[i].closed) return false;
  return true;
}

static bool anything_waits(r_region *r) {
  sm_frame f;
  for (int i = 1; i < r->nproc; i++)
    if (!r->member[i].closed && sm_ring_peek(&r->member[i].chan.ring, &f) != 0) return true;
  return false;
}

static void sleep_in_poll(r_region *r, struct pollfd *polls) {
  nfds_t n = 0;
  for (int i = 1; i < r->nproc; i++) {
    r_member *m = &r->member[i];
    if (m->closed) continue;
    if (!m->chan.eof) polls[n++] = (struct pollfd){m->proc.sock, POLLIN, 0};
    if (m->proc.pidfd >= 0) polls[n++] = (struct pollfd){m->proc.pidfd, POLLIN, 0};
  }
  atomic_store(&r->ctl->sleeping, 1);
  if (!anything_waits(r) && !settled(r)) poll(polls, n, SM_SLICE_MS);
  atomic_store(&r->ctl->sleeping, 0);
  for (int i = 1; i < r->nproc; i++)
    if (!r->member[i].closed) r_channel_drain_socket(&r->member[i].chan);
}

/* Wait until every member has published its last frame, or the region has failed and what is to be known of it is
 * known. Gives list(failed, status, frames): the rank that failed or NA, its wait status where it died, and the
 * frames in the order of their arrival. */
SEXP ffi_region_collect(SEXP ptr) {
  r_region *r = r_region_get(ptr, "collect");
  struct pollfd *polls = (struct pollfd *)R_alloc((size_t)r->nproc * 2, sizeof *polls);
  for (;;) {
    r_region_tend(r, ptr);
    if (settled(r)) break;
    sleep_in_poll(r, polls);
    R_CheckUserInterrupt();
  }
  uint32_t failed = atomic_load(&r->ctl->failed);
  SEXP out = PROTECT(Rf_allocVector(VECSXP, 3));
  SET_VECTOR_ELT(out, 0, Rf_ScalarInteger(failed ? (int)failed - 1 : NA_INTEGER));
  SET_VECTOR_ELT(out, 1, Rf_ScalarInteger(failed > 1 ? r->member[failed - 1].proc.status : NA_INTEGER));
  SEXP inbox = PROTECT(R_ExternalPtrProtected(ptr));
  R_xlen_t n = Rf_xlength(inbox);
  SEXP frames = Rf_allocVector(VECSXP, n);
  SET_VECTOR_ELT(out, 2, frames);
  for (SEXP p = inbox; p != R_NilValue; p = CDR(p)) SET_VECTOR_ELT(frames, --n, CAR(p));
  UNPROTECT(2);
  return out;
}
