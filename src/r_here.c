/* r_here.c: see r_here.h. */
#include "r_here.h"

#include "proc_worker.h"

r_here_state r_here = {.item = -1};
int r_kill_at = R_KILL_NONE;

int r_here_rank(const void *of) { return of && r_here.of == of && r_here.pid == sm_pid() ? r_here.rank : -1; }

void r_here_set_awaited(r_here_state *now, pid_t owner, uint64_t began_ns) {
  int n = 0;
  if (owner != 0 && r_here.of && r_here.pid == owner)
    for (; n < r_here.nawaited_by; n++) {
      now->awaited_by[n] = r_here.awaited_by[n];
      now->awaited_ns[n] = r_here.awaited_ns[n];
    }
  if (owner != 0 && n < R_HERE_DEPTH) {
    now->awaited_by[n] = owner;
    now->awaited_ns[n++] = began_ns;
  }
  now->nawaited_by = n;
}

bool r_here_awaited_by(pid_t pid, uint64_t since_ns) {
  if (!r_here.of || r_here.pid != sm_pid()) return false;
  for (int i = 0; i < r_here.nawaited_by; i++)
    if (r_here.awaited_by[i] == pid && since_ns < r_here.awaited_ns[i]) return true;
  return false;
}

void r_here_pause(void) {
  if (r_here.slot && r_here.pid == sm_pid()) sm_queue_pause(r_here.slot);
}

void r_here_resume(void) {
  if (r_here.slot && r_here.pid == sm_pid()) sm_queue_resume(r_here.slot);
}

void r_kill_self(void) {
  if (r_here.of && r_here.pid == sm_pid() && r_here.rank == 0 && r_here.first) sm_proc_end_self();
}

/* For tests, before the map. */
SEXP ffi_test_kill_at(SEXP where) {
  r_kill_at = Rf_asInteger(where);
  return R_NilValue;
}
