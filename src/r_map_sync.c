/* r_map_sync.c: critical and ordered sections as R sees them.
 *
 * What this process holds is process-local, in the map (`held`: maps nest), with the pid that took it: after a
 * fork the child holds nothing. Misuse is raised before anything is taken; what leaves never raises.
 */
#include <string.h>
#include <unistd.h>

#include "r_here_trace.h"
#include "r_util.h"
#include "r_here.h"
#include "r_map.h"

static r_held *held_of(r_map *m) {
  pid_t me = sm_pid();
  if (m->held.pid != me) {
    memset(&m->held, 0, sizeof m->held);
    m->held.pid = me;
    m->held.through = -1;
  }
  return &m->held;
}

static r_map *section_map(SEXP ptr, const char *what) {
  if (TYPEOF(ptr) != EXTPTRSXP || !R_ExternalPtrAddr(ptr))
    r_abort("sharedmem_lock_error", "%s() is used outside of a map of its pool: it works inside the `func` of that pool's map()", what);
  r_map *m = r_map_get(ptr);
  if (m->np > 0 && r_here_rank(m) < 0)
    r_abort("sharedmem_lock_error",
            "%s() is used outside of a worker of this pool's map: it works inside `func`, not in what that forks (another map's workers, "
            "background(), mclapply()); a Lock() works there, too",
            what);
  return m;
}

static void check_waited(int rc, const char *what) {
  if (rc == SM_EFAILED) sm_proc_end_self();
  if (rc < 0) r_abort("sharedmem_lock_error", "%s(): %s", what, sm_error_text(rc));
}

/* The time limit of the running item does not count the wait. */
static int wait_for_lock(sm_lock_shm *l) {
  int rc = sm_lock_trylock(l);
  if (rc != SM_EAGAIN) return rc;
  r_here_pause();
  rc = sm_lock_lock(l, &r_here.watch);
  r_here_resume();
  return rc;
}

static void critical_leave(void *map) {
  r_map *m = map;
  r_held *held = held_of(m);
  if (!held->critical) return;
  held->critical = false;
  r_trace_end(SM_TRACE_HOLD_CRITICAL, m->np > 0 ? r_here.item : m->here_next - 1, held->critical_ns);
  held->critical_ns = 0;
  if (m->np > 0) sm_lock_unlock(m->critical);
}

/* .External2(ffi_critical, map): the caller's `expr`, inside. */
SEXP ffi_critical(SEXP call, SEXP op, SEXP args, SEXP env) {
  (void)call, (void)op;
  r_map *m = section_map(CADR(args), "critical");
  r_held *held = held_of(m);
  if (held->critical) r_abort("sharedmem_lock_error", "critical() is entered twice: this worker is in the section already");
  if (m->apart)
    r_abort("sharedmem_lock_error",
            "critical() excludes the workers of one machine only, and this daemon runs on another than the session: "
            "let items return their parts and combine them in `reduce`, which runs in the session");
  uint64_t t0 = r_trace_begin(m->trace);
  if (m->np > 0) check_waited(wait_for_lock(m->critical), "critical");
  held->critical = true;
  held->critical_ns = r_trace_end(SM_TRACE_WAIT_CRITICAL, m->np > 0 ? r_here.item : m->here_next - 1, t0);
  return r_eval_section(false, env, critical_leave, m);
}

static void ordered_leave(void *map) {
  r_map *m = map;
  r_held *held = held_of(m);
  if (!held->ordered) return;
  held->ordered = false;
  r_trace_end(SM_TRACE_HOLD_ORDERED, held->through, held->ordered_ns);
  held->ordered_ns = 0;
  if (m->np == 0) return;
  if (m->respawn || m->spread) sm_lock_unlock(m->ordered);
  sm_turnstile_pass(m->turn, m->turn_item + held->through);
}

/* .External2(ffi_ordered, map, item): likewise. item: of a map that runs in this process (1-based); unused in workers. */
SEXP ffi_ordered(SEXP call, SEXP op, SEXP args, SEXP env) {
  (void)call, (void)op;
  r_map *m = section_map(CADR(args), "ordered");
  r_held *held = held_of(m);
  if (m->apart)
    r_abort("sharedmem_lock_error",
            "ordered() keeps the order of one machine only, and this daemon runs on another than the session: results come back "
            "in the order of the items, so do what needs their order with those");
  if (held->critical) r_abort("sharedmem_lock_error", "ordered() is entered from inside critical(): others could never pass");
  int64_t i = m->np > 0 ? r_here.item : (int64_t)Rf_asReal(CADDR(args)) - 1;
  if (i < 0) r_abort("sharedmem_lock_error", "ordered() is used outside of an item");
  if (held->ordered || held->through == i) r_abort("sharedmem_lock_error", "ordered() is entered twice in item %.0f", (double)i + 1);
  if (m->np > 0) {
    uint64_t t0 = r_trace_begin(m->trace);
    atomic_store(&m->queue->single, 1);
    r_here_pause();
    int rc = sm_turnstile_enter(m->turn, m->turn_slot + r_here_rank(m), m->turn_item + i, &r_here.watch);
    r_here_resume();
    check_waited(rc, "ordered");
    /* an item that runs again after its turn was used enters at once, but alone */
    if (m->respawn || m->spread) check_waited(wait_for_lock(m->ordered), "ordered");
    held->ordered_ns = r_trace_end(SM_TRACE_WAIT_ORDERED, i, t0);
  }
  held->ordered = true;
  held->through = i;
  return r_eval_section(false, env, ordered_leave, m);
}
