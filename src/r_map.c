/* r_map.c: making, spawning and ending a map; see r_map.h.
 *
 * Ownership: the external pointer with its finalizer stands before anything is acquired. The
 * finalizer does nothing in any process but the owner.
 * Fork and signals: a child closes the descriptors of every worker that this process knows, in all maps.
 */
#include "r_map.h"

#include <R.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem_segment.h"
#include "r_util.h"
#include "r_worker.h"

#define MAP_MAGIC 0x534D4D50u

static r_map *maps = NULL;

static void map_free(r_map *m) {
  r_map_end(m);
  for (r_map **p = &maps; *p; p = &(*p)->next)
    if (*p == m) {
      *p = m->next;
      break;
    }
  if (m->mem) sm_anon_unmap(m->mem, m->nbytes);
  free(m->worker);
  m->magic = 0;
  free(m);
}

static void map_finalize(SEXP ptr) {
  r_map *m = R_ExternalPtrAddr(ptr);
  if (!m || m->owner != getpid()) return;
  R_ClearExternalPtr(ptr);
  map_free(m);
}

r_map *r_map_get(SEXP ptr) {
  r_map *m = TYPEOF(ptr) == EXTPTRSXP ? R_ExternalPtrAddr(ptr) : NULL;
  if (!m || m->magic != MAP_MAGIC) r_abort_argument("map", Rf_type2char(TYPEOF(ptr)), "a running map");
  return m;
}

static size_t align_line(size_t n) { return (n + SM_CACHELINE - 1) / SM_CACHELINE * SM_CACHELINE; }

static uint64_t ring_capacity_for(int np) {
  return np <= 16 ? 1u << 18 : np <= 128 ? 1u << 16 : 1u << 14;
}

static int lay_out(r_map *m) {
  m->ring_capacity = ring_capacity_for(m->np);
  size_t ctl = align_line(sizeof(r_control_shm)), queue = align_line(sm_queue_nbytes(m->np));
  size_t turn = align_line(sm_turnstile_nbytes(m->nitems, m->np)), ring = align_line(sm_ring_nbytes(m->ring_capacity));
  m->nbytes = ctl + queue + turn + ring * (size_t)m->np;
  int rc = sm_anon_map(m->nbytes, &m->mem);
  if (rc < 0) return rc;
  uint8_t *p = m->mem;
  m->ctl = (r_control_shm *)p;
  m->queue = (sm_queue_shm *)(p += ctl);
  m->turn = (sm_turnstile_shm *)(p += queue);
  m->rings = p + turn;
  sm_turnstile_init(m->turn, m->nitems, m->np);
  rc = sm_queue_init(m->queue, m->nitems, m->np);
  if (rc == 0) rc = sm_lock_init(&m->ctl->critical);
  for (int i = 0; rc == 0 && i < m->np; i++) {
    sm_proc_init(&m->worker[i].proc);
    r_channel_open(&m->worker[i].chan, m->rings + (size_t)i * ring, m->ring_capacity);
    m->worker[i].chan.sleeping = &m->ctl->sleeping;
  }
  return rc;
}

/* np = 0 makes a map that runs in this process. */
SEXP ffi_map_new(SEXP np, SEXP nitems) {
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(ptr, map_finalize, FALSE);
  r_map *m = calloc(1, sizeof *m);
  if (!m) r_abort("sharedmem_memory_error", "cannot allocate a map");
  m->magic = MAP_MAGIC;
  m->owner = getpid();
  m->next = maps;
  maps = m;
  R_SetExternalPtrAddr(ptr, m);
  m->nitems = (int64_t)Rf_asReal(nitems);
  m->np = Rf_asInteger(np);
  if (m->np > 0) {
    m->worker = calloc((size_t)m->np, sizeof *m->worker);
    int rc = m->worker ? lay_out(m) : -12;
    if (rc < 0) r_abort("sharedmem_memory_error", "cannot map %.0f bytes for a map of %d workers: %s", (double)m->nbytes, m->np, sm_error_text(rc));
  }
  UNPROTECT(1);
  return ptr;
}

int r_map_spawn(r_map *m, int rank) {
  r_worker *w = &m->worker[rank];
  int sock = -1;
  fflush(NULL);
  int rc = sm_proc_spawn(&w->proc, &sock);
  if (rc == 1) {
    for (r_map *other = maps; other; other = other->next)
      for (int i = 0; i < other->np; i++) {
        sm_proc_forget(&other->worker[i].proc);
        if (other != m || i != rank) r_channel_close(&other->worker[i].chan);
      }
    w->chan.sock = sock;
    return 1;
  }
  if (rc < 0) return rc;
  w->chan.sock = w->proc.sock;
  w->state = R_WORKER_RUNNING;
  return 0;
}

/* Fork all workers; `main` is called in each with the map and its rank, and never returns from there. */
SEXP ffi_map_spawn(SEXP ptr, SEXP main) {
  r_map *m = r_map_get(ptr);
  for (int i = 0; i < m->np; i++) {
    int rc = r_map_spawn(m, i);
    if (rc == 1) r_worker_run(m, i, ptr, main); /* does not return */
    if (rc < 0) {
      r_map_end(m);
      r_abort("sharedmem_fork_error", "cannot start worker %d of %d: %s", i, m->np, sm_error_text(rc));
    }
  }
  return R_NilValue;
}

void r_map_end(r_map *m) {
  if (m->owner != getpid() || m->np == 0 || !m->mem) return;
  atomic_store(&m->ctl->failed, 1);
  sm_queue_stop(m->queue);
  for (int i = 0; i < m->np; i++) sm_proc_kill(&m->worker[i].proc);
  for (int i = 0; i < m->np; i++) {
    sm_proc_close(&m->worker[i].proc);
    r_channel_close(&m->worker[i].chan);
  }
}

SEXP ffi_map_end(SEXP ptr) {
  r_map *m = R_ExternalPtrAddr(ptr);
  if (m && m->owner == getpid()) {
    R_ClearExternalPtr(ptr);
    map_free(m);
  }
  return R_NilValue;
}

/* Pids of the workers, for tests and messages. */
SEXP ffi_map_pids(SEXP ptr) {
  r_map *m = r_map_get(ptr);
  SEXP out = PROTECT(Rf_allocVector(INTSXP, m->np));
  for (int i = 0; i < m->np; i++) INTEGER(out)[i] = (int)m->worker[i].proc.pid;
  UNPROTECT(1);
  return out;
}

/* Does any worker still run? One that has ended is reaped by looking. */
SEXP ffi_map_alive(SEXP ptr) {
  r_map *m = R_ExternalPtrAddr(ptr);
  bool any = false;
  if (m && m->owner == getpid())
    for (int i = 0; i < m->np; i++)
      if (m->worker[i].state == R_WORKER_RUNNING && !sm_proc_poll(&m->worker[i].proc)) any = true;
  return Rf_ScalarLogical(any);
}
