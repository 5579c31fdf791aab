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

#include "mem_file.h"
#include "r_team_progress.h"

#define READ_BYTES ((size_t)64 * 1024)

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

/* O_APPEND keeps writers of one file from overwriting each other. */
static int open_stream(r_stream *s, bool spool) {
  int pair[2];
  s->spool = spool;
  if (!spool) {
    int rc = open_pipe(pair);
    if (rc < 0) return rc;
  } else {
    pair[0] = sm_anon_file();
    if (pair[0] < 0) return pair[0];
    fcntl(pair[0], F_SETFL, O_APPEND);
    pair[1] = fcntl(pair[0], F_DUPFD_CLOEXEC, 0);
  }
  s->fd = pair[0];
  s->end = pair[1];
  if (s->end < 0) return -errno;
  if (!spool) fcntl(s->fd, F_SETFL, O_NONBLOCK);
  return 0;
}

/* Does the limit of descriptors allow n ranks streams of their own? Each takes a socket, a pidfd, and two streams of two ends until all
 * are forked; 128 are left to the user. */
static bool room_for(int n) {
  struct rlimit lim;
  return getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur == RLIM_INFINITY || (rlim_t)n * 6 + 128 < lim.rlim_cur;
}

int r_output_open(r_stream (*out)[2], int n, r_output_mode mode) {
  if (mode == R_OUTPUT_INHERIT || mode == R_OUTPUT_DISCARD) return 0;
  int rc = 0;
  if (!room_for(n)) n = 1;
  for (int i = 0; rc == 0 && i < n; i++)
    for (int k = 0; rc == 0 && k < 2; k++) rc = open_stream(&out[i][k], mode == R_OUTPUT_SPOOL);
  return rc;
}

void r_output_close_ends(r_stream out[2]) {
  shut(&out[0].end);
  shut(&out[1].end);
}

void r_output_redirect(const r_stream own[2], const r_stream shared[2], r_output_mode mode) {
  if (mode == R_OUTPUT_INHERIT) return;
  int null = mode == R_OUTPUT_DISCARD ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
  for (int k = 0; k < 2; k++) {
    int fd = null >= 0 ? null : own[k].end >= 0 ? own[k].end : shared[k].end;
    if (fd >= 0) dup2(fd, k + 1);
  }
  shut(&null);
}

/* In a worker: let every descriptor of these files, or for NULL stdout, lead to /dev/null from now on. */
SEXP ffi_output_silence(SEXP paths) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0 && paths == R_NilValue) dup2(null, STDOUT_FILENO);
  for (R_xlen_t k = 0; null >= 0 && k < Rf_xlength(paths); k++) {
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

/* R cannot print zero bytes, so they are dropped. To stderr R prints some thousand bytes at a time; a sink of stdout copies what it has of
 * a line at each call. */
static void print_text(int k, const char *p, size_t n) {
  size_t most = k == 0 ? (size_t)1 << 20 : 4000;
  r_progress_clear();
  while (n > 0) {
    size_t part = n > most ? most : n;
    const char *zero = memchr(p, 0, part);
    if (zero) part = (size_t)(zero - p);
    if (k == 0) Rprintf("%.*s", (int)part, p);
    else REprintf("%.*s", (int)part, p);
    if (zero) part++;
    p += part;
    n -= part;
  }
}

static ssize_t read_some(r_stream *s) {
  size_t room = s->size - s->n;
  if (!s->spool) return read(s->fd, s->text + s->n, room);
  ssize_t got = pread(s->fd, s->text + s->n, room, (off_t)s->at);
  if (got > 0) s->at += (uint64_t)got;
  return got;
}

/* Make room for more of a line; false where there is no memory. */
static bool make_room(r_stream *s) {
  if (s->size - s->n >= READ_BYTES / 2) return true;
  size_t size = s->size ? 2 * s->size : READ_BYTES;
  char *bigger = realloc(s->text, size);
  if (!bigger) return false;
  s->text = bigger;
  s->size = size;
  return true;
}

/* The first n bytes leave the buffer before they are printed, since printing may longjmp (a sink's error). */
static void print_first(r_stream *s, int k, size_t n) {
  const void *vmax = vmaxget();
  char *text = R_alloc(n, 1);
  memcpy(text, s->text, n);
  s->n -= n;
  memmove(s->text, s->text + n, s->n);
  print_text(k, text, n);
  vmaxset(vmax);
}

void r_output_relay(r_stream *s, int k, bool all) {
  while (s->fd >= 0) {
    bool room = make_room(s);
    if (!room && s->n == s->size) { /* without memory for the whole line its first part is printed alone */
      if (s->n == 0) return;
      print_first(s, k, s->n);
    }
    ssize_t got = read_some(s);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      if (got == 0 && !s->spool) shut(&s->fd);
      break;
    }
    s->n += (size_t)got;
    size_t whole = s->n, seen = s->n - (size_t)got; /* the text up to `seen` has no end of a line */
    while (whole > seen && s->text[whole - 1] != '\n') whole--;
    if (whole > seen) print_first(s, k, whole);
  }
  if (all && s->n > 0) {
    print_first(s, k, s->n);
    print_text(k, "\n", 1);
  }
}

void r_output_forget(r_stream out[2]) {
  for (int k = 0; k < 2; k++) {
    shut(&out[k].fd);
    free(out[k].text);
    out[k].text = NULL;
    out[k].n = out[k].size = 0;
  }
}

void r_output_close(r_stream out[2]) {
  r_output_forget(out);
  r_output_close_ends(out);
}
