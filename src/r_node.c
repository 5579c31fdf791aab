/* r_node.c: the nodes of a cluster: forked processes that wait for calls, compute them, and answer.
 *
 * Purpose: carry R values both ways between the owner and each node, over the same channels as a map's results.
 * Layout of the shared memory: r_node_ctl_shm | n flags "node sleeps", a cache line each | n rings up | n rings down.
 * Ownership: the owner writes the rings down and reads the rings up; a node reads its own ring down and writes its own up. Both ends of
 * a node's socket carry wake-ups and descriptors, each in its direction.
 * Errors: the owner's waits for a node end when that node has died, or with an interrupt. A node ends with its owner.
 */
#include <R.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "mem_heap.h"
#include "mem_segment.h"
#include "r_here.h"
#include "r_memory.h"
#include "r_team.h"
#include "r_util.h"

#define NODE_MAGIC 0x534D4E44u
#define RING_CAPACITY (UINT64_C(1) << 16)

typedef struct {
  _Atomic uint32_t sleeping; /* the node waits in poll for the owner */
  uint8_t pad[SM_CACHELINE - 4];
} r_node_shm;

_Static_assert(sizeof(r_node_shm) == SM_CACHELINE, "r_node_shm layout");

typedef struct {
  uint32_t magic;
  pid_t owner;
  int n;
  void *mem;
  size_t nbytes;
  r_team team;
  r_node_shm *node; /* n of them */
  r_channel *down;  /* n of them: the owner writes, the node reads */
} r_cluster;

/* One node, as the watch of a wait for it sees it. */
typedef struct {
  r_cluster *c;
  int rank;
} node_ref;

static void cluster_free(r_cluster *c) {
  if (c->mem) {
    atomic_store(&c->team.shm->failed, 1);
    r_team_close(&c->team);
    for (int i = 0; i < c->n; i++) r_channel_close(&c->down[i]);
    sm_anon_unmap(c->mem, c->nbytes);
  }
  free(c->down);
  c->magic = 0;
  free(c);
}

static void cluster_finalize(SEXP ptr) {
  r_cluster *c = R_ExternalPtrAddr(ptr);
  if (!c || c->owner != sm_pid()) return;
  R_ClearExternalPtr(ptr);
  cluster_free(c);
}

static r_cluster *cluster_get(SEXP ptr) {
  r_cluster *c = TYPEOF(ptr) == EXTPTRSXP ? R_ExternalPtrAddr(ptr) : NULL;
  if (!c || c->magic != NODE_MAGIC)
    r_abort("sharedmem_cluster_error", "this cluster has been stopped: make a new one by make_shared_cluster()");
  return c;
}

static r_cluster *cluster_owned(SEXP ptr) {
  r_cluster *c = cluster_get(ptr);
  if (c->owner != sm_pid())
    r_abort("sharedmem_cluster_error", "this cluster belongs to process %d: a worker makes one of its own by make_shared_cluster()",
            (int)c->owner);
  return c;
}

static int lay_out(r_cluster *c) {
  size_t ctl = r_team_align(sizeof(r_team_shm)), flags = (size_t)c->n * sizeof(r_node_shm);
  size_t rings = r_team_rings_nbytes(c->n, RING_CAPACITY);
  c->nbytes = ctl + flags + 2 * rings;
  int rc = sm_anon_map(c->nbytes, &c->mem);
  if (rc < 0) return rc;
  uint8_t *p = c->mem;
  c->node = (r_node_shm *)(p + ctl);
  r_team_set_rings(&c->team, p + ctl + flags, RING_CAPACITY, (r_team_shm *)p);
  for (int i = 0; i < c->n; i++) {
    r_channel_open(&c->down[i], p + ctl + flags + rings + r_team_rings_nbytes(i, RING_CAPACITY), RING_CAPACITY);
    c->down[i].sleeping = &c->node[i].sleeping;
  }
  return 0;
}

static void nothing(void) {}

/* n nodes to be, in no process yet. output: r_output_mode. */
SEXP ffi_node_new(SEXP n, SEXP output) {
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(ptr, cluster_finalize, FALSE);
  r_cluster *c = calloc(1, sizeof *c);
  if (!c) r_abort("sharedmem_memory_error", "cannot allocate a cluster");
  c->magic = NODE_MAGIC;
  c->owner = sm_pid();
  R_SetExternalPtrAddr(ptr, c);
  c->n = Rf_asInteger(n);
  c->down = calloc((size_t)c->n, sizeof *c->down);
  int rc = c->down ? r_team_open(&c->team, c->n, (r_output_mode)Rf_asInteger(output)) : -ENOMEM;
  if (rc == 0) rc = lay_out(c);
  if (rc < 0) r_abort("sharedmem_memory_error", "cannot map %.0f bytes for a cluster: %s", (double)c->nbytes, sm_error_text(rc));
  UNPROTECT(1);
  return ptr;
}

/* Fork the nodes: each evaluates main(rank), or jumped() after a jump to top level, and ends. */
SEXP ffi_node_spawn(SEXP ptr, SEXP main, SEXP jumped) {
  r_cluster *c = cluster_owned(ptr);
  r_memory_collect_before(0);
  size_t reserve = sm_heap_before_fork(c->n);
  int rc = r_team_begin_forks(&c->team), i = -1;
  while (rc == 0 && ++i < c->n) {
    rc = r_team_spawn(&c->team, i);
    if (rc == 1) {
      sm_heap_tune_child(reserve);
      c->down[i].sock = c->team.member[i].chan.sock;
      c->down[i].peer = c->owner;
      r_team_work work = {.of = c, .main = main, .jumped = jumped, .last = nothing};
      r_team_work_as(&c->team, i, &work); /* does not return */
    }
    R_CheckUserInterrupt();
  }
  if (rc < 0) {
    R_ClearExternalPtr(ptr);
    cluster_free(c);
    r_abort("sharedmem_fork_error", "cannot start node %d: %s", i + 1, sm_error_text(rc));
  }
  r_team_end_forks(&c->team);
  for (i = 0; i < c->n; i++) c->down[i].sock = c->team.member[i].proc.sock;
  return R_NilValue;
}

SEXP ffi_node_end(SEXP ptr) {
  r_cluster *c = R_ExternalPtrAddr(ptr);
  if (c && c->owner == sm_pid()) {
    r_team_relay_output(&c->team, true);
    R_ClearExternalPtr(ptr);
    cluster_free(c);
  }
  return R_NilValue;
}

SEXP ffi_node_pids(SEXP ptr) {
  r_cluster *c = cluster_get(ptr);
  SEXP out = PROTECT(Rf_allocVector(INTSXP, c->n));
  for (int i = 0; i < c->n; i++) INTEGER(out)[i] = (int)c->team.member[i].proc.pid;
  UNPROTECT(1);
  return out;
}

/* ---- the owner's side ---- */

/* Leave a wait for a node that has died, or for Ctrl-C. */
static int owner_check(void *ref) {
  node_ref *r = ref;
  return r_team_has_died(&r->c->team, r->rank) || r_interrupt_pending(NULL);
}

/* Hand a value to a node. TRUE, or FALSE where the node has died or its channel cannot be used any more. */
SEXP ffi_node_give(SEXP ptr, SEXP rank, SEXP value) {
  r_cluster *c = cluster_owned(ptr);
  node_ref ref = {c, Rf_asInteger(rank)};
  r_member *m = &c->team.member[ref.rank];
  if (m->state != R_MEMBER_RUNNING) return Rf_ScalarLogical(FALSE);
  sm_watch watch = {NULL, owner_check, &ref};
  int rc = r_frame_send(&c->down[ref.rank], R_FRAME_RESULT, value, 0, 1, &watch);
  if (rc < 0 && !r_team_has_died(&c->team, ref.rank)) r_interrupt_raise();
  return Rf_ScalarLogical(rc >= 0);
}

/* The next answer of any node, or the news that one has died, as r_team_frame() gives it: waits for it. */
SEXP ffi_node_answer(SEXP ptr) {
  r_cluster *c = cluster_owned(ptr);
  for (;;) {
    int rank;
    sm_frame f;
    SEXP value;
    if (r_team_next_frame(&c->team, &rank, &f, &value)) {
      PROTECT(value);
      r_team_relay_output(&c->team, false); /* what a node printed comes before its answer */
      UNPROTECT(1);
      return r_team_frame(&c->team, r_frame_names[f.type], rank, value, -1);
    }
    for (rank = 0; rank < c->n; rank++) {
      r_member *m = &c->team.member[rank];
      if (!r_team_has_died(&c->team, rank)) continue;
      while (!sm_proc_wait(&m->proc, SM_SLICE_MS)) R_CheckUserInterrupt();
      m->state = R_MEMBER_DEAD;
      return r_team_frame(&c->team, m->quit ? "quit" : "death", rank, PROTECT(Rf_ScalarInteger(m->proc.status)), -1);
    }
    if (r_team_running(&c->team) == 0) return R_NilValue;
    r_team_sleep(&c->team, SM_SLICE_MS);
    R_CheckUserInterrupt();
  }
}

/* ---- in a node ---- */

/* The next value that the owner has given: waits for it. */
SEXP ffi_node_take(SEXP ptr) {
  r_cluster *c = cluster_get(ptr);
  r_channel *down = &c->down[r_here.rank];
  _Atomic uint32_t *sleeping = &c->node[r_here.rank].sleeping;
  sm_frame f;
  for (;;) {
    int rc = sm_ring_peek(&down->ring, &f);
    if (rc < 0) r_abort("sharedmem_channel_error", "a call for this node is damaged: %s", sm_error_text(rc));
    if (rc == 1) {
      SEXP value = PROTECT(r_frame_read(down, &f));
      sm_ring_release(&down->ring, &f);
      UNPROTECT(1);
      if (value != R_UnboundValue) return value;
      continue;
    }
    if (sm_watch_look(&r_here.watch) != 0) r_team_leave(false);
    atomic_store(sleeping, 1);
    struct pollfd p = {down->sock, POLLIN, 0};
    if (sm_ring_peek(&down->ring, &f) == 0) poll(&p, 1, SM_SLICE_MS);
    atomic_store(sleeping, 0);
    if (r_channel_drain_socket(down) < 0) r_team_leave(false); /* the owner has gone */
  }
}

/* Answer the owner. */
SEXP ffi_node_reply(SEXP ptr, SEXP value) {
  r_cluster *c = cluster_get(ptr);
  if (r_frame_send(&c->team.member[r_here.rank].chan, R_FRAME_RESULT, value, 0, 1, &r_here.watch) < 0) r_team_leave(false);
  return R_NilValue;
}
