/* r_map.c: the control memory of a map, and a map behind its external pointer; see r_map.h. */
#include "r_map.h"

#include <R.h>
#include <string.h>

#include "mem_segment.h"
#include "proc_reap.h"
#include "r_util.h"

#define KEEP_BYTES ((size_t)4 << 20)

/* Control memory of a map, used again by a later one: fresh shared pages are dear. It is taken only once all who had it
 * mapped have been waited for (settled); a fork of this process must not use it (owner). */
static struct {
  void *mem;
  size_t nbytes;
  pid_t owner;
  bool settled;
} kept;

static int control_map(r_map *m) {
  kept.settled = kept.settled || sm_reap_done();
  if (kept.mem && kept.settled && kept.owner == sm_pid() && kept.nbytes >= m->nbytes) {
    m->mem = kept.mem;
    m->mapped = kept.nbytes;
    kept.mem = NULL;
    return 1;
  }
  m->mapped = m->nbytes;
  return sm_anon_map(m->nbytes, &m->mem);
}

void r_map_unmap(r_map *m) {
  if (!m->mem) return;
  /* a template may leave workers dying */
  if (!kept.mem && m->mapped <= KEEP_BYTES && !m->respawn) {
    kept.mem = m->mem;
    kept.nbytes = m->mapped;
    kept.owner = sm_pid();
    kept.settled = sm_reap_done();
  } else {
    sm_anon_unmap(m->mem, m->mapped);
  }
  m->mem = NULL;
}

r_map *r_map_get(SEXP ptr) {
  r_map *m = TYPEOF(ptr) == EXTPTRSXP ? R_ExternalPtrAddr(ptr) : NULL;
  if (!m || m->magic != R_MAP_MAGIC) r_abort_argument("map", Rf_type2char(TYPEOF(ptr)), "a running map");
  return m;
}

static size_t align_line(size_t n) { return (n + SM_CACHELINE - 1) / SM_CACHELINE * SM_CACHELINE; }

static uint64_t ring_capacity_for(int np) { return np <= 16 ? 1u << 18 : np <= 128 ? 1u << 16 : 1u << 14; }

int r_map_lay_out(r_map *m) {
  m->ring_capacity = ring_capacity_for(m->np);
  size_t ctl = align_line(sizeof(r_control_shm)), queue = align_line(sm_queue_nbytes(m->np));
  size_t turn = align_line(sm_turnstile_nbytes(m->nitems, m->np)), ring = align_line(sm_ring_nbytes(m->ring_capacity));
  size_t desks = align_line(sizeof(r_desk_shm) * (size_t)m->np);
  m->nbytes = ctl + queue + turn + desks + ring * (size_t)m->np;
  int rc = control_map(m);
  if (rc < 0) return rc;
  if (rc == 1) memset(m->mem, 0, m->nbytes - ring * (size_t)m->np);
  rc = 0;
  uint8_t *p = m->mem;
  m->ctl = (r_control_shm *)p;
  m->queue = (sm_queue_shm *)(p += ctl);
  m->turn = (sm_turnstile_shm *)(p += queue);
  m->desks = (r_desk_shm *)(p += turn);
  m->rings = p + desks;
  sm_turnstile_init(m->turn, m->nitems, m->np);
  rc = sm_queue_init(m->queue, m->nitems, m->np);
  if (rc == 0) rc = sm_lock_init(&m->ctl->critical);
  if (rc == 0) rc = sm_lock_init(&m->ctl->ordered);
  for (int i = 0; rc == 0 && i < m->np; i++) {
    memset(m->rings + (size_t)i * ring, 0, sizeof(sm_ring_shm));
    sm_proc_init(&m->worker[i].proc);
    m->worker[i].timed_out = m->worker[i].stream[0].fd = m->worker[i].stream[1].fd = -1;
    r_channel_open(&m->worker[i].chan, m->rings + (size_t)i * ring, m->ring_capacity);
    m->worker[i].chan.sleeping = &m->ctl->sleeping;
  }
  return rc;
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
  if (m && m->owner == sm_pid())
    for (int i = 0; i < m->np; i++)
      if (m->worker[i].state == R_WORKER_RUNNING && !sm_proc_poll(&m->worker[i].proc)) any = true;
  return Rf_ScalarLogical(any);
}

/* The master's loop calls events("progress", done, ...) of this map, ten times a second at most. */
SEXP ffi_progress_wanted(SEXP ptr) {
  r_map_get(ptr)->progress = true;
  return R_NilValue;
}
