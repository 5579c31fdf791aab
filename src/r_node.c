/* r_node.c: the nodes of a cluster: forked processes that wait for calls, compute them, and answer.
 *
 * Purpose: carry R values both ways between the owner and each node, over the same channels as a map's results.
 * Layout of the shared memory: r_team_shm | n flags "node sleeps", a cache line each | n desks of the template | n rings up | n rings
 * down. In a served cluster (r_server.h) it is a segment, and nodes are forked by a process that the owner has not forked.
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
#include "r_team_template.h"
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
  size_t reserve; /* address space for each node's heap */
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
    r_template_end(&c->team);
    r_team_close(&c->team);
    for (int i = 0; i < c->n; i++) r_channel_close(&c->down[i]);
    if (c->team.seg) sm_segment_unref(c->team.seg);
    else sm_anon_unmap(c->mem, c->nbytes);
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

/* Find the parts of a cluster in its memory: in a segment where there is `fd` (that of another process's cluster, to which it belongs
 * then) or where it is served. */
static int lay_out(r_cluster *c, bool served, int fd) {
  size_t ctl = r_team_align(sizeof(r_team_shm)), flags = (size_t)c->n * sizeof(r_node_shm);
  size_t desks = r_team_align((size_t)c->n * sizeof(r_desk_shm)), rings = r_team_rings_nbytes(c->n, RING_CAPACITY);
  c->nbytes = ctl + flags + desks + 2 * rings;
  int rc = fd >= 0  ? sm_segment_adopt(fd, &c->team.seg)
           : served ? sm_segment_new(c->nbytes, &c->team.seg)
                    : sm_anon_map(c->nbytes, &c->mem);
  if (rc < 0) return rc;
  if (c->team.seg && c->team.seg->nbytes < c->nbytes) return SM_EFORMAT;
  uint8_t *p = c->mem = c->team.seg ? c->team.seg->payload : c->mem;
  c->node = (r_node_shm *)(p + ctl);
  c->team.desks = (r_desk_shm *)(p + ctl + flags);
  p += ctl + flags + desks;
  r_team_set_rings(&c->team, p, RING_CAPACITY, (r_team_shm *)c->mem);
  for (int i = 0; i < c->n; i++) {
    r_channel_open(&c->down[i], p + rings + r_team_rings_nbytes(i, RING_CAPACITY), RING_CAPACITY);
    c->down[i].sleeping = &c->node[i].sleeping;
  }
  return 0;
}

static void nothing(void) {}

/* What a node does right after its fork. Does not return. */
static void be_node(void *cluster, int rank, SEXP main, SEXP jumped) {
  r_cluster *c = cluster;
  sm_heap_tune_child(c->reserve);
  c->down[rank].sock = c->team.member[rank].chan.sock;
  if (!c->team.seg) c->down[rank].peer = c->owner;
  r_team_work work = {.of = c, .main = main, .jumped = jumped, .last = nothing};
  r_team_work_as(&c->team, rank, &work);
}

/* A cluster, whose owner is this process or another one; see lay_out(). */
static SEXP make(int n, r_output_mode output, bool served, int fd, pid_t owner) {
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(ptr, cluster_finalize, FALSE);
  r_cluster *c = calloc(1, sizeof *c);
  if (!c) r_abort("sharedmem_memory_error", "cannot allocate a cluster");
  c->magic = NODE_MAGIC;
  c->owner = owner;
  R_SetExternalPtrAddr(ptr, c);
  c->n = n;
  c->down = calloc((size_t)c->n, sizeof *c->down);
  c->team.run = be_node;
  int rc = c->down ? r_team_open(&c->team, c, c->n, output) : -ENOMEM;
  c->team.owner = owner;
  if (rc == 0) rc = lay_out(c, served, fd);
  if (rc < 0) r_abort("sharedmem_memory_error", "cannot map %.0f bytes for a cluster: %s", (double)c->nbytes, sm_error_text(rc));
  UNPROTECT(1);
  return ptr;
}

/* n nodes to be, in no process yet. output: r_output_mode. served: they are to be no forks of this process. */
SEXP ffi_node_new(SEXP n, SEXP output, SEXP served) {
  return make(Rf_asInteger(n), (r_output_mode)Rf_asInteger(output), Rf_asLogical(served) == TRUE, -1, sm_pid());
}

/* In the process that is to be its template: the cluster of process `owner`, whose memory is behind a descriptor. */
SEXP ffi_node_join(SEXP n, SEXP output, SEXP fd, SEXP owner) {
  return make(Rf_asInteger(n), (r_output_mode)Rf_asInteger(output), true, Rf_asInteger(fd), (pid_t)Rf_asInteger(owner));
}

static void spawned(r_cluster *c, SEXP ptr, int rc, int at) {
  if (rc < 0) {
    R_ClearExternalPtr(ptr);
    cluster_free(c);
    r_abort("sharedmem_fork_error", "cannot start node %d: %s", at + 1, sm_error_text(rc));
  }
  r_team_end_forks(&c->team, false);
  for (int i = 0; i < c->n; i++) c->down[i].sock = c->team.member[i].proc.sock;
}

/* Fork the nodes: each evaluates main(rank), or jumped() after a jump to top level, and ends. */
SEXP ffi_node_spawn(SEXP ptr, SEXP main, SEXP jumped) {
  r_cluster *c = cluster_owned(ptr);
  r_memory_collect_before(0);
  c->reserve = sm_heap_before_fork(c->n);
  int rc = r_team_begin_forks(&c->team), i = -1;
  while (rc == 0 && ++i < c->n) {
    rc = r_team_spawn(&c->team, i);
    if (rc == 1) be_node(c, i, main, jumped); /* does not return */
    R_CheckUserInterrupt();
  }
  spawned(c, ptr, rc, i);
  return R_NilValue;
}

/* The same by the template that the cluster's team has been given. */
SEXP ffi_node_spawn_served(SEXP ptr) {
  r_cluster *c = cluster_owned(ptr);
  int rc = 0, i = -1;
  while (rc == 0 && ++i < c->n) rc = r_template_respawn(&c->team, i);
  spawned(c, ptr, rc, i);
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
      int status = r_team_status(&c->team, rank);
      m->state = R_MEMBER_DEAD;
      SEXP about = PROTECT(Rf_ScalarInteger(status));
      about = r_team_frame(&c->team, m->quit ? "quit" : "death", rank, about, -1);
      UNPROTECT(1);
      return about;
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
