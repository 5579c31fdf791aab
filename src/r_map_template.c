/* r_map_template.c: see r_map_template.h. The template runs no R code; the workers that it forks do. */
#include "r_map_template.h"

#include <R.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "r_map_worker.h"
#include "r_util.h"

typedef struct {
  r_map *m;
  int sock;      /* to the owner */
  sm_proc *kids; /* np of them */
  SEXP main, jumped;
} template_state;

static void do_spawn(template_state *t, int rank) {
  sm_proc *kid = &t->kids[rank];
  r_desk_shm *desk = &t->m->desks[rank];
  int sock = -1;
  sm_proc_close(kid);
  sm_proc_init(kid);
  atomic_store(&desk->dead, 0);
  t->m->team.member[rank].forked_ns = sm_clock_ns();
  int rc = sm_proc_spawn(kid, &sock);
  if (rc == 1) {
    for (int i = 0; i < t->m->np; i++) sm_proc_forget(&t->kids[i]);
    close(t->sock);
    r_team_take_place(&t->m->team, rank, sock);
    r_worker_run(t->m, rank, t->main, t->jumped);
  }
  atomic_store(&desk->pid, rc < 0 ? rc : (int32_t)kid->pid);
  if (rc == 0) rc = sm_socket_send_fd(t->sock, kid->sock, NULL);
  if (rc < 0) sm_socket_wake(t->sock);
  if (kid->sock >= 0) close(kid->sock);
  kid->sock = -1;
}

static void do_commands(template_state *t) {
  for (int i = 0; i < t->m->np; i++) {
    int32_t c = atomic_exchange(&t->m->desks[i].command, R_DESK_IDLE);
    if (c == R_DESK_SPAWN) do_spawn(t, i);
    if (c == R_DESK_KILL) sm_proc_kill(&t->kids[i]);
    if (c == R_DESK_END) {
      for (int k = 0; k < t->m->np; k++) t->kids[k].peaceful = sm_ring_closed(&t->m->team.member[k].chan.ring);
      for (int k = 0; k < t->m->np; k++) sm_proc_kill(&t->kids[k]);
      for (int k = 0; k < t->m->np; k++) sm_proc_close(&t->kids[k]);
      sm_proc_end_self();
    }
  }
}

static void report_dead(template_state *t) {
  bool any = false;
  for (int i = 0; i < t->m->np; i++) {
    sm_proc *kid = &t->kids[i];
    kid->peaceful = sm_ring_closed(&t->m->team.member[i].chan.ring);
    if (kid->state == SM_PROC_NONE || !sm_proc_poll(kid)) continue;
    atomic_store(&t->m->desks[i].status, kid->status);
    atomic_store(&t->m->desks[i].dead, 1);
    sm_proc_forget(kid);
    sm_proc_init(kid); /* it is reported once, whoever has reaped it: a kill looks, too */
    any = true;
  }
  if (any) sm_socket_wake(t->sock);
}

static void template_loop(template_state *t) {
  struct pollfd *fds = calloc((size_t)t->m->np + 1, sizeof *fds);
  if (!fds || !t->kids) sm_proc_end_self();
  for (;;) {
    int n = 0, timeout = -1, fd, got;
    fds[n++] = (struct pollfd){t->sock, POLLIN, 0};
    for (int i = 0; i < t->m->np; i++) {
      if (t->kids[i].state != SM_PROC_RUNNING) continue;
      if (t->kids[i].pidfd >= 0) fds[n++] = (struct pollfd){t->kids[i].pidfd, POLLIN, 0};
      else timeout = 20;
    }
    poll(fds, (nfds_t)n, timeout);
    while ((got = sm_socket_recv(t->sock, &fd)) > 0)
      if (fd >= 0) close(fd);
    if (got < 0) atomic_store(&t->m->desks[0].command, R_DESK_END); /* the owner has gone */
    do_commands(t);
    report_dead(t);
  }
}

static r_member *template_of(const r_map *m) { return &m->team.member[m->np]; }

int r_template_spawn(r_map *m, SEXP main, SEXP jumped) {
  int rc = r_team_spawn(&m->team, m->np);
  if (rc != 1) return rc;
  r_template_serve(m, template_of(m)->chan.sock, main, jumped);
  return 0;
}

void r_template_serve(r_map *m, int sock, SEXP main, SEXP jumped) {
  template_state t = {m, sock, calloc((size_t)m->np, sizeof(sm_proc)), main, jumped};
  for (int i = 0; t.kids && i < m->np; i++) sm_proc_init(&t.kids[i]);
  template_loop(&t);
}

void r_template_adopt(r_map *m, int sock, pid_t pid) {
  r_member *t = template_of(m);
  t->proc.pid = pid;
  t->proc.sock = t->chan.sock = sock;
  t->proc.pidfd = sm_proc_open_pidfd(pid);
  t->remote = true;
  t->state = R_MEMBER_RUNNING;
}

static void command(r_map *m, int rank, int32_t c) {
  atomic_store(&m->desks[rank].command, c);
  sm_socket_wake(template_of(m)->chan.sock);
}

bool r_template_lives(r_map *m) {
  r_member *t = template_of(m);
  if (t->state == R_MEMBER_RUNNING && (t->chan.eof || t->ended)) {
    sm_proc_close(&t->proc); /* the successors that it forked die with it */
    t->state = R_MEMBER_DEAD;
  }
  return t->state == R_MEMBER_RUNNING;
}

int r_template_respawn(r_map *m, int rank) {
  r_member *w = &m->team.member[rank], *t = template_of(m);
  sm_proc_close(&w->proc);
  sm_proc_forget(&w->proc); /* a remote one is not ours to close */
  sm_proc_init(&w->proc);
  r_channel_close(&w->chan);
  if (!r_template_lives(m)) return SM_EGONE;
  atomic_store(&m->desks[rank].pid, 0);
  command(m, rank, R_DESK_SPAWN);
  while (t->chan.nfds == 0) {
    struct pollfd p = {t->chan.sock, POLLIN, 0};
    poll(&p, 1, SM_SLICE_MS);
    if (r_channel_drain_socket(&t->chan) < 0 && t->chan.nfds == 0) return SM_EGONE;
    if (t->chan.nfds == 0 && atomic_load(&m->desks[rank].pid) < 0) return atomic_load(&m->desks[rank].pid);
    if (t->chan.nfds == 0) R_CheckUserInterrupt();
  }
  w->proc.pid = (pid_t)atomic_load(&m->desks[rank].pid);
  w->proc.sock = w->chan.sock = t->chan.fds[--t->chan.nfds];
  w->chan.eof = w->ended = w->quit = false;
  w->remote = true;
  w->doomed = -1;
  w->state = R_MEMBER_RUNNING;
  return 0;
}

void r_template_kill(r_map *m, int rank) { command(m, rank, R_DESK_KILL); }

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

void r_template_end(r_map *m) {
  r_member *t = template_of(m);
  if (t->state != R_MEMBER_RUNNING) return;
  command(m, 0, R_DESK_END);
  if (!t->remote) sm_proc_wait(&t->proc, 2000);
  else if (!await_end(t, 2000)) sm_proc_kill_pidfd(&t->proc); /* its workers die with it */
}
