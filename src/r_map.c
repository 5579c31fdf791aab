/* r_map.c: the control memory of a map, and a map behind its external pointer; see r_map.h. */
#include "r_map.h"

#include <R.h>
#include <string.h>

#include "mem_segment.h"
#include "proc_reap.h"
#include "r_util.h"

#define KEEP_BYTES ((size_t)4 << 20)

/* Faulting in shared pages is slow, so the control memory of one map is reused by a later one: once every process that mapped it
 * has been reaped (settled), and never by a fork of this process (owner). */
static struct {
  void *mem;
  size_t nbytes;
  pid_t owner;
  bool settled;
} spare;

static int control_map(r_map *m) {
  m->mapped = m->nbytes;
  if (m->served) {
    int rc = sm_segment_new(m->nbytes, &m->team.seg);
    if (rc == 0) m->mem = m->team.seg->payload;
    return rc;
  }
  spare.settled = spare.settled || sm_reap_done();
  if (spare.mem && spare.settled && spare.owner == sm_pid() && spare.nbytes >= m->nbytes) {
    m->mem = spare.mem;
    m->mapped = spare.nbytes;
    spare.mem = NULL;
    return 1;
  }
  return sm_anon_map(m->nbytes, &m->mem);
}

void r_map_unmap(r_map *m) {
  if (!m->mem) return;
  /* a template may leave workers dying */
  if (m->team.seg) {
    sm_segment_unref(m->team.seg);
    m->team.seg = NULL;
  } else if (!spare.mem && m->mapped <= KEEP_BYTES && (!m->respawn || m->from_owner)) {
    spare.mem = m->mem;
    spare.nbytes = m->mapped;
    spare.owner = sm_pid();
    spare.settled = sm_reap_done();
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

static uint64_t ring_capacity_for(int np) { return np <= 16 ? 1u << 18 : np <= 128 ? 1u << 16 : 1u << 14; }

/* Bytes of each part of the control memory, in its order. */
typedef struct {
  size_t ctl, queue, turn, desks, rings;
} map_parts;

static map_parts measure(r_map *m) {
  m->ring_capacity = ring_capacity_for(m->np);
  map_parts p = {r_team_align(sizeof(r_control_shm)), r_team_align(sm_queue_nbytes(m->np)),
                 r_team_align(sm_turnstile_nbytes(m->nitems, m->np)), r_team_align(sizeof(r_desk_shm) * (size_t)m->np),
                 r_team_rings_nbytes(m->np, m->ring_capacity)};
  m->nbytes = p.ctl + p.queue + p.turn + p.desks + p.rings;
  return p;
}

/* Where the parts lie, in this process. */
static void point_at(r_map *m, const map_parts *parts) {
  uint8_t *p = m->mem;
  m->ctl = (r_control_shm *)p;
  m->queue = (sm_queue_shm *)(p += parts->ctl);
  m->turn = (sm_turnstile_shm *)(p += parts->queue);
  m->critical = &m->ctl->critical;
  m->ordered = &m->ctl->ordered;
  m->team.desks = (r_desk_shm *)(p += parts->turn);
  r_team_set_rings(&m->team, p + parts->desks, m->ring_capacity, &m->ctl->team);
}

int r_map_lay_out(r_map *m) {
  map_parts parts = measure(m);
  int rc = control_map(m);
  if (rc < 0) return rc;
  if (rc == 1) memset(m->mem, 0, m->nbytes - parts.rings);
  point_at(m, &parts);
  sm_turnstile_init(m->turn, m->nitems, m->np);
  rc = sm_queue_init(m->queue, m->nitems, m->np);
  if (rc == 0) rc = sm_lock_init(&m->ctl->critical);
  if (rc == 0) rc = sm_lock_init(&m->ctl->ordered);
  return rc;
}

int r_map_lay_over(r_map *m) {
  map_parts parts = measure(m);
  if (m->team.seg->nbytes < m->nbytes) return SM_EFORMAT;
  m->mem = m->team.seg->payload;
  point_at(m, &parts);
  return 0;
}

/* Pids of the workers, for tests and messages. */
SEXP ffi_map_pids(SEXP ptr) {
  r_map *m = r_map_get(ptr);
  SEXP out = PROTECT(Rf_allocVector(INTSXP, m->np));
  for (int i = 0; i < m->np; i++) INTEGER(out)[i] = (int)m->team.member[i].proc.pid;
  UNPROTECT(1);
  return out;
}

/* Does any worker still run? One that has ended is reaped by looking, and what a background process has printed is given. */
SEXP ffi_map_alive(SEXP ptr) {
  r_map *m = R_ExternalPtrAddr(ptr);
  bool any = false;
  if (m && m->owner == sm_pid())
    for (int i = 0; i < m->np; i++)
      if (m->team.member[i].state == R_MEMBER_RUNNING && !sm_proc_poll(&m->team.member[i].proc)) any = true;
  if (m && m->owner == sm_pid() && m->team.output == R_OUTPUT_SPOOL) r_team_relay_output(&m->team, !any);
  return Rf_ScalarLogical(any);
}

/* Is this the process that made the map? Not where the handle is a copy that was sent or saved, nor in a worker. */
SEXP ffi_map_mine(SEXP ptr) {
  r_map *m = TYPEOF(ptr) == EXTPTRSXP ? R_ExternalPtrAddr(ptr) : NULL;
  return Rf_ScalarLogical(m && m->owner == sm_pid());
}

/* The owner's loop calls events("progress", done, ...) of this map, ten times a second at most. */
SEXP ffi_progress_wanted(SEXP ptr) {
  r_map_get(ptr)->progress = true;
  return R_NilValue;
}
