/* r_map_supervise.c: deaths, successors and time limits of workers; see r_map_supervise.h.
 *
 * A dead worker's slot says what it left: results never published are lost with it, items not
 * begun are untouched. Without successors its death ends the map. With them the item it worked on
 * has one attempt less; past the last it fails, and the rest of the slot goes to the successor:
 *   [first not delivered, running) and (running, hi), or [first, hi) if the item gets another try.
 */
#include "r_map_supervise.h"

#include <R.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "r_map_template.h"
#include "r_map_trace.h"
#include "r_util.h"

#define IDLE_DEATHS_MAX 8

/* Its wait status, once it has been reaped. */
static int take_status(r_drive *d, r_worker *w, int rank) {
  if (w->remote) return atomic_load(&d->m->desks[rank].dead) ? atomic_load(&d->m->desks[rank].status) : -1;
  while (!sm_proc_wait(&w->proc, SM_SLICE_MS)) R_CheckUserInterrupt();
  return w->proc.status;
}

static bool work_is_left(r_drive *d, int64_t lo, int64_t hi) { return lo < hi || sm_queue_left(d->m->queue) > 0; }

typedef struct {
  int status;
  pid_t pid;
} death;

static void no_successor(r_drive *d, int rank, int rc, int64_t item, const death *of) {
  SEXP about = PROTECT(Rf_allocVector(VECSXP, 4));
  SET_VECTOR_ELT(about, 0, Rf_ScalarInteger(of->status));
  SET_VECTOR_ELT(about, 1, Rf_mkString(rc == SM_EGONE ? "the process that starts them has died too" : sm_error_text(rc)));
  SET_VECTOR_ELT(about, 2, Rf_ScalarReal(item < 0 ? NA_REAL : (double)item + 1));
  SET_VECTOR_ELT(about, 3, Rf_ScalarInteger((int)of->pid));
  r_deliver_failure(d, "orphaned", about, -1, rank);
  UNPROTECT(1);
}

static void hand_on(r_drive *d, int rank, int64_t first, int64_t hi, int64_t running, bool failed_item, int status) {
  r_map *m = d->m;
  death of = {status, m->worker[rank].proc.pid};
  while (first < hi && m->delivered[first]) first++;
  int64_t end = failed_item ? running : hi, then = failed_item ? running + 1 : hi;
  if (first > end) first = end;
  int rc = sm_queue_assign(m->queue, rank, first, end, then, hi);
  if (rc == 0 && !atomic_load(&m->queue->stop) && work_is_left(d, first, end)) rc = r_template_respawn(m, rank);
  if (rc < 0) no_successor(d, rank, rc, running, &of);
}

static void bury(r_drive *d, int rank) {
  r_map *m = d->m;
  r_worker *w = &m->worker[rank];
  w->state = R_WORKER_DEAD;
  int64_t first = 0, hi = 0, running = -1;
  SEXP status = PROTECT(Rf_ScalarInteger(take_status(d, w, rank)));
  int rc = sm_queue_inspect(m->queue, rank, &first, &hi, &running);
  if (rc < 0 || first < 0 || hi > m->nitems || first > hi || running >= hi || (running >= 0 && running < first))
    r_abort("sharedmem_channel_error", "the queue's slot %d is damaged", rank);
  sm_turnstile_clear(m->turn, rank);
  r_trace_lost(m, rank, running);
  bool late = running >= 0 && w->timed_out == running;
  const char *kind = late ? "timeout" : w->quit ? "quit" : "death";
  if (!m->respawn) {
    r_deliver_failure(d, kind, status, running, rank);
  } else if (running < 0 && ++d->idle_deaths > IDLE_DEATHS_MAX) {
    r_deliver_failure(d, kind, status, -1, rank);
  } else {
    bool failed_item = running >= 0 && ++d->attempts[running] > m->retries;
    if (running >= 0) d->idle_deaths = 0;
    if (failed_item) {
      r_deliver_failure(d, kind, status, running, rank);
      sm_turnstile_pass(m->turn, running);
    }
    if (!d->failed) hand_on(d, rank, first, hi, running, failed_item, Rf_asInteger(status));
  }
  UNPROTECT(1);
}

/* A successor whose template has died: nobody tells its status any more. */
static bool orphan_gone(const r_map *m, const r_worker *w) {
  return m->template.state != SM_PROC_RUNNING && (w->chan.eof || (kill(w->proc.pid, 0) < 0 && errno == ESRCH));
}

bool r_supervise_deaths(r_drive *d) {
  bool any = false;
  for (int i = 0; i < d->m->np && !d->failed; i++) {
    r_worker *w = &d->m->worker[i];
    sm_frame f;
    if (w->state != R_WORKER_RUNNING) continue;
    if (w->remote && (atomic_load(&d->m->desks[i].dead) || orphan_gone(d->m, w))) w->ended = true;
    if (!w->ended && !w->remote && w->chan.eof && w->proc.pidfd < 0) w->ended = sm_proc_poll(&w->proc);
    if (w->ended && sm_ring_peek(&w->chan.ring, &f) == 0) {
      bury(d, i);
      any = true;
    }
  }
  return any;
}

int r_supervise_timeouts(r_drive *d, int most) {
  r_map *m = d->m;
  if (!R_FINITE(m->timeout_s)) return most;
  uint64_t now = sm_clock_ns(), limit = (uint64_t)(m->timeout_s * 1e9);
  for (int i = 0; i < m->np; i++) {
    r_worker *w = &m->worker[i];
    if (w->state != R_WORKER_RUNNING || w->timed_out >= 0) continue;
    sm_queue_slot_shm *s = sm_queue_slot(m->queue, i);
    int64_t item = atomic_load(&s->item);
    uint64_t since = atomic_load(&s->since_ns);
    if (item < 0 || since == 0 || since > now) continue;
    if (now - since < limit) {
      uint64_t left = (limit - (now - since)) / 1000000u + 1;
      if (left < (uint64_t)most) most = (int)left;
    } else if (atomic_load(&s->item) == item && atomic_load(&s->since_ns) == since) {
      w->timed_out = item;
      if (w->remote) r_template_kill(m, i);
      else sm_proc_kill(&w->proc);
    }
  }
  return most;
}
