/* r_map_supervise.c: deaths, successors and time limits of workers; see r_map_supervise.h.
 *
 * A dead worker's slot says what it left: results never published are lost with it, items not
 * begun are untouched. Without successors its death ends the map. With them the item it worked on
 * has one attempt less; past the last it fails, and the rest of the slot goes to the successor:
 *   [first not delivered, running) and (running, hi), or [first, hi) if the item gets another try.
 * Results are published one by one there, so that the item it worked on is the only one that is lost. A kill of ours follows the
 * mark that sm_queue_late() puts on the running item, which keeps its worker from beginning another.
 */
#include "r_map_supervise.h"

#include <R.h>

#include "r_map_life.h"
#include "r_map_trace.h"
#include "r_team_template.h"
#include "r_util.h"

#define IDLE_DEATHS_MAX 8

/* A process that has ended without closing its ring, as settle_death() finds it. */
typedef struct {
  int rank, status;
  pid_t pid;
  int64_t first, hi; /* items of its batch that are not published */
  int64_t running;   /* the one it was at, -1 */
  bool failed;       /* that one has no attempt left */
} death;

static bool work_is_left(r_drive *d, int64_t lo, int64_t hi) { return lo < hi || sm_queue_left(d->m->queue) > 0; }

static void no_successor(r_drive *d, int rc, const death *of) {
  static const char *names[] = {"status", "why", "item", "pid", ""};
  SEXP about = PROTECT(Rf_mkNamed(VECSXP, names));
  SET_VECTOR_ELT(about, 0, Rf_ScalarInteger(of->status));
  SET_VECTOR_ELT(about, 1, Rf_mkString(rc == SM_EGONE ? "the process that starts them has died too" : sm_error_text(rc)));
  SET_VECTOR_ELT(about, 2, Rf_ScalarReal(of->running < 0 ? NA_REAL : (double)of->running + 1));
  SET_VECTOR_ELT(about, 3, Rf_ScalarInteger((int)of->pid));
  r_deliver_failure(d, "orphaned", about, -1, of->rank);
  UNPROTECT(1);
}

static void hand_on(r_drive *d, death *of) {
  r_map *m = d->m;
  int64_t end = of->failed ? of->running : of->hi, then = of->failed ? of->running + 1 : of->hi;
  while (of->first < end && m->delivered[of->first]) of->first++;
  if (of->first > end) of->first = end;
  int rc = sm_queue_assign(m->queue, of->rank, of->first, end, then, of->hi);
  if (rc == 0 && !atomic_load(&m->queue->stop) && work_is_left(d, of->first, end)) rc = r_map_successor(m, of->rank);
  if (rc < 0) no_successor(d, rc, of);
}

/* All frames of the dead have been read: an item that is delivered is not the one it died at, whatever the slot says. */
static death examine(r_drive *d, int rank) {
  r_map *m = d->m;
  r_member *w = &m->team.member[rank];
  death of = {rank, r_team_status(&m->team, rank), w->proc.pid, 0, 0, -1, false};
  int rc = sm_queue_inspect(m->queue, rank, &of.first, &of.hi, &of.running);
  if (rc < 0 || of.first < 0 || of.hi > m->nitems || of.first > of.hi || of.running >= of.hi || (of.running >= 0 && of.running < of.first))
    r_abort("sharedmem_channel_error", "the queue's slot %d is damaged", rank);
  if (of.running >= 0 && m->delivered[of.running]) {
    of.first = of.running + 1;
    of.running = -1;
  }
  return of;
}

static void settle_death(r_drive *d, int rank) {
  r_map *m = d->m;
  r_member *w = &m->team.member[rank];
  w->state = R_MEMBER_DEAD;
  death of = examine(d, rank);
  SEXP status = PROTECT(Rf_ScalarInteger(of.status));
  sm_turnstile_clear(m->turn, m->turn_slot + rank);
  r_trace_lost(m, rank, of.running);
  for (int k = 0; k < 2; k++) r_output_relay(&w->out[k], k, true); /* a successor writes to the same streams */
  const char *type = of.running >= 0 && w->doomed == of.running ? "timeout" : w->quit ? "quit" : "death";
  of.failed = of.running >= 0 && m->respawn && ++d->attempts[of.running] > m->retries;
  if (of.running < 0) d->idle_deaths++;
  if (!m->respawn || d->idle_deaths > IDLE_DEATHS_MAX || of.failed) r_deliver_failure(d, type, status, of.running, rank);
  if (of.failed) sm_turnstile_pass(m->turn, m->turn_item + of.running);
  if (!d->failed) hand_on(d, &of);
  UNPROTECT(1);
}

bool r_supervise_deaths(r_drive *d) {
  bool any = false;
  r_map *m = d->m;
  if ((m->respawn && !m->from_owner) || m->served) r_template_lives(&m->team);
  for (int i = 0; i < m->np && !d->failed; i++) {
    if (!r_team_has_died(&m->team, i)) continue;
    settle_death(d, i);
    any = true;
  }
  return any;
}

int r_supervise_timeouts(r_drive *d, int most) {
  r_map *m = d->m;
  if (!R_FINITE(m->timeout_s)) return most;
  for (int i = 0; i < m->np; i++) {
    r_member *w = &m->team.member[i];
    int64_t item;
    if (w->state != R_MEMBER_RUNNING) continue;
    int ms = sm_queue_late(sm_queue_slot(m->queue, i), (uint64_t)(m->timeout_s * 1e9), most, &item);
    if (ms > 0) {
      most = ms;
      continue;
    }
    w->doomed = item;
    if (w->remote) r_template_kill(&m->team, i);
    else sm_proc_kill(&w->proc);
  }
  return most;
}
