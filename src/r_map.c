/* r_map.c: making, spawning and ending a map; see r_map.h.
 *
 * Ownership: the external pointer with its finalizer stands before anything is acquired. The
 * finalizer does nothing in any process but the owner.
 * Fork and signals: a child closes the descriptors of every worker that this process knows, in all maps.
 */
#include "r_map.h"

#include <R.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem_heap.h"
#include "mem_segment.h"
#include "proc_reap.h"
#include "r_array.h"
#include "r_output.h"
#include "r_region.h"
#include "r_template.h"
#include "r_trace.h"
#include "r_util.h"
#include "r_worker.h"

#define MAP_MAGIC 0x534D4D50u

#define KEEP_BYTES ((size_t)4 << 20)

#define WORKED_NS 20000000u
#define FEW_ITEMS 64
#define TRIAL_NS 3000000u
#define PAUSE_MAX 16

static r_map *maps = NULL;

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

static void control_unmap(r_map *m) {
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

static void map_free(r_map *m) {
  r_map_end(m);
  for (r_map **p = &maps; *p; p = &(*p)->next)
    if (*p == m) {
      *p = m->next;
      break;
    }
  control_unmap(m);
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

/* np = 0 makes a map that runs in this process. retries: whole number, or NA where a dead worker gets no
 * successor at all. timeout: seconds an item may take, or Inf. output: r_output_mode. */
SEXP ffi_map_new(SEXP np, SEXP nitems, SEXP retries, SEXP timeout, SEXP output) {
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(ptr, map_finalize, FALSE);
  r_map *m = calloc(1, sizeof *m);
  if (!m) r_abort("sharedmem_memory_error", "cannot allocate a map");
  m->magic = MAP_MAGIC;
  m->owner = sm_pid();
  m->next = maps;
  maps = m;
  R_SetExternalPtrAddr(ptr, m);
  m->nitems = (int64_t)Rf_asReal(nitems);
  m->np = Rf_asInteger(np);
  if (m->np > 0) {
    sm_proc_init(&m->template);
    m->respawn = Rf_asInteger(retries) != NA_INTEGER;
    m->retries = m->respawn ? Rf_asInteger(retries) : 0;
    m->timeout_s = Rf_asReal(timeout);
    m->output = Rf_asInteger(output);
    m->shared[0].fd = m->shared[1].fd = m->shared_ends[0] = m->shared_ends[1] = -1;
    m->worker = calloc((size_t)m->np, sizeof *m->worker);
    m->delivered = calloc((size_t)m->nitems, 1);
    int rc = m->worker && m->delivered ? lay_out(m) : -ENOMEM;
    if (rc < 0) r_abort("sharedmem_memory_error", "cannot map %.0f bytes for a map of %d workers: %s", (double)m->nbytes, m->np, sm_error_text(rc));
  }
  UNPROTECT(1);
  return ptr;
}

void r_map_forget_all(const r_map *m, int mine) {
  r_region_forget_all();
  for (r_map *other = maps; other; other = other->next) {
    sm_proc_forget(&other->template);
    r_output_close(other->shared);
    if (other != m) r_output_close_ends(other->shared_ends);
    for (int i = 0; i < other->np; i++) {
      sm_proc_forget(&other->worker[i].proc);
      r_output_close(other->worker[i].stream);
      if (other != m || i != mine) r_channel_close(&other->worker[i].chan);
    }
  }
}

/* Fork the worker of a rank. 0 in the parent, 1 in the child, or a negative code. */
static int spawn(r_map *m, int rank) {
  r_worker *w = &m->worker[rank];
  int ends[2], sock = -1;
  int rc = r_output_open(m, w, ends);
  if (rc < 0) return rc;
  w->forked_ns = m->trace ? sm_clock_ns() : 0;
  rc = sm_proc_spawn(&w->proc, &sock);
  if (rc == 1) {
    r_map_forget_all(m, rank);
    r_output_redirect(m, ends);
    r_output_close_ends(m->shared_ends);
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

/* A map of few items may need one worker only. Is another one needed, the first having been forked in fork_ns? The answer is put off
 * for the time of another fork at most, while what has run so far says that the rest will have begun by then. Where the wait
 * was in vain, the next 1, 2, 4, ... 16 maps do without it. */
static bool needs_second(r_map *m, uint64_t fork_ns) {
  static int pause, left_out;
  uint64_t start = sm_clock_ns(), began = 0, trial = fork_ns < TRIAL_NS ? fork_ns : TRIAL_NS;
  if (m->nitems > FEW_ITEMS) return !all_begun(m);
  if (left_out < pause) return left_out++, !all_begun(m);
  left_out = 0;
  while (!all_begun(m)) {
    uint64_t now = sm_clock_ns(), left = (uint64_t)sm_queue_left(m->queue), begun = (uint64_t)m->nitems - left;
    if (begun > 0 && began == 0) began = now;
    if (now - start > trial || (begun > 0 && (now - began) / begun * left > trial / 2)) {
      pause = pause == 0 ? 1 : pause < PAUSE_MAX ? 2 * pause : PAUSE_MAX;
      return true;
    }
    sched_yield();
  }
  pause = 0;
  return false;
}

/* Fork workers, the template first, while there are items for them; `main` is called in each with the map and its rank,
 * and never returns from there. */
SEXP ffi_map_spawn(SEXP ptr, SEXP main) {
  r_map *m = r_map_get(ptr);
  fflush(NULL);
  r_array_collect_before(0); /* what is collected while workers run they would still have */
  m->reserve = sm_heap_prepare(m->np);
  m->spawned_ns = sm_clock_ns();
  int rc = r_output_open_shared(m);
  if (rc == 0 && m->respawn) rc = r_template_spawn(m, ptr, main);
  int i = -1;
  uint64_t fork_ns = 0;
  while (rc == 0 && ++i < m->np && (i == 0 || (i == 1 ? needs_second(m, fork_ns) : !all_begun(m)))) {
    fork_ns = sm_clock_ns();
    rc = spawn(m, i);
    if (rc == 1) r_worker_run(m, i, ptr, main); /* does not return */
    fork_ns = sm_clock_ns() - fork_ns;
    R_CheckUserInterrupt(); /* forks of a large process take their time; what has started ends with the map */
  }
  if (rc < 0) {
    r_map_end(m);
    r_abort("sharedmem_fork_error", "cannot start worker %d of %d: %s%s", i, m->np, sm_error_text(rc),
            rc == -EMFILE || rc == -ENFILE ? "; use fewer workers, or raise the limit of open files (ulimit -n)"
            : rc == -EAGAIN              ? "; use fewer workers, or raise the limit of processes (ulimit -u)"
                                         : "");
  }
  atomic_store(&m->ctl->forked, 1);
  sm_futex_wake(&m->ctl->forked, m->np);
  r_output_close_ends(m->shared_ends);
  return R_NilValue;
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
  if (m->spawned_ns > 0 && sm_clock_ns() - m->spawned_ns > WORKED_NS) sm_heap_freed();
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
  r_output_close(m->shared);
  r_output_close_ends(m->shared_ends);
}

SEXP ffi_map_end(SEXP ptr) {
  r_map *m = R_ExternalPtrAddr(ptr);
  if (m && m->owner == sm_pid()) {
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
  if (m && m->owner == sm_pid())
    for (int i = 0; i < m->np; i++)
      if (m->worker[i].state == R_WORKER_RUNNING && !sm_proc_poll(&m->worker[i].proc)) any = true;
  return Rf_ScalarLogical(any);
}

/* Bytes resident in this process alone or with its forks, shared mappings not counted; 0 where the system does not say. */
SEXP ffi_private_bytes(void) {
  double size = 0, resident = 0, shared = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f) {
    if (fscanf(f, "%lf %lf %lf", &size, &resident, &shared) != 3) resident = shared = 0;
    fclose(f);
  }
  return Rf_ScalarReal((resident - shared) * (double)sysconf(_SC_PAGESIZE));
}
