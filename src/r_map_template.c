/* r_map_template.c: see r_map_template.h. The template runs no R code; the workers that it forks do. */
#include "r_map_template.h"

#include <R.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "r_team_output.h"
#include "r_util.h"

typedef struct {
  r_map *m;
  int sock;      /* to the master */
  sm_proc *kids; /* np of them */
  r_template_work work;
} template_state;

/* In the successor. */
static void become_worker(template_state *t, int rank, int sock) {
  r_worker *w = &t->m->worker[rank];
  for (int i = 0; i < t->m->np; i++) sm_proc_forget(&t->kids[i]);
  close(t->sock);
  w->chan.sock = sock;
  int none[2] = {-1, -1};
  r_output_redirect(&t->m->output, none);
  r_output_close_ends(t->m->output.ends);
  t->work.run(t->m, rank, t->work.ptr, t->work.main);
}

static void do_spawn(template_state *t, int rank) {
  sm_proc *kid = &t->kids[rank];
  r_desk_shm *desk = &t->m->desks[rank];
  int sock = -1;
  sm_proc_close(kid);
  sm_proc_init(kid);
  atomic_store(&desk->dead, 0);
  t->m->worker[rank].forked_ns = t->m->trace ? sm_clock_ns() : 0;
  int rc = sm_proc_spawn(kid, &sock);
  if (rc == 1) become_worker(t, rank, sock);
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
    if (kid->state != SM_PROC_RUNNING || !sm_proc_poll(kid)) continue;
    atomic_store(&t->m->desks[i].status, kid->status);
    atomic_store(&t->m->desks[i].dead, 1);
    sm_proc_forget(kid);
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
    if (got < 0) atomic_store(&t->m->desks[0].command, R_DESK_END); /* the master has gone */
    do_commands(t);
    report_dead(t);
  }
}

int r_template_spawn(r_map *m, const r_template_work *work) {
  int sock = -1;
  int rc = sm_proc_spawn(&m->template, &sock);
  if (rc != 1) return rc;
  r_team_forget_all(&m->team, -1);
  template_state t = {m, sock, calloc((size_t)m->np, sizeof(sm_proc)), *work};
  for (int i = 0; t.kids && i < m->np; i++) sm_proc_init(&t.kids[i]);
  template_loop(&t);
  return 0;
}

static void command(r_map *m, int rank, int32_t c) {
  atomic_store(&m->desks[rank].command, c);
  sm_socket_wake(m->template.sock);
}

int r_template_respawn(r_map *m, int rank) {
  r_worker *w = &m->worker[rank];
  sm_proc_close(&w->proc);
  sm_proc_forget(&w->proc); /* a remote one is not ours to close */
  sm_proc_init(&w->proc);
  r_channel_close(&w->chan);
  atomic_store(&m->desks[rank].pid, 0);
  command(m, rank, R_DESK_SPAWN);
  int fd = -1;
  while (fd < 0) {
    struct pollfd p = {m->template.sock, POLLIN, 0};
    poll(&p, 1, SM_SLICE_MS);
    int got = sm_socket_recv(m->template.sock, &fd);
    if (got < 0) return SM_EGONE;
    if (fd < 0 && atomic_load(&m->desks[rank].pid) < 0) return atomic_load(&m->desks[rank].pid);
    if (fd < 0) R_CheckUserInterrupt();
  }
  w->proc.pid = (pid_t)atomic_load(&m->desks[rank].pid);
  w->proc.sock = w->chan.sock = fd;
  w->chan.eof = w->ended = w->quit = false;
  w->remote = true;
  w->timed_out = -1;
  w->state = R_WORKER_RUNNING;
  return 0;
}

void r_template_kill(r_map *m, int rank) { command(m, rank, R_DESK_KILL); }

void r_template_end(r_map *m) {
  if (m->template.state == SM_PROC_NONE) return;
  if (m->template.state == SM_PROC_RUNNING && m->template.sock >= 0) {
    command(m, 0, R_DESK_END);
    sm_proc_wait(&m->template, 2000);
  }
  sm_proc_close(&m->template);
  sm_proc_init(&m->template);
}
