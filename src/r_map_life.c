/* r_map_life.c: making, spawning and ending a map; see r_map.h.
 *
 * Ownership: the external pointer with its finalizer stands before anything is acquired. The
 * finalizer does nothing in any process but the owner.
 */
#include "r_map_life.h"

#include <R.h>
#include <errno.h>
#include <stdlib.h>

#include "mem_arena.h"
#include "mem_heap.h"
#include "r_memory.h"
#include "r_map_trace.h"
#include "r_team_template.h"
#include "r_util.h"
#include "r_map_worker.h"

#define WORKED_NS 20000000u

void r_map_end(r_map *m) {
  if (m->owner != sm_pid() || m->np == 0 || !m->mem) return;
  atomic_store(&m->ctl->team.failed, 1);
  sm_queue_stop(m->queue);
  if (m->spawned_ns > 0 && sm_clock_ns() - m->spawned_ns > WORKED_NS) sm_heap_forks_ended();
  m->spawned_ns = 0;
  r_template_end(&m->team);
  r_team_end(&m->team);
  for (int i = 0; i < m->np; i++) r_trace_lost(m, i, sm_queue_at(sm_queue_slot(m->queue, i), NULL));
}

static void map_free(r_map *m) {
  r_map_end(m);
  if (m->np > 0) {
    r_team_close(&m->team);
    sm_small_hold(-1);
  }
  r_map_unmap(m);
  r_trace_close(m);
  free(m->delivered);
  m->magic = 0;
  free(m);
}

static void map_finalize(SEXP ptr) {
  r_map *m = R_ExternalPtrAddr(ptr);
  if (!m || m->owner != sm_pid()) return;
  R_ClearExternalPtr(ptr);
  map_free(m);
}

/* np = 0 makes a map that runs in this process. names: of the items, or NULL. retries: whole number, -1 for none where reduce() does
 * not run in between, or NA where a dead worker gets no successor at all. timeout: seconds an item may take, or Inf. output: r_output_mode.
 */
SEXP ffi_map_new(SEXP np, SEXP nitems, SEXP names, SEXP retries, SEXP timeout, SEXP output) {
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(ptr, map_finalize, FALSE);
  r_map *m = calloc(1, sizeof *m);
  if (!m) r_abort("sharedmem_memory_error", "cannot allocate a map");
  m->magic = R_MAP_MAGIC;
  m->owner = sm_pid();
  R_SetExternalPtrAddr(ptr, m);
  m->nitems = (int64_t)Rf_asReal(nitems);
  m->np = Rf_asInteger(np);
  if (m->np > 0) {
    sm_small_hold(1);
    m->respawn = Rf_asInteger(retries) != NA_INTEGER;
    m->from_owner = m->respawn && Rf_asInteger(retries) < 0;
    m->retries = m->respawn && !m->from_owner ? Rf_asInteger(retries) : 0;
    m->timeout_s = Rf_asReal(timeout);
    m->team.run = r_worker_run;
    int rc = r_team_open(&m->team, m, m->np, (r_output_mode)Rf_asInteger(output));
    if (rc == 0) rc = r_map_lay_out(m);
    if (rc < 0)
      r_abort("sharedmem_memory_error", "cannot map %.0f bytes for a map of %d workers: %s", (double)m->nbytes, m->np, sm_error_text(rc));
  }
  m->delivered = calloc((size_t)m->nitems, 1);
  if (!m->delivered) r_abort("sharedmem_memory_error", "cannot allocate %.0f bytes for the items of a map", (double)m->nitems);
  SEXP results = Rf_allocVector(VECSXP, (R_xlen_t)m->nitems);
  R_SetExternalPtrProtected(ptr, results);
  Rf_setAttrib(results, R_NamesSymbol, names);
  UNPROTECT(1);
  return ptr;
}

static bool all_begun(r_map *m) { return atomic_load(&m->queue->stop) || sm_queue_left(m->queue) == 0; }

static const char *fork_advice(int rc) {
  if (rc == -EMFILE || rc == -ENFILE) return "; use fewer workers, or raise the limit of open files (ulimit -n)";
  return rc == -EAGAIN ? "; use fewer workers, or raise the limit of processes (ulimit -u)" : "";
}

/* rank: of the worker that could not be started, -1 for the template. */
static void abort_start(r_map *m, int rank, int rc) {
  r_map_end(m);
  if (rank < 0)
    r_abort("sharedmem_fork_error", "cannot start what forks the workers' successors: %s%s", sm_error_text(rc), fork_advice(rc));
  r_abort("sharedmem_fork_error", "cannot start worker %d of %d: %s%s", rank + 1, m->np, sm_error_text(rc), fork_advice(rc));
}

/* Fork workers, the template first, while there are items for them. Each evaluates main(rank), or jumped() after a jump to top
 * level, and ends. */
SEXP ffi_map_spawn(SEXP ptr, SEXP main, SEXP jumped) {
  r_map *m = r_map_get(ptr);
  r_memory_collect_before(0); /* what is collected while workers run they would still have */
  m->reserve = sm_heap_before_fork(m->np);
  m->spawned_ns = sm_clock_ns();
  m->main = main;
  m->jumped = jumped;
  R_SetExternalPtrTag(ptr, Rf_list2(main, jumped)); /* keeps them */
  int rc = r_team_begin_forks(&m->team);
  if (rc == 0 && m->respawn && !m->from_owner) rc = r_template_spawn(&m->team, main, jumped);
  int i = -1;
  while (rc == 0 && ++i < m->np && (i == 0 || !all_begun(m))) {
    rc = r_team_spawn(&m->team, i);
    if (rc == 1) r_worker_run(m, i, main, jumped); /* does not return */
    R_CheckUserInterrupt();                        /* forks of a large process take their time; what has started ends with the map */
  }
  if (rc < 0) abort_start(m, i, rc);
  r_team_end_forks(&m->team, m->from_owner);
  return R_NilValue;
}

int r_map_successor(r_map *m, int rank) {
  if (!m->from_owner) return r_template_respawn(&m->team, rank);
  r_member *w = &m->team.member[rank];
  sm_proc_close(&w->proc);
  sm_proc_init(&w->proc);
  r_channel_close(&w->chan);
  w->chan.eof = w->chan.fd_lost = w->ended = w->quit = false;
  w->doomed = -1;
  sm_proc_flush();
  int rc = r_team_spawn(&m->team, rank);
  if (rc == 1) r_worker_run(m, rank, m->main, m->jumped); /* does not return */
  return rc;
}

/* Before anything uses it: the map's workers are to be no forks of this process (r_server.h). */
SEXP ffi_map_share(SEXP ptr) {
  r_map *m = r_map_get(ptr);
  r_map_unmap(m);
  m->served = true;
  int rc = r_map_lay_out(m);
  if (rc < 0)
    r_abort("sharedmem_memory_error", "cannot map %.0f bytes for a map of %d workers: %s", (double)m->nbytes, m->np, sm_error_text(rc));
  return R_NilValue;
}

/* What else a served map's template is told: 1 where workers have successors, bytes of the trace. */
SEXP ffi_map_shape(SEXP ptr) {
  r_map *m = r_map_get(ptr);
  SEXP out = Rf_allocVector(REALSXP, 2);
  REAL(out)[0] = m->respawn;
  REAL(out)[1] = m->trace ? (double)m->trace_nbytes : 0;
  return out;
}

/* As ffi_map_spawn(), by the template that the map has been given. */
SEXP ffi_map_spawn_served(SEXP ptr) {
  r_map *m = r_map_get(ptr);
  int rc = 0, i = -1;
  while (rc == 0 && ++i < m->np && (i == 0 || !all_begun(m))) rc = r_template_respawn(&m->team, i);
  if (rc < 0) abort_start(m, i, rc);
  r_team_end_forks(&m->team, false);
  return R_NilValue;
}

/* The pool keeps the pointer until its next map; what the map kept goes now, because the next one's workers would otherwise collect it. */
SEXP ffi_map_end(SEXP ptr) {
  r_map *m = R_ExternalPtrAddr(ptr);
  if (m && m->owner == sm_pid()) {
    R_ClearExternalPtr(ptr);
    R_SetExternalPtrTag(ptr, R_NilValue);
    R_SetExternalPtrProtected(ptr, R_NilValue);
    map_free(m);
  }
  return R_NilValue;
}
