/* r_sync.c: critical and ordered sections as R sees them.
 *
 * What this process holds is process-local (`S`), with the pid that took it: after a fork the child holds
 * nothing. Enter raises on misuse before anything is taken; leave never raises.
 */
#include <unistd.h>

#include "r_trace.h"
#include "r_util.h"
#include "r_worker.h"

static struct {
  pid_t pid;
  const r_map *critical;  /* map whose lock this process holds */
  const r_map *ordered;   /* map whose ordered section it is in */
  int64_t ordered_item;
  int64_t through;        /* item that has used its turn */
  const r_map *through_map;
  uint64_t critical_ns, ordered_ns; /* since when they are held; 0 unless traced */
} S = {.through = -1};

static void settle_process(void) {
  pid_t me = getpid();
  if (S.pid == me) return;
  S.pid = me;
  S.critical = S.ordered = S.through_map = NULL;
  S.through = -1;
}

static r_map *section_map(SEXP ptr, const char *what) {
  settle_process();
  if (TYPEOF(ptr) != EXTPTRSXP || !R_ExternalPtrAddr(ptr))
    r_abort("sharedmem_lock_error", "%s() is used outside of a map: it works only inside `func`", what);
  r_map *m = r_map_get(ptr);
  if (m->np > 0 && r_worker_rank(m) < 0)
    r_abort("sharedmem_lock_error", "%s() is used outside of a worker: it works only inside `func`", what);
  return m;
}

static void check_waited(int rc, const char *what) {
  if (rc == SM_EFAILED) sm_proc_end_self();
  if (rc < 0) r_abort("sharedmem_lock_error", "%s(): %s", what, sm_error_text(rc));
}

SEXP ffi_critical_enter(SEXP ptr) {
  r_map *m = section_map(ptr, "critical");
  if (S.critical == m) r_abort("sharedmem_lock_error", "critical() is entered twice: this worker is in the section already");
  uint64_t t0 = r_trace_begin(m->trace);
  if (m->np > 0) check_waited(sm_lock_lock(&m->ctl->critical, r_worker_watch()), "critical");
  S.critical_ns = r_trace_end(SM_TRACE_WAIT_CRITICAL, m->np > 0 ? r_worker_item() : m->here_item, t0);
  S.critical = m;
  return R_NilValue;
}

SEXP ffi_critical_leave(SEXP ptr) {
  r_map *m = R_ExternalPtrAddr(ptr);
  if (!m || S.critical != m || S.pid != getpid()) return R_NilValue;
  S.critical = NULL;
  r_trace_end(SM_TRACE_HOLD_CRITICAL, m->np > 0 ? r_worker_item() : m->here_item, S.critical_ns);
  S.critical_ns = 0;
  if (m->np > 0) sm_lock_unlock(&m->ctl->critical);
  return R_NilValue;
}

/* item: of a map that runs in this process (1-based); unused in workers. */
SEXP ffi_ordered_enter(SEXP ptr, SEXP item) {
  r_map *m = section_map(ptr, "ordered");
  if (S.critical == m) r_abort("sharedmem_lock_error", "ordered() is entered from inside critical(): others could never pass");
  int64_t i = m->np > 0 ? r_worker_item() : (int64_t)Rf_asReal(item) - 1;
  if (i < 0) r_abort("sharedmem_lock_error", "ordered() is used outside of an item");
  if (S.ordered == m || (S.through_map == m && S.through == i))
    r_abort("sharedmem_lock_error", "ordered() is entered twice in item %.0f", (double)i + 1);
  if (m->np > 0) {
    uint64_t t0 = r_trace_begin(m->trace);
    atomic_store(&m->queue->single, 1);
    check_waited(sm_turnstile_enter(m->turn, r_worker_rank(m), i, r_worker_watch()), "ordered");
    S.ordered_ns = r_trace_end(SM_TRACE_WAIT_ORDERED, i, t0);
  }
  S.ordered = m;
  S.ordered_item = S.through = i;
  S.through_map = m;
  return R_NilValue;
}

SEXP ffi_ordered_leave(SEXP ptr) {
  r_map *m = R_ExternalPtrAddr(ptr);
  if (!m || S.ordered != m || S.pid != getpid()) return R_NilValue;
  S.ordered = NULL;
  r_trace_end(SM_TRACE_HOLD_ORDERED, S.ordered_item, S.ordered_ns);
  S.ordered_ns = 0;
  if (m->np > 0) sm_turnstile_pass(m->turn, S.ordered_item);
  return R_NilValue;
}
