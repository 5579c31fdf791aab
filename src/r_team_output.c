/* r_team_output.c: see r_team_output.h. */
#define _GNU_SOURCE
#include "r_team_output.h"

#define R_NO_REMAP
#include <R.h>
#include <Rinternals.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "r_team_progress.h"

#define LINE_MAX_BYTES ((size_t)64 * 1024)

static int open_pipe(int ends[2]) {
#ifdef __linux__
  return pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0;
#else
  if (pipe(ends) < 0) return -errno;
  fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  fcntl(ends[1], F_SETFD, FD_CLOEXEC);
  return 0;
#endif
}

static void shut(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static int open_pair(r_stream stream[2], int ends[2]) {
  for (int k = 0; k < 2; k++) {
    int pair[2];
    int rc = open_pipe(pair);
    if (rc < 0) {
      r_output_close(stream);
      r_output_close_ends(ends);
      return rc;
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    stream[k].fd = pair[0];
    ends[k] = pair[1];
  }
  return 0;
}

/* Descriptors for np workers with pipes of their own: socket, pidfd, two pipes each, and some spare. */
static bool room_for_pipes(int np) {
  struct rlimit lim;
  return getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur == RLIM_INFINITY || (rlim_t)np * 4 + 128 < lim.rlim_cur;
}

int r_output_open_shared(r_output *o, int np, bool successors) {
  o->ends[0] = o->ends[1] = -1;
  if (o->mode != R_OUTPUT_RELAY) return 0;
  o->own_pipes = room_for_pipes(np);
  return o->own_pipes && !successors ? 0 : open_pair(o->shared, o->ends);
}

int r_output_open(const r_output *o, r_stream stream[2], int ends[2]) {
  ends[0] = ends[1] = -1;
  return o->own_pipes ? open_pair(stream, ends) : 0;
}

void r_output_close_ends(int ends[2]) {
  shut(&ends[0]);
  shut(&ends[1]);
}

void r_output_redirect(const r_output *o, int ends[2]) {
  if (o->mode == R_OUTPUT_INHERIT) return;
  int null = o->mode == R_OUTPUT_DISCARD ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
  for (int k = 0; k < 2; k++) {
    int fd = null >= 0 ? null : ends[k] >= 0 ? ends[k] : o->ends[k];
    if (fd >= 0) dup2(fd, k + 1);
  }
  shut(&null);
  r_output_close_ends(ends);
}

/* In a worker: every descriptor of these files leads nowhere from now on. */
SEXP ffi_output_silence(SEXP paths) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (R_xlen_t k = 0; null >= 0 && k < XLENGTH(paths); k++) {
    struct stat file, open_file;
    DIR *fds = stat(Rf_translateChar(STRING_ELT(paths, k)), &file) == 0 ? opendir("/dev/fd") : NULL;
    const struct dirent *e;
    while (fds && (e = readdir(fds))) {
      int fd = atoi(e->d_name);
      if (fd > 2 && fstat(fd, &open_file) == 0 && open_file.st_dev == file.st_dev && open_file.st_ino == file.st_ino) dup2(null, fd);
    }
    if (fds) closedir(fds);
  }
  shut(&null);
  return R_NilValue;
}

/* Zero bytes are dropped: R prints no such text. */
static void print_text(int k, const char *p, size_t n) {
  r_progress_clear();
  while (n > 0) {
    size_t part = n > 4000 ? 4000 : n;
    const char *zero = memchr(p, 0, part);
    if (zero) part = (size_t)(zero - p);
    if (k == 0) Rprintf("%.*s", (int)part, p);
    else REprintf("%.*s", (int)part, p);
    if (zero) part++;
    p += part;
    n -= part;
  }
}

void r_output_relay(r_stream *s, int k, bool all) {
  while (s->fd >= 0) {
    if (!s->line) s->line = malloc(LINE_MAX_BYTES);
    if (!s->line) return;
    ssize_t got = read(s->fd, s->line + s->n, LINE_MAX_BYTES - s->n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      if (got == 0) shut(&s->fd);
      break;
    }
    s->n += (size_t)got;
    size_t whole = s->n;
    while (whole > 0 && s->line[whole - 1] != '\n') whole--;
    if (whole == 0 && s->n == LINE_MAX_BYTES) whole = s->n;
    size_t rest = s->n - whole;
    s->n = rest;
    /* moved away first: printing may not come back */
    if (whole > 0) {
      char *text = R_alloc(whole, 1);
      memcpy(text, s->line, whole);
      memmove(s->line, s->line + whole, rest);
      print_text(k, text, whole);
    }
  }
  if (all && s->n > 0) {
    size_t n = s->n;
    s->n = 0;
    print_text(k, s->line, n);
    print_text(k, "\n", 1);
  }
}

void r_output_close(r_stream stream[2]) {
  for (int k = 0; k < 2; k++) {
    shut(&stream[k].fd);
    free(stream[k].line);
    stream[k].line = NULL;
    stream[k].n = 0;
  }
}
