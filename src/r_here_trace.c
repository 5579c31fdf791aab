/* r_here_trace.c: see r_here_trace.h.
 *
 * Collections: R has no hook for collections, but it runs finalizers right after one. So this file keeps an unreachable object with a
 * finalizer ready: when the finalizer runs, a collection has just ended; gc.time() says how long it took (R counts whole milliseconds),
 * and the finalizer makes the next object. In a process that records for no map the chain ends.
 */
#include "r_here_trace.h"

#include <unistd.h>

#include "r_here.h"

sm_trace_shm *r_trace_target = NULL;
int r_trace_rank = 0;

static struct {
  pid_t pid;         /* process whose collections are watched; 0: none */
  uintptr_t chain;   /* number of the chain that counts; inherited chains end */
  double spent;      /* gc.time() so far, in seconds */
  uint64_t ended_ns; /* end of the last recorded collection */
} collections;

static double gc_seconds(void) {
  SEXP call = PROTECT(Rf_lang1(Rf_install("gc.time")));
  SEXP v = PROTECT(Rf_eval(call, R_BaseEnv));
  double s = TYPEOF(v) == REALSXP && XLENGTH(v) > 2 ? REAL(v)[2] : 0;
  UNPROTECT(2);
  return s;
}

static void collection_ended(SEXP x);
static void guard_ended(SEXP x) { (void)x; }

/* R forgets a finalizer that is registered by one it runs, if the next in its list runs too and all newer ones have run. So that not all
 * have, each of ours is followed by that of a guard, which lives until the next. */
static void watch_collections(void) {
  static SEXP guard = NULL;
  SEXP x = PROTECT(R_MakeExternalPtr((void *)collections.chain, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(x, collection_ended, FALSE);
  if (guard) R_ReleaseObject(guard);
  R_PreserveObject(guard = R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(guard, guard_ended, FALSE);
  UNPROTECT(1);
}

static void collection_ended(SEXP x) {
  if ((uintptr_t)R_ExternalPtrAddr(x) != collections.chain) return;
  if (!r_trace_target || collections.pid != sm_pid()) {
    collections.pid = 0;
    return;
  }
  uint64_t now = sm_clock_ns();
  double spent = gc_seconds(), took = spent - collections.spent;
  collections.spent = spent;
  watch_collections();
  if (!(took > 0) || took > 1e6) return;
  uint64_t ns = (uint64_t)(took * 1e9), t0 = now > ns ? now - ns : 0;
  if (t0 < collections.ended_ns) t0 = collections.ended_ns;
  collections.ended_ns = now;
  sm_trace_record(r_trace_target, r_trace_rank, SM_TRACE_GC, r_here.item, t0, now);
}

void r_trace_attach(sm_trace_shm *t, int rank) {
  bool same = t == r_trace_target;
  r_trace_target = t;
  r_trace_rank = rank;
  if (!t || same) return;
  collections.spent = gc_seconds();
  collections.ended_ns = sm_clock_ns();
  if (collections.pid == sm_pid()) return;
  collections.pid = sm_pid();
  collections.chain++;
  watch_collections();
}

void r_trace_leave(void) {
  if (!r_trace_target) return;
  uint64_t cpu, starved;
  sm_trace_cpu(&cpu, &starved);
  sm_trace_add_cpu(r_trace_target, r_trace_rank, cpu, starved);
  sm_trace_set_memory(r_trace_target, r_trace_rank, sm_trace_private_bytes());
}
