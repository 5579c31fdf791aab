/* r_map_life.c: making, spawning and ending a map; see r_map.h.
 *
 * Ownership: the external pointer with its finalizer stands before anything is acquired. The
 * finalizer does nothing in any process but the owner.
 */
#include "r_map_life.h"

#include <R.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem_heap.h"
#include "proc_reap.h"
#include "r_memory.h"
#include "r_map_template.h"
#include "r_map_trace.h"
#include "r_util.h"
#include "r_map_worker.h"

#define WORKED_NS 20000000u

static void forget(r_team *t, bool mine, int keep) {
  r_map *m = (r_map *)((char *)t - offsetof(r_map, team));
  sm_proc_forget(&m->template);
  r_output_close(m->output.shared);
  if (!mine) r_output_close_ends(m->output.ends);
  for (int i = 0; i < m->np; i++) {
    sm_proc_forget(&m->worker[i].proc);
    r_output_close(m->worker[i].stream);
    if (i != keep) r_channel_close(&m->worker[i].chan);
  }
}

/* After BYE nothing more comes from a worker: where all have said it, their end is not waited for here. */
static void leave_workers(r_map *m) {
  int n = 0;
  if (m->respawn) return;
  for (int i = 0; i < m->np; i++)
    if (m->worker[i].state != R_WORKER_BYE && m->worker[i].state != R_WORKER_NONE) return;
  pid_t *pids = malloc((size_t)m->np * sizeof *pids);
  if (!pids) return;
  for (int i = 0; i < m->np; i++)
    if (sm_proc_leave(&m->worker[i].proc)) pids[n++] = m->worker[i].proc.pid;
  sm_reap_begin(pids, n);
  free(pids);
}

void r_map_end(r_map *m) {
  if (m->owner != sm_pid() || m->np == 0 || !m->mem) return;
  atomic_store(&m->ctl->failed, 1);
  sm_queue_stop(m->queue);
  if (m->spawned_ns > 0 && sm_clock_ns() - m->spawned_ns > WORKED_NS) sm_heap_forks_ended();
  m->spawned_ns = 0;
  leave_workers(m);
  for (int i = 0; i < m->np; i++) sm_proc_kill(&m->worker[i].proc);
  r_template_end(m);
  for (int i = 0; i < m->np; i++) {
    sm_proc_close(&m->worker[i].proc);
    sm_proc_forget(&m->worker[i].proc);
    r_output_close(m->worker[i].stream);
    r_channel_close(&m->worker[i].chan);
    r_trace_lost(m, i, atomic_load(&sm_queue_slot(m->queue, i)->item));
  }
  r_output_close(m->output.shared);
  r_output_close_ends(m->output.ends);
}

static void map_free(r_map *m) {
  r_map_end(m);
  r_team_remove(&m->team);
  r_map_unmap(m);
  r_trace_close(m);
  free(m->worker);
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

/* np = 0 makes a map that runs in this process. retries: whole number, or NA where a dead worker gets no
 * successor at all. timeout: seconds an item may take, or Inf. output: r_output_mode. */
SEXP ffi_map_new(SEXP np, SEXP nitems, SEXP retries, SEXP timeout, SEXP output) {
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(ptr, map_finalize, FALSE);
  r_map *m = calloc(1, sizeof *m);
  if (!m) r_abort("sharedmem_memory_error", "cannot allocate a map");
  m->magic = R_MAP_MAGIC;
  m->owner = sm_pid();
  r_team_add(&m->team, forget);
  R_SetExternalPtrAddr(ptr, m);
  m->nitems = (int64_t)Rf_asReal(nitems);
  m->np = Rf_asInteger(np);
  if (m->np > 0) {
    sm_proc_init(&m->template);
    m->respawn = Rf_asInteger(retries) != NA_INTEGER;
    m->retries = m->respawn ? Rf_asInteger(retries) : 0;
    m->timeout_s = Rf_asReal(timeout);
    m->output.mode = Rf_asInteger(output);
    m->output.shared[0].fd = m->output.shared[1].fd = m->output.ends[0] = m->output.ends[1] = -1;
    m->worker = calloc((size_t)m->np, sizeof *m->worker);
    m->delivered = calloc((size_t)m->nitems, 1);
    int rc = m->worker && m->delivered ? r_map_lay_out(m) : -ENOMEM;
    if (rc < 0)
      r_abort("sharedmem_memory_error", "cannot map %.0f bytes for a map of %d workers: %s", (double)m->nbytes, m->np, sm_error_text(rc));
  }
  UNPROTECT(1);
  return ptr;
}

/* Fork the worker of a rank. 0 in the parent, 1 in the child, or a negative code. */
static int spawn(r_map *m, int rank) {
  r_worker *w = &m->worker[rank];
  int ends[2], sock = -1;
  int rc = r_output_open(&m->output, w->stream, ends);
  if (rc < 0) return rc;
  w->forked_ns = m->trace ? sm_clock_ns() : 0;
  rc = sm_proc_spawn(&w->proc, &sock);
  if (rc == 1) {
    r_team_forget_all(&m->team, rank);
    r_output_redirect(&m->output, ends);
    r_output_close_ends(m->output.ends);
    w->chan.sock = sock;
    return 1;
  }
  r_output_close_ends(ends);
  if (rc < 0) return rc;
  w->chan.sock = w->proc.sock;
  w->chan.peer = w->proc.pid;
  w->state = R_WORKER_RUNNING;
  return 0;
}

static bool all_begun(r_map *m) { return atomic_load(&m->queue->stop) || sm_queue_left(m->queue) == 0; }

/* Fork workers, the template first, while there are items for them; `main` is called in each with the map and its rank,
 * and never returns from there. */
SEXP ffi_map_spawn(SEXP ptr, SEXP main) {
  r_map *m = r_map_get(ptr);
  sm_proc_flush();
  r_memory_collect_before(0); /* what is collected while workers run they would still have */
  m->reserve = sm_heap_before_fork(m->np);
  m->spawned_ns = sm_clock_ns();
  int rc = r_output_open_shared(&m->output, m->np, m->respawn);
  if (rc == 0 && m->respawn) rc = r_template_spawn(m, &(r_template_work){r_worker_run, ptr, main});
  int i = -1;
  while (rc == 0 && ++i < m->np && (i == 0 || !all_begun(m))) {
    rc = spawn(m, i);
    if (rc == 1) r_worker_run(m, i, ptr, main); /* does not return */
    R_CheckUserInterrupt();                     /* forks of a large process take their time; what has started ends with the map */
  }
  if (rc < 0) {
    r_map_end(m);
    r_abort("sharedmem_fork_error", "cannot start worker %d of %d: %s%s", i, m->np, sm_error_text(rc),
            rc == -EMFILE || rc == -ENFILE ? "; use fewer workers, or raise the limit of open files (ulimit -n)"
            : rc == -EAGAIN                ? "; use fewer workers, or raise the limit of processes (ulimit -u)"
                                           : "");
  }
  atomic_store(&m->ctl->forked, 1);
  sm_futex_wake(&m->ctl->forked, m->np);
  r_output_close_ends(m->output.ends);
  return R_NilValue;
}

SEXP ffi_map_end(SEXP ptr) {
  r_map *m = R_ExternalPtrAddr(ptr);
  if (m && m->owner == sm_pid()) {
    R_ClearExternalPtr(ptr);
    map_free(m);
  }
  return R_NilValue;
}
