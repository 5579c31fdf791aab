/* r_team.c: see r_team.h.
 *
 * Errors: a member runs under R_ToplevelExec() and ends itself, so no code of it ever returns to top level. q() and every other way into
 * R's exit path meet exit_finalizer(), which R runs before it removes the temporary directory.
 */
#include "r_team.h"

#include <R.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc_reap.h"
#include "proc_tree.h"
#include "r_here.h"
#include "r_util.h"

#define FRAMES_IN_A_ROW 256

static r_team *teams = NULL;
const r_team_guests *r_team_guest = NULL;

/* ---- making ---- */

int r_team_open(r_team *t, void *of, int n, r_output_mode output) {
  t->of = of;
  t->began_ns = sm_clock_ns();
  t->owner = sm_pid();
  t->n = n;
  t->output = output;
  t->member = calloc((size_t)n + 1, sizeof *t->member);
  if (!t->member) return -ENOMEM;
  for (int i = 0; i <= n; i++) {
    r_member *m = &t->member[i];
    sm_proc_init(&m->proc);
    m->chan.sock = m->chan.spill.fd = m->chan.moved_fd = -1;
    m->doomed = m->out[0].fd = m->out[1].fd = m->out[0].end = m->out[1].end = -1;
  }
  t->next = teams;
  teams = t;
  return 0;
}

r_team *r_team_get(SEXP ptr) {
  const void *at = TYPEOF(ptr) == EXTPTRSXP ? R_ExternalPtrAddr(ptr) : NULL;
  for (r_team *t = teams; at && t; t = t->next)
    if (t->of == at) return t;
  r_abort_argument("team", Rf_type2char(TYPEOF(ptr)), "a map, region or cluster that runs");
}

size_t r_team_align(size_t n) { return (n + SM_CACHELINE - 1) / SM_CACHELINE * SM_CACHELINE; }

size_t r_team_rings_nbytes(int n, uint64_t capacity) { return r_team_align(sm_ring_nbytes(capacity)) * (size_t)n; }

void r_team_set_rings(r_team *t, void *mem, uint64_t capacity, r_team_shm *shm) {
  t->shm = shm;
  for (int i = 0; i < t->n; i++) {
    uint8_t *ring = (uint8_t *)mem + r_team_rings_nbytes(i, capacity);
    memset(ring, 0, sizeof(sm_ring_shm));
    r_channel_open(&t->member[i].chan, ring, capacity);
    t->member[i].chan.sleeping = &shm->sleeping;
  }
}

int r_team_begin_forks(r_team *t) {
  sm_proc_flush();
  r_stream(*out)[2] = malloc((size_t)t->n * sizeof *out);
  if (!out) return -ENOMEM;
  for (int i = 0; i < t->n; i++) memcpy(out[i], t->member[i].out, sizeof out[i]);
  int rc = r_output_open(out, t->n, t->output);
  for (int i = 0; i < t->n; i++) memcpy(t->member[i].out, out[i], sizeof out[i]);
  free(out);
  return rc;
}

static void close_ends(r_team *t) {
  for (int i = 0; i < t->n; i++) r_output_close_ends(t->member[i].out);
}

void r_team_end_forks(r_team *t, bool more) {
  if (!more) close_ends(t);
  t->begun = true;
  atomic_store(&t->shm->all_forked, 1);
  sm_futex_wake(&t->shm->all_forked, t->n);
}

/* ---- forking ---- */

void r_team_forget_all(const r_team *mine, int keep) {
  for (r_team *t = teams; t; t = t->next)
    for (int i = 0; i <= t->n; i++) {
      sm_proc_forget(&t->member[i].proc);
      if (t == mine) r_output_forget(t->member[i].out); /* this child, or its successors, write there */
      else r_output_close(t->member[i].out);
      if (t != mine || i != keep) r_channel_close(&t->member[i].chan);
    }
}

void r_team_take_place(r_team *t, int rank, int sock) {
  r_output_redirect(t->member[rank].out, t->member[0].out, t->output);
  close_ends(t);
  t->member[rank].chan.sock = sock;
}

int r_team_spawn(r_team *t, int rank) {
  r_member *m = &t->member[rank];
  int sock = -1;
  m->forked_ns = sm_clock_ns();
  int rc = sm_proc_spawn(&m->proc, &sock);
  if (rc == 1) {
    r_team_forget_all(t, rank);
    if (rank < t->n) r_team_take_place(t, rank, sock);
    else m->chan.sock = sock;
  }
  if (rc != 0) return rc;
  m->chan.sock = m->proc.sock;
  m->chan.peer = m->proc.pid;
  m->state = R_MEMBER_RUNNING;
  return 0;
}

/* ---- reading ---- */

/* The next frame of one member. */
static bool read_member(r_team *t, int rank, sm_frame *f, SEXP *value) {
  r_member *m = &t->member[rank];
  while (m->state == R_MEMBER_RUNNING) {
    bool closed = sm_ring_closed(&m->chan.ring);
    int rc = sm_ring_peek(&m->chan.ring, f);
    if (rc < 0) r_abort("sharedmem_channel_error", "the result ring of worker %d is damaged: %s", rank, sm_error_text(rc));
    if (rc == 0) {
      if (closed) m->state = R_MEMBER_DONE;
      return false;
    }
    *value = PROTECT(r_frame_read(&m->chan, f));
    sm_ring_release(&m->chan.ring, f);
    UNPROTECT(1);
    if (*value == R_UnboundValue) continue;
    if (f->type == 0 || f->type >= R_FRAME_NTYPES) r_abort("sharedmem_channel_error", "unknown frame from worker %d", rank);
    if (f->type != R_FRAME_QUIT) return true;
    m->quit = true;
    m->quit_code = Rf_asInteger(*value);
  }
  return false;
}

bool r_team_next_frame(r_team *t, int *rank, sm_frame *f, SEXP *value) {
  for (int tried = 0; tried <= t->n; tried++) {
    if (t->at >= t->n) t->at = 0;
    *rank = t->at;
    if (t->in_a_row++ < FRAMES_IN_A_ROW && read_member(t, t->at, f, value)) return true;
    t->in_a_row = 0;
    t->at++;
  }
  return false;
}

int r_team_running(const r_team *t) {
  int n = 0;
  for (int i = 0; i < t->n; i++) n += t->member[i].state == R_MEMBER_RUNNING;
  return n;
}

static bool anything_waits(r_team *t) {
  sm_frame f;
  for (int i = 0; i < t->n; i++) {
    r_member *m = &t->member[i];
    if (m->state == R_MEMBER_RUNNING && (sm_ring_peek(&m->chan.ring, &f) != 0 || sm_ring_closed(&m->chan.ring))) return true;
  }
  return false;
}

/* Sockets and pidfds of running members, and pipes. of[i]: the member whose pidfd polls[i] is. */
static int list_polls(const r_team *t, struct pollfd *polls, r_member **of) {
  int n = 0;
  for (int i = 0; i <= t->n; i++) {
    r_member *m = &t->member[i];
    for (int k = 0; k < 2; k++)
      if (m->out[k].fd >= 0 && !m->out[k].spool) of[n] = NULL, polls[n++] = (struct pollfd){m->out[k].fd, POLLIN, 0};
    if (m->state != R_MEMBER_RUNNING) continue;
    if (!m->chan.eof) of[n] = NULL, polls[n++] = (struct pollfd){m->chan.sock, POLLIN, 0};
    if (m->proc.pidfd >= 0 && !m->ended) of[n] = m, polls[n++] = (struct pollfd){m->proc.pidfd, POLLIN, 0};
  }
  return n;
}

void r_team_sleep(r_team *t, int timeout_ms) {
  const void *vmax = vmaxget();
  int nguests = r_team_guest ? r_team_guest->count() : 0;
  size_t most = ((size_t)t->n + 1) * 4 + (size_t)nguests;
  struct pollfd *polls = (struct pollfd *)R_alloc(most, sizeof *polls);
  r_member **of = (r_member **)R_alloc(most, sizeof *of);
  int n = list_polls(t, polls, of);
  atomic_store(&t->shm->sleeping, 1);
  if (anything_waits(t)) timeout_ms = 0;
  if (nguests > 0) r_team_guest->list(polls + n);
  poll(polls, (nfds_t)(n + nguests), timeout_ms);
  atomic_store(&t->shm->sleeping, 0);
  for (int i = 0; i < n; i++)
    if (of[i] && polls[i].revents) of[i]->ended = true;
  vmaxset(vmax);
  for (int i = 0; i <= t->n; i++) {
    r_member *m = &t->member[i];
    if (m->state == R_MEMBER_RUNNING && !m->chan.eof) r_channel_drain_socket(&m->chan);
  }
  r_team_relay_output(t, false);
  if (nguests > 0) r_team_guest->serve();
}

void r_team_relay_output(r_team *t, bool all) {
  for (int k = 0; k < 2; k++)
    for (int i = 0; i < t->n; i++) r_output_relay(&t->member[i].out[k], k, all);
}

SEXP r_team_frame(const r_team *t, const char *type, int rank, SEXP value, int64_t item) {
  static const char *names[] = {"type", "rank", "value", "item", "pid", ""};
  PROTECT(value);
  SEXP out = PROTECT(Rf_mkNamed(VECSXP, names));
  SET_VECTOR_ELT(out, 0, Rf_mkString(type));
  SET_VECTOR_ELT(out, 1, Rf_ScalarInteger(rank));
  SET_VECTOR_ELT(out, 2, value);
  SET_VECTOR_ELT(out, 3, Rf_ScalarReal(item < 0 ? NA_REAL : (double)item + 1));
  SET_VECTOR_ELT(out, 4, Rf_ScalarInteger(rank < 0 ? NA_INTEGER : t->member ? (int)t->member[rank].proc.pid : (int)sm_pid()));
  UNPROTECT(2);
  return out;
}

/* ---- the end ---- */

/* A member sends nothing after its last frame, so where all have sent theirs a thread waits for their ends. */
static void leave_members(r_team *t) {
  int n = 0;
  for (int i = 0; i <= t->n; i++)
    if (t->member[i].remote || (t->member[i].state != R_MEMBER_DONE && t->member[i].state != R_MEMBER_NONE)) return;
  pid_t *pids = t->n > 0 ? malloc((size_t)t->n * sizeof *pids) : NULL;
  if (!pids) return;
  for (int i = 0; i < t->n; i++)
    if (sm_proc_leave(&t->member[i].proc)) pids[n++] = t->member[i].proc.pid;
  sm_reap_begin(pids, n);
  free(pids);
}

void r_team_end(r_team *t) {
  if (!t->member || t->owner != sm_pid()) return;
  for (int i = 0; i < t->n; i++) t->member[i].proc.peaceful = t->member[i].state == R_MEMBER_DONE;
  leave_members(t);
  for (int i = 0; i <= t->n; i++) sm_proc_kill(&t->member[i].proc);
  for (int i = 0; i <= t->n; i++) {
    r_member *m = &t->member[i];
    sm_proc_close(&m->proc);
    sm_proc_forget(&m->proc);
    r_output_close(m->out);
    r_channel_close(&m->chan);
    if (m->state == R_MEMBER_RUNNING) m->state = R_MEMBER_DEAD;
  }
}

void r_team_close(r_team *t) {
  r_team_end(t);
  for (r_team **p = &teams; *p; p = &(*p)->next)
    if (*p == t) {
      *p = t->next;
      break;
    }
  free(t->member);
  t->member = NULL;
}

/* ---- in a member ---- */

static struct {
  r_team *team;
  const r_team_work *work;
  pid_t parent;
} self;

static int orphan_check(void *arg) {
  (void)arg;
  if (sm_proc_orphaned(self.parent)) sm_group_kill(sm_pid());
  return 0;
}

const sm_watch r_team_orphans = {NULL, orphan_check, NULL};

static int quit_code = -1;

/* status: what q() was called with. */
SEXP ffi_team_quit(SEXP status) {
  quit_code = Rf_asInteger(status);
  return R_NilValue;
}

void r_team_leave(bool quit) {
  r_channel *c = &self.team->member[r_here.rank].chan;
  sm_proc_flush();
  self.work->last();
  if (quit) {
    SEXP code = PROTECT(Rf_ScalarInteger(quit_code));
    r_frame_send(c, R_FRAME_QUIT, code, r_here.item, 0, &r_team_orphans);
    UNPROTECT(1);
  } else {
    sm_ring_close(&c->ring);
  }
  r_channel_wake(c);
  r_kill_point(R_KILL_LAST_FRAME);
  /* Exiting frees pages under the kernel lock that fork() needs, so this waits until the owner has forked all members. */
  _Atomic uint32_t *all = &self.team->shm->all_forked;
  while (!atomic_load(all) && sm_watch_look(&r_here.watch) == 0) sm_futex_wait(all, 0, SM_SLICE_MS);
  sm_reap_join(); /* workers of a map in this one's last item do not outlive it */
  sm_proc_end_self();
}

/* A finalizer registered with onexit = TRUE is the only hook that R runs before it exits. */
static void exit_finalizer(SEXP x) {
  (void)x;
  if (r_here.of && r_here.pid == sm_pid()) r_team_leave(true);
  sm_reap_join(); /* what a map has left to a thread ends before its session does */
}

SEXP ffi_team_guard_exit(void) {
  SEXP x = PROTECT(R_MakeExternalPtr(&self, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(x, exit_finalizer, TRUE);
  UNPROTECT(1);
  return x;
}

static void eval_call(void *call) { Rf_eval((SEXP)call, R_GlobalEnv); }

void r_team_work_as(r_team *t, int rank, const r_team_work *w) {
  self.team = t;
  self.work = w;
  self.parent = getppid();
  r_here_state now = {w->of, sm_pid(), rank, self.parent == t->owner && !t->begun, -1, {&t->shm->failed, orphan_check, NULL}, w->slot,
                      {0},   {0},      0};
  r_here_set_awaited(&now, w->awaited ? t->owner : 0, t->began_ns);
  r_here = now;
  R_PreserveObject(ffi_team_guard_exit()); /* R runs the newest finalizer first, so before those of the owner's objects */
  SEXP arg = PROTECT(Rf_ScalarInteger(rank));
  SEXP call = PROTECT(Rf_lang2(w->main, arg)), last = PROTECT(Rf_lang1(w->jumped));
  bool jumped = !R_ToplevelExec(eval_call, call);
  if (jumped) R_ToplevelExec(eval_call, last);
  r_team_leave(jumped); /* after a jump the batch is unfinished, so the owner must see a death */
}
