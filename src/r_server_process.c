/* r_server_process.c: what runs in a fork server, in the processes that it forks for jobs, and in their workers; see r_server.h.
 *
 * Ownership: `own` is inherited by each fork; what belongs to one process alone says by its pid which.
 * Errors: a process that the server has forked never comes back to the server's code, nor into R's exit path, which would remove the
 * folder of temporary files: it ends itself.
 */
#include <R.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem_heap.h"
#include "proc_exec.h"
#include "r_map_worker.h"
#include "r_server.h"
#include "r_team_template.h"
#include "r_util.h"

static struct {
  pid_t session, server; /* 0 in a process that is of no server */
  r_line control;        /* server */
  int post;              /* where lines to the session are posted */
  sm_proc *kids;         /* server: processes of jobs, nkids of them */
  int nkids;
  uint64_t id; /* of the job */
  r_line job;
  SEXP known; /* environments that both ends of lines to the session have; preserved */
  r_line ask; /* to the session, of the process `asker` */
  pid_t asker;
} own;

static void not_past_here(SEXP x) {
  (void)x;
  if (own.server && own.server != sm_pid()) sm_proc_end_self();
}

static void check_server(void) {
  if (!own.server) r_abort("sharedmem_misuse_error", "not in a process of a fork server");
}

/* The next descriptor that comes over a channel: waits for it. */
static int next_fd(r_channel *c) {
  while (c->nfds == 0 && r_channel_drain_socket(c) == 0 && c->nfds == 0) {
    struct pollfd p = {c->sock, POLLIN, 0};
    poll(&p, 1, SM_SLICE_MS);
  }
  if (c->nfds == 0 || c->fd_lost) sm_proc_end_self();
  int fd = c->fds[0];
  memmove(c->fds, c->fds + 1, (size_t)--c->nfds * sizeof c->fds[0]);
  return fd;
}

/* In a process that sm_proc_exec() has begun in `session`: be its fork server. */
SEXP ffi_server_begin(SEXP session) {
  own.session = (pid_t)Rf_asInteger(session);
  sm_proc_die_with(own.session);
  if (sm_proc_orphaned(own.session)) sm_proc_end_self();
  own.server = sm_pid();
  fcntl(SM_EXEC_SOCK, F_SETFD, FD_CLOEXEC);
  r_channel first = {.sock = SM_EXEC_SOCK, .spill = {.fd = -1}, .moved_fd = -1};
  int fd = next_fd(&first);
  own.post = next_fd(&first);
  r_channel_close(&first);
  int rc = r_line_take(&own.control, fd, SM_EXEC_SOCK);
  if (rc < 0) r_abort("sharedmem_server_error", "no line to the session: %s", sm_error_text(rc));
  own.control.in.peer = own.session;
  SEXP guard = PROTECT(R_MakeExternalPtr(&own, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(guard, not_past_here, TRUE);
  R_PreserveObject(guard);
  UNPROTECT(1);
  return R_NilValue;
}

static void reap_kids(void) {
  for (int i = own.nkids; i-- > 0;) {
    if (!sm_proc_poll(&own.kids[i])) continue;
    sm_proc_forget(&own.kids[i]);
    own.kids[i] = own.kids[--own.nkids];
  }
}

static void end_server(void) {
  for (int i = 0; i < own.nkids; i++) sm_proc_kill(&own.kids[i]);
  for (int i = 0; i < own.nkids; i++) sm_proc_close(&own.kids[i]);
  sm_proc_end_self();
}

/* What the session wants next: waits for it, and reaps. The session's end is the server's. */
SEXP ffi_server_take(void) {
  check_server();
  for (;;) {
    int rc, n = 1, timeout = R_IDLE_MS;
    SEXP value = r_line_read(&own.control, &rc);
    if (value != R_UnboundValue) return value;
    if (rc < 0) end_server();
    reap_kids();
    struct pollfd *polls = calloc((size_t)own.nkids + 1, sizeof *polls);
    if (!polls) end_server();
    polls[0] = (struct pollfd){own.control.sock, POLLIN, 0};
    for (int i = 0; i < own.nkids; i++) {
      if (own.kids[i].pidfd >= 0) polls[n++] = (struct pollfd){own.kids[i].pidfd, POLLIN, 0};
      else timeout = SM_SLICE_MS;
    }
    if (r_line_arm(&own.control)) poll(polls, (nfds_t)n, timeout);
    free(polls);
  }
}

SEXP ffi_server_reply(SEXP value) {
  check_server();
  if (r_line_send(&own.control, value, NULL) < 0) end_server();
  return R_NilValue;
}

static void run_call(void *call) { Rf_eval((SEXP)call, R_GlobalEnv); }

/* In a process for a job, or for anything else that has no line (fd -1): evaluates main(), and ends. */
static void be_job(int fd, int sock, double id, SEXP main) {
  for (int i = 0; i < own.nkids; i++) sm_proc_forget(&own.kids[i]);
  own.nkids = 0;
  r_line_close(&own.control);
  if (fd >= 0) {
    own.id = (uint64_t)id;
    if (r_line_take(&own.job, fd, sock) < 0) sm_proc_end_self();
    own.job.in.peer = own.session;
  }
  SEXP call = PROTECT(Rf_lang1(main));
  R_ToplevelExec(run_call, call);
  sm_proc_end_self();
}

/* Fork a process for the job that ffi_server_take() has told of, or one without a line (id NA): main() runs there. Its pid. */
SEXP ffi_server_fork(SEXP id, SEXP main) {
  check_server();
  bool lined = !ISNAN(Rf_asReal(id));
  int fd = lined ? next_fd(&own.control.in) : -1, sock = lined ? next_fd(&own.control.in) : -1, unused = -1;
  sm_proc *more = realloc(own.kids, ((size_t)own.nkids + 1) * sizeof *more);
  if (more) own.kids = more;
  sm_proc_flush();
  int rc = more ? sm_proc_spawn(&own.kids[own.nkids], &unused) : -1;
  if (rc == 1) {
    close(unused);
    be_job(fd, sock, Rf_asReal(id), main);
  }
  if (lined) { /* the session sees the end of the line where there is no process */
    close(fd);
    close(sock);
  }
  if (rc < 0) return Rf_ScalarInteger(NA_INTEGER);
  close(own.kids[own.nkids].sock);
  own.kids[own.nkids].sock = -1;
  return Rf_ScalarInteger((int)own.kids[own.nkids++].pid);
}

/* ---- in the process of a job ---- */

/* What the session says next. known: see ffi_job_give(). */
SEXP ffi_job_take(SEXP known) {
  check_server();
  if (known != R_NilValue) {
    R_PreserveObject(known);
    own.known = known;
  }
  int rc;
  own.job.in.known = own.known;
  SEXP value = r_line_wait(&own.job, NULL, &rc);
  if (value == R_UnboundValue) sm_proc_end_self();
  return value;
}

SEXP ffi_job_reply(SEXP value) {
  check_server();
  if (r_line_send(&own.job, value, NULL) < 0) sm_proc_end_self();
  return R_NilValue;
}

static int join_map(r_map *m, double trace_nbytes) {
  int rc = sm_segment_adopt(next_fd(&own.job.in), &m->team.seg);
  if (rc == 0) rc = r_map_lay_over(m);
  if (rc == 0 && trace_nbytes > 0) {
    rc = sm_segment_adopt(next_fd(&own.job.in), &m->team.more);
    if (rc == 0) rc = sm_trace_check((sm_trace_shm *)m->team.more->payload, (size_t)trace_nbytes);
    if (rc == 0) m->trace = (sm_trace_shm *)m->team.more->payload;
    m->trace_nbytes = (size_t)trace_nbytes;
  }
  return rc;
}

/* The descriptor of a team's memory, which the session has handed over. */
SEXP ffi_job_memory(void) {
  check_server();
  return Rf_ScalarInteger(next_fd(&own.job.in));
}

/* The session's map, in this process: shape is c(workers, items, 1 where workers have successors, bytes of the trace). */
SEXP ffi_job_join(SEXP shape, SEXP output) {
  check_server();
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  r_map *m = calloc(1, sizeof *m);
  if (!m) r_abort("sharedmem_memory_error", "cannot allocate a map");
  m->magic = R_MAP_MAGIC;
  m->owner = own.session;
  m->served = true;
  m->np = (int)REAL_ELT(shape, 0);
  m->nitems = (int64_t)REAL_ELT(shape, 1);
  m->respawn = REAL_ELT(shape, 2) != 0;
  m->team.run = r_worker_run;
  int rc = r_team_open(&m->team, m, m->np, (r_output_mode)Rf_asInteger(output));
  m->team.owner = own.session;
  if (rc == 0) rc = join_map(m, REAL_ELT(shape, 3));
  if (rc < 0) r_abort("sharedmem_server_error", "the session's map cannot be had here: %s", sm_error_text(rc));
  m->reserve = sm_heap_before_fork(m->np);
  R_SetExternalPtrAddr(ptr, m);
  UNPROTECT(1);
  return ptr;
}

/* The streams of its members: those of which ffi_job_streams() has told are handed over. */
SEXP ffi_job_dress(SEXP of, SEXP streams) {
  check_server();
  r_team *t = r_team_get(of);
  if (t->output == R_OUTPUT_INHERIT) t->output = R_OUTPUT_RELAY; /* to the session's streams, which are none of this process's */
  for (R_xlen_t k = 0; k < XLENGTH(streams); k++) {
    int i = INTEGER_ELT(streams, k);
    if (i < 0 || i >= 2 * t->n) r_abort("sharedmem_server_error", "the session's streams cannot be had here");
    t->member[i / 2].out[i % 2].end = next_fd(&own.job.in);
  }
  return R_NilValue;
}

/* Be the template of that team. Does not return. */
SEXP ffi_job_serve(SEXP of, SEXP main, SEXP jumped) {
  check_server();
  r_template_serve(r_team_get(of), own.job.sock, main, jumped);
  return R_NilValue;
}

/* ---- asking the session ---- */

static void open_ask(const sm_watch *watch) {
  int fds[SM_POST_FDS];
  own.asker = 0; /* what it has of another process stays that one's */
  if (r_line_open(&own.ask, fds) < 0) r_abort("sharedmem_server_error", "cannot open a line to the session");
  r_post post = {R_POST_MAGIC, (int32_t)sm_pid(), own.id};
  int rc = sm_socket_post(own.post, &post, sizeof post, fds, watch);
  close(fds[1]);
  if (rc < 0) sm_proc_end_self();
  own.ask.in.peer = own.session;
  own.ask.in.known = own.ask.out.known = own.known;
  own.asker = sm_pid();
}

/* Ask the session for something, and wait for the answer. The time limit of the running item does not count the wait. */
SEXP ffi_server_fetch(SEXP request) {
  check_server();
  const sm_watch *watch = r_here.of && r_here.pid == sm_pid() ? &r_here.watch : NULL;
  if (own.asker != sm_pid()) open_ask(watch);
  r_here_pause();
  int rc = r_line_send(&own.ask, request, watch);
  SEXP value = rc < 0 ? R_UnboundValue : r_line_wait(&own.ask, watch, &rc);
  if (value == R_UnboundValue) sm_proc_end_self(); /* the session, or the map, has ended */
  PROTECT(value);
  r_here_resume();
  UNPROTECT(1);
  return value;
}

/* Is this a process of a fork server: the server, a job's, a worker? */
SEXP ffi_server_here(void) { return Rf_ScalarLogical(own.server != 0); }
