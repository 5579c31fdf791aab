/* r_team_template.c: see r_team_template.h. The template runs no R code; the members that it forks do. */
#include "r_team_template.h"

#include <R.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "r_util.h"

typedef struct {
  r_team *team;
  int sock;      /* to the owner */
  sm_proc *kids; /* one a rank */
  SEXP main, jumped;
} template_state;

static void do_spawn(template_state *t, int rank) {
  sm_proc *kid = &t->kids[rank];
  r_desk_shm *desk = &t->team->desks[rank];
  int sock = -1;
  sm_proc_close(kid);
  sm_proc_init(kid);
  atomic_store(&desk->dead, 0);
  t->team->member[rank].forked_ns = sm_clock_ns();
  int rc = sm_proc_spawn(kid, &sock);
  if (rc == 1) {
    for (int i = 0; i < t->team->n; i++) sm_proc_forget(&t->kids[i]);
    close(t->sock);
    r_team_take_place(t->team, rank, sock);
    t->team->run(t->team->of, rank, t->main, t->jumped);
  }
  atomic_store(&desk->pid, rc < 0 ? rc : (int32_t)kid->pid);
  if (rc == 0 && (rc = sm_socket_send_fd(t->sock, kid->sock, NULL)) < 0) { /* the owner would wait for it */
    atomic_store(&desk->pid, rc);
    sm_proc_kill(kid);
  }
  if (rc < 0) sm_socket_wake(t->sock);
  if (kid->sock >= 0) close(kid->sock);
  kid->sock = -1;
}

static void do_commands(template_state *t) {
  for (int i = 0; i < t->team->n; i++) {
    int32_t c = atomic_exchange(&t->team->desks[i].command, R_DESK_IDLE);
    if (c == R_DESK_SPAWN) do_spawn(t, i);
    if (c == R_DESK_KILL) sm_proc_kill(&t->kids[i]);
    if (c == R_DESK_END) {
      for (int k = 0; k < t->team->n; k++) t->kids[k].peaceful = sm_ring_closed(&t->team->member[k].chan.ring);
      for (int k = 0; k < t->team->n; k++) sm_proc_kill(&t->kids[k]);
      for (int k = 0; k < t->team->n; k++) sm_proc_close(&t->kids[k]);
      sm_proc_end_self();
    }
  }
}

static void report_dead(template_state *t) {
  bool any = false;
  for (int i = 0; i < t->team->n; i++) {
    sm_proc *kid = &t->kids[i];
    kid->peaceful = sm_ring_closed(&t->team->member[i].chan.ring);
    if (kid->state == SM_PROC_NONE || !sm_proc_poll(kid)) continue;
    atomic_store(&t->team->desks[i].status, kid->status);
    atomic_store(&t->team->desks[i].dead, 1);
    sm_proc_forget(kid);
    sm_proc_init(kid); /* it is reported once, whoever has reaped it: a kill looks, too */
    any = true;
  }
  if (any) sm_socket_wake(t->sock);
}

static void template_loop(template_state *t) {
  struct pollfd *fds = calloc((size_t)t->team->n + 1, sizeof *fds);
  if (!fds || !t->kids) sm_proc_end_self();
  for (;;) {
    int n = 0, timeout = R_IDLE_MS, fd, got;
    fds[n++] = (struct pollfd){t->sock, POLLIN, 0};
    for (int i = 0; i < t->team->n; i++) {
      if (t->kids[i].state != SM_PROC_RUNNING) continue;
      if (t->kids[i].pidfd >= 0) fds[n++] = (struct pollfd){t->kids[i].pidfd, POLLIN, 0};
      else timeout = 20;
    }
    poll(fds, (nfds_t)n, timeout);
    while ((got = sm_socket_recv(t->sock, &fd)) > 0)
      if (fd >= 0) close(fd);
    if (got < 0) atomic_store(&t->team->desks[0].command, R_DESK_END); /* the owner has gone */
    do_commands(t);
    report_dead(t);
  }
}

static r_member *template_of(const r_team *t) { return &t->member[t->n]; }

int r_template_spawn(r_team *t, SEXP main, SEXP jumped) {
  int rc = r_team_spawn(t, t->n);
  if (rc == 1) r_template_serve(t, template_of(t)->chan.sock, main, jumped); /* does not return */
  return rc;
}

void r_template_serve(r_team *team, int sock, SEXP main, SEXP jumped) {
  template_state t = {team, sock, calloc((size_t)team->n, sizeof(sm_proc)), main, jumped};
  for (int i = 0; t.kids && i < team->n; i++) sm_proc_init(&t.kids[i]);
  template_loop(&t);
}

void r_template_adopt(r_team *team, int sock, pid_t pid) {
  r_member *t = template_of(team);
  t->proc.pid = pid;
  t->proc.sock = t->chan.sock = sock;
  t->proc.pidfd = sm_proc_open_pidfd(pid);
  t->remote = true;
  t->state = R_MEMBER_RUNNING;
}

static void command(r_team *team, int rank, int32_t c) {
  atomic_store(&team->desks[rank].command, c);
  sm_socket_wake(template_of(team)->chan.sock);
}

bool r_template_lives(r_team *team) {
  r_member *t = template_of(team);
  if (t->state == R_MEMBER_RUNNING && (t->chan.eof || t->ended)) {
    sm_proc_close(&t->proc); /* the members that it forked die with it */
    t->state = R_MEMBER_DEAD;
  }
  return t->state == R_MEMBER_RUNNING;
}

int r_template_respawn(r_team *team, int rank) {
  r_member *w = &team->member[rank], *t = template_of(team);
  sm_proc_close(&w->proc);
  sm_proc_forget(&w->proc); /* a remote one is not ours to close */
  sm_proc_init(&w->proc);
  r_channel_close(&w->chan);
  if (!r_template_lives(team)) return SM_EGONE;
  atomic_store(&team->desks[rank].pid, 0);
  t->chan.fd_lost = false;
  command(team, rank, R_DESK_SPAWN);
  while (t->chan.nfds == 0) {
    struct pollfd p = {t->chan.sock, POLLIN, 0};
    poll(&p, 1, SM_SLICE_MS);
    if (r_channel_drain_socket(&t->chan) < 0 && t->chan.nfds == 0) return SM_EGONE;
    if (t->chan.fd_lost) { /* it came, and there was no room for it here */
      r_template_kill(team, rank);
      return -EMFILE;
    }
    if (t->chan.nfds == 0 && atomic_load(&team->desks[rank].pid) < 0) return atomic_load(&team->desks[rank].pid);
    if (t->chan.nfds == 0) R_CheckUserInterrupt();
  }
  w->proc.pid = (pid_t)atomic_load(&team->desks[rank].pid);
  w->proc.sock = w->chan.sock = t->chan.fds[--t->chan.nfds];
  w->chan.eof = w->ended = w->quit = false;
  w->remote = true;
  w->doomed = -1;
  w->state = R_MEMBER_RUNNING;
  return 0;
}

/* Has a member that the template has forked ended, as far as can be known? */
static bool member_ended(r_team *team, int rank) {
  const r_member *w = &team->member[rank];
  if (atomic_load(&team->desks[rank].dead)) return true;
  return !r_template_lives(team) && (w->chan.eof || (kill(w->proc.pid, 0) < 0 && errno == ESRCH));
}

static int status_of(r_team *team, int rank) {
  r_member *t = template_of(team);
  while (!atomic_load(&team->desks[rank].dead) && r_template_lives(team)) {
    struct pollfd p = {t->chan.sock, POLLIN, 0};
    poll(&p, 1, SM_SLICE_MS);
    r_channel_drain_socket(&t->chan);
    R_CheckUserInterrupt();
  }
  return atomic_load(&team->desks[rank].dead) ? atomic_load(&team->desks[rank].status) : -1;
}

bool r_team_has_died(r_team *t, int rank) {
  r_member *m = &t->member[rank];
  sm_frame f;
  if (m->state != R_MEMBER_RUNNING) return false;
  if (!m->ended && m->remote) m->ended = member_ended(t, rank);
  else if (!m->ended && m->proc.pidfd < 0) m->ended = sm_proc_poll(&m->proc);
  return m->ended && sm_ring_peek(&m->chan.ring, &f) == 0 && !sm_ring_closed(&m->chan.ring);
}

int r_team_status(r_team *t, int rank) {
  r_member *m = &t->member[rank];
  while (!m->remote && !sm_proc_wait(&m->proc, SM_SLICE_MS)) R_CheckUserInterrupt();
  int status = m->remote ? status_of(t, rank) : m->proc.status;
  return m->quit && m->quit_code >= 0 ? (m->quit_code & 255) << 8 : status;
}

void r_template_kill(r_team *team, int rank) { command(team, rank, R_DESK_KILL); }

/* The end of a template that another process reaps. */
static bool await_end(r_member *t, int timeout_ms) {
  uint64_t until = sm_clock_ns() + (uint64_t)timeout_ms * 1000000u;
  while (r_channel_drain_socket(&t->chan) == 0) {
    if (sm_clock_ns() >= until) return false;
    struct pollfd p = {t->chan.sock, POLLIN, 0};
    poll(&p, 1, SM_SLICE_MS);
  }
  return true;
}

void r_template_end(r_team *team) {
  if (!team->member) return;
  r_member *t = template_of(team);
  if (t->state != R_MEMBER_RUNNING) return;
  command(team, 0, R_DESK_END);
  if (!t->remote) sm_proc_wait(&t->proc, 2000);
  else if (!await_end(t, 2000)) sm_proc_kill_pidfd(&t->proc); /* its members die with it */
}
