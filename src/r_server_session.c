/* r_server_session.c: the session's side of a fork server; see r_server.h.
 *
 * Ownership: a server, a job and a guest (a process of a job that asks for variables) belong to the process that made them; in a fork of
 * it they are nobody's. A job's line socket becomes its team's, when the job has become the team's template.
 * Errors: what a guest is sent is sent under a handler, since its asking must not fail what the session does.
 */
#include <R.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan_socket.h"
#include "mem_file.h"
#include "proc_exec.h"
#include "r_server.h"
#include "r_team_template.h"
#include "r_util.h"

#define SERVER_MAGIC 0x534D5356u
#define JOB_MAGIC 0x534D4A42u

typedef struct {
  uint32_t magic;
  pid_t owner;
  sm_proc proc;
  r_line control;
  int post;   /* where lines of guests arrive */
  int output; /* file with what the server has printed */
} r_server;

typedef struct r_job {
  uint32_t magic;
  pid_t owner;
  uint64_t id;
  r_server *server; /* NULL once that has been stopped */
  r_line line;
  SEXP known; /* environments that both ends have; protected by the job's pointer */
  struct r_job *next;
} r_job;

typedef struct {
  r_line line;
  uint64_t job;
  bool busy, gone;
} guest;

static struct {
  pid_t owner;
  r_job *jobs;
  guest **guests;
  int nguests, size;
} serving;

/* ---- guests ---- */

static r_job *find_job(uint64_t id) {
  r_job *j = serving.owner == sm_pid() ? serving.jobs : NULL;
  while (j && j->id != id) j = j->next;
  return j;
}

static void guest_free(int i) {
  r_line_close(&serving.guests[i]->line);
  free(serving.guests[i]);
  serving.guests[i] = serving.guests[--serving.nguests];
}

static void admit(r_job *j, const int fds[SM_POST_FDS]) {
  guest *g = calloc(1, sizeof *g);
  if (g && serving.nguests == serving.size) {
    int size = serving.size ? 2 * serving.size : 16;
    guest **bigger = realloc(serving.guests, (size_t)size * sizeof *bigger);
    if (bigger) {
      serving.guests = bigger;
      serving.size = size;
    }
  }
  if (!g || serving.nguests == serving.size) { /* who waits there sees the end of the line */
    free(g);
    close(fds[0]);
    close(fds[1]);
    return;
  }
  if (r_line_take(&g->line, fds[0], fds[1]) < 0) {
    free(g);
    return;
  }
  g->job = j->id;
  g->line.in.known = g->line.out.known = j->known;
  serving.guests[serving.nguests++] = g;
}

static void take_posts(void) {
  r_post post;
  int fds[SM_POST_FDS];
  for (r_job *s = serving.jobs; s; s = s->next)
    while (s->server && sm_socket_take_post(s->server->post, &post, sizeof post, fds)) {
      r_job *j = post.magic == R_POST_MAGIC ? find_job(post.job) : NULL;
      if (j) admit(j, fds);
      else close(fds[0]), close(fds[1]);
    }
}

typedef struct {
  guest *g;
  SEXP request, answer;
  sm_watch watch;
} reply;

static int stop_sending(void *at) {
  reply *r = at;
  if (r_channel_drain_socket(&r->g->line.in) < 0) r->g->gone = true;
  return r->g->gone || r_interrupt_pending(NULL);
}

static SEXP send_answer(void *at) {
  reply *r = at;
  r_line_send(&r->g->line, r->answer, &r->watch);
  return R_NilValue;
}

/* What cannot be sent: who asks is told why. */
static SEXP send_refusal(SEXP cond, void *at) {
  reply *r = at;
  if (r->g->gone) return R_NilValue;
  r->answer = PROTECT(r_call2("server_refusal", r->request, cond));
  send_answer(r);
  UNPROTECT(1);
  return R_NilValue;
}

static void answer(guest *g, SEXP request) {
  reply r = {g, PROTECT(request), R_NilValue, {NULL, stop_sending, NULL}};
  r.watch.arg = &r;
  g->busy = true;
  SEXP id = PROTECT(Rf_ScalarReal((double)g->job));
  r.answer = PROTECT(r_call2("server_answer", id, request));
  g->line.out.strict = Rf_asLogical(r_list_get(r.answer, "loose")) != TRUE;
  R_tryCatchError(send_answer, &r, send_refusal, &r);
  g->busy = false;
  UNPROTECT(3);
}

static void serve(void) {
  if (serving.owner != sm_pid()) return;
  take_posts();
  for (int i = 0; i < serving.nguests; i++) {
    guest *g = serving.guests[i];
    int rc = 0;
    while (!g->busy && !g->gone) {
      SEXP request = r_line_read(&g->line, &rc);
      if (request != R_UnboundValue) answer(g, request);
      else if (rc < 0) g->gone = true;
      else if (r_line_arm(&g->line)) break;
    }
  }
  for (int i = serving.nguests; i-- > 0;)
    if (serving.guests[i]->gone && !serving.guests[i]->busy) guest_free(i);
}

static int count_guests(void) {
  int n = 0;
  if (serving.owner != sm_pid()) return 0;
  for (r_job *j = serving.jobs; j; j = j->next) n++;
  return n + serving.nguests;
}

static void list_guests(struct pollfd *polls) {
  for (r_job *j = serving.jobs; j; j = j->next) *polls++ = (struct pollfd){j->server ? j->server->post : -1, POLLIN, 0};
  for (int i = 0; i < serving.nguests; i++) *polls++ = (struct pollfd){serving.guests[i]->line.sock, POLLIN, 0};
}

static const r_team_guests guests = {count_guests, list_guests, serve};

/* ---- a server ---- */

static void server_free(r_server *s) {
  for (r_job *j = serving.owner == s->owner ? serving.jobs : NULL; j; j = j->next)
    if (j->server == s) j->server = NULL;
  sm_proc_close(&s->proc);
  s->control.sock = -1; /* was the record's */
  r_line_close(&s->control);
  if (s->post >= 0) close(s->post);
  if (s->output >= 0) close(s->output);
  s->magic = 0;
  free(s);
}

static void server_finalize(SEXP ptr) {
  r_server *s = R_ExternalPtrAddr(ptr);
  if (!s || s->owner != sm_pid()) return;
  R_ClearExternalPtr(ptr);
  server_free(s);
}

static r_server *server_get(SEXP ptr) {
  r_server *s = TYPEOF(ptr) == EXTPTRSXP ? R_ExternalPtrAddr(ptr) : NULL;
  if (!s || s->magic != SERVER_MAGIC || s->owner != sm_pid()) r_abort("sharedmem_server_error", "this fork server has been stopped");
  return s;
}

static char **strings_of(SEXP x) {
  R_xlen_t n = XLENGTH(x);
  char **out = (char **)R_alloc((size_t)n + 1, sizeof *out);
  for (R_xlen_t i = 0; i < n; i++) out[i] = (char *)(uintptr_t)CHAR(STRING_ELT(x, i));
  out[n] = NULL;
  return out;
}

/* The program, its line, and the post's other end, which follows the line's memory. */
static int begin(r_server *s, SEXP argv, SEXP envp) {
  int post[2], fd;
  s->output = sm_anon_file();
  if (s->output < 0) return s->output;
  fcntl(s->output, F_SETFL, O_APPEND);
  int rc = sm_socket_post_pair(post);
  if (rc < 0) return rc;
  s->post = post[0];
  rc = sm_proc_exec(&s->proc, strings_of(argv), strings_of(envp), s->output);
  if (rc == 0) rc = r_line_open_on(&s->control, s->proc.sock, &fd);
  if (rc == 0) rc = sm_socket_send_fd(s->proc.sock, fd, NULL);
  if (rc == 0) rc = sm_socket_send_fd(s->proc.sock, post[1], NULL);
  close(post[1]);
  if (rc != SM_EGONE) return rc;
  sm_proc_kill(&s->proc); /* it has ended, or is no use: the line says so, and its output why */
  return 0;
}

/* Start a server: argv and envp, character. */
SEXP ffi_server_start(SEXP argv, SEXP envp) {
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  R_RegisterCFinalizerEx(ptr, server_finalize, TRUE);
  r_server *s = calloc(1, sizeof *s);
  if (!s) r_abort("sharedmem_memory_error", "cannot allocate a fork server");
  s->magic = SERVER_MAGIC;
  s->owner = sm_pid();
  s->post = s->output = -1;
  sm_proc_init(&s->proc);
  R_SetExternalPtrAddr(ptr, s);
  int rc = begin(s, argv, envp);
  if (rc < 0) r_abort("sharedmem_server_error", "cannot start the fork server: %s", sm_error_text(rc));
  UNPROTECT(1);
  return ptr;
}

SEXP ffi_server_stop(SEXP ptr) {
  server_finalize(ptr);
  return R_NilValue;
}

/* Its pid; NA once it has ended or been stopped, or belongs to another process. */
SEXP ffi_server_pid(SEXP ptr) {
  r_server *s = R_ExternalPtrAddr(ptr);
  bool lives = s && s->owner == sm_pid() && !sm_proc_poll(&s->proc);
  return Rf_ScalarInteger(lives ? (int)s->proc.pid : NA_INTEGER);
}

/* The last that it has printed. */
SEXP ffi_server_output(SEXP ptr) {
  r_server *s = server_get(ptr);
  char text[2048];
  off_t end = lseek(s->output, 0, SEEK_END), from = end > (off_t)sizeof text ? end - (off_t)sizeof text : 0;
  ssize_t n = pread(s->output, text, sizeof text, from);
  return Rf_ScalarString(Rf_mkCharLenCE(text, n > 0 ? (int)n : 0, CE_NATIVE));
}

static void check_sent(int rc, const char *what) {
  if (rc == SM_EINTR) r_interrupt_raise();
  if (rc < 0) r_abort("sharedmem_server_error", "%s has ended: %s", what, sm_error_text(rc));
}

/* The next value at the other end of a line; those who ask for variables are answered meanwhile. R's NULL where the line has ended. */
static SEXP await(r_line *l) {
  for (;;) {
    int rc;
    SEXP value = r_line_read(l, &rc);
    if (value != R_UnboundValue) return value;
    if (rc < 0) return R_NilValue;
    serve();
    int n = count_guests();
    const void *top = vmaxget();
    struct pollfd *polls = (struct pollfd *)R_alloc((size_t)n + 1, sizeof *polls);
    polls[n] = (struct pollfd){l->sock, POLLIN, 0};
    list_guests(polls);
    if (r_line_arm(l)) poll(polls, (nfds_t)n + 1, SM_SLICE_MS);
    vmaxset(top);
    R_CheckUserInterrupt();
  }
}

/* Tell the server something, and give its answer; NULL where it has ended. */
SEXP ffi_server_ask(SEXP ptr, SEXP value) {
  r_server *s = server_get(ptr);
  if (value != R_NilValue) check_sent(r_line_send(&s->control, value, &r_interrupt_watch), "the fork server");
  return await(&s->control);
}

/* ---- jobs ---- */

static void job_free(r_job *j) {
  for (r_job **p = &serving.jobs; *p; p = &(*p)->next)
    if (*p == j) {
      *p = j->next;
      break;
    }
  for (int i = serving.nguests; i-- > 0;)
    if (serving.guests[i]->job == j->id) guest_free(i);
  if (!serving.jobs) r_team_guest = NULL;
  r_line_close(&j->line);
  j->magic = 0;
  free(j);
}

static void job_finalize(SEXP ptr) {
  r_job *j = R_ExternalPtrAddr(ptr);
  if (!j || j->owner != sm_pid()) return;
  R_ClearExternalPtr(ptr);
  job_free(j);
}

static r_job *job_get(SEXP ptr) {
  r_job *j = TYPEOF(ptr) == EXTPTRSXP ? R_ExternalPtrAddr(ptr) : NULL;
  if (!j || j->magic != JOB_MAGIC || j->owner != sm_pid()) r_abort("sharedmem_server_error", "this job of the fork server is over");
  return j;
}

/* A process of the server's for a job. message: what the server is told; id: the job's number. */
SEXP ffi_job_new(SEXP server, SEXP message, SEXP id) {
  r_server *s = server_get(server);
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, server, R_NilValue));
  R_RegisterCFinalizerEx(ptr, job_finalize, FALSE);
  r_job *j = calloc(1, sizeof *j);
  if (!j) r_abort("sharedmem_memory_error", "cannot allocate a job");
  if (serving.owner != sm_pid()) { /* what a fork has inherited is its parent's */
    memset(&serving, 0, sizeof serving);
    serving.owner = sm_pid();
  }
  *j = (r_job){.magic = JOB_MAGIC, .owner = sm_pid(), .id = (uint64_t)Rf_asReal(id), .server = s, .next = serving.jobs};
  serving.jobs = j;
  r_team_guest = &guests;
  R_SetExternalPtrAddr(ptr, j);
  int fds[2];
  int rc = r_line_open(&j->line, fds);
  if (rc < 0) r_abort("sharedmem_memory_error", "cannot open a line to the fork server: %s", sm_error_text(rc));
  rc = r_line_send(&s->control, message, &r_interrupt_watch);
  if (rc == 0) rc = sm_socket_send_fd(s->control.sock, fds[0], &r_interrupt_watch);
  if (rc == 0) rc = sm_socket_send_fd(s->control.sock, fds[1], &r_interrupt_watch);
  close(fds[1]);
  check_sent(rc, "the fork server");
  UNPROTECT(1);
  return ptr;
}

SEXP ffi_job_end(SEXP ptr) {
  job_finalize(ptr);
  return R_NilValue;
}

/* Tell the job's process something. known: a list of environments; both ends have one each for every place in it. */
SEXP ffi_job_give(SEXP ptr, SEXP value, SEXP known) {
  r_job *j = job_get(ptr);
  R_SetExternalPtrProtected(ptr, known);
  j->known = known == R_NilValue ? NULL : known;
  j->line.out.known = j->known;
  check_sent(r_line_send(&j->line, value, &r_interrupt_watch), "the job's process");
  return R_NilValue;
}

/* What it answers; NULL where it has ended. */
SEXP ffi_job_answer(SEXP ptr) { return await(&job_get(ptr)->line); }

/* The streams of a served team, opened; which of their write ends are to be handed over: 2 * rank, + 1 for stderr. */
SEXP ffi_job_streams(SEXP of) {
  r_team *t = r_team_get(of);
  int rc = r_team_begin_forks(t);
  if (rc < 0) r_abort("sharedmem_fork_error", "cannot open the workers' streams: %s", sm_error_text(rc));
  SEXP out = PROTECT(Rf_allocVector(INTSXP, 2 * (R_xlen_t)t->n));
  int n = 0;
  for (int i = 0; i < 2 * t->n; i++)
    if (t->member[i / 2].out[i % 2].end >= 0 || (t->output == R_OUTPUT_INHERIT && i < 2)) INTEGER(out)[n++] = i;
  out = Rf_lengthgets(out, n);
  UNPROTECT(1);
  return out;
}

static int hand_over(r_job *j, r_team *t, SEXP streams) {
  int rc = sm_socket_send_fd(j->line.sock, t->seg->fd, &r_interrupt_watch);
  if (rc == 0 && t->more) rc = sm_socket_send_fd(j->line.sock, t->more->fd, &r_interrupt_watch);
  for (R_xlen_t k = 0; rc == 0 && k < XLENGTH(streams); k++) {
    int i = INTEGER_ELT(streams, k), fd = t->output == R_OUTPUT_INHERIT ? i + 1 : t->member[i / 2].out[i % 2].end;
    rc = sm_socket_send_fd(j->line.sock, fd, &r_interrupt_watch);
  }
  return rc;
}

/* Hand over what the job's process needs to be the team's template: descriptors of its memory, a trace, the streams. */
SEXP ffi_job_hand(SEXP ptr, SEXP of, SEXP streams) {
  check_sent(hand_over(job_get(ptr), r_team_get(of), streams), "the job's process");
  return R_NilValue;
}

/* The job's process, which has answered that it is ready, is the team's template from now on. */
SEXP ffi_job_adopt(SEXP ptr, SEXP of, SEXP pid) {
  r_job *j = job_get(ptr);
  r_template_adopt(r_team_get(of), j->line.sock, (pid_t)Rf_asInteger(pid));
  j->line.sock = -1;
  return R_NilValue;
}
