/* r_kernel_file.c: fromfile() and tofile().
 *
 * Ownership: the descriptor, and the temporary name while it exists, are given back by the clean-up of
 * r_kernel_clean(), however the call ends. A new array is handed out only when it is complete.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kern_file.h"
#include "r_kernel.h"
#include "r_array_handle.h"
#include "r_array_new.h"
#include "r_util.h"

/* Raise sharedmem_file_error with a field `path`. */
static void abort_file(const char *path, const char *why) {
  SEXP p = PROTECT(Rf_mkString(path)), w = PROTECT(Rf_mkString(why));
  r_abort_call(Rf_lang3(Rf_install("abort_file"), p, w));
}

static void abort_code(const char *path, int rc) {
  if (rc == SM_EINTR || rc == -ENOMEM || rc == SM_ENOROOM) r_kernel_check(rc, path);
  abort_file(path, rc == SM_ESHORT ? "it became shorter while it was read" : sm_error_text(rc));
}

typedef struct {
  const char *path;
  int fd;
  sm_dtype dtype;
  double count, offset;
  int swap, np;
  r_kernel_view view;
  char *temporary; /* a name that is to be removed; "" for none */
  sm_stop stop;
} file_call;

static void file_clean(void *arg) {
  file_call *c = arg;
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
  if (c->temporary && c->temporary[0]) unlink(c->temporary);
}

static int back_part(void *ctx, size_t offset, size_t n) { return sm_segment_back(ctx, offset, n); }

/* The number of elements to be read; raises what is wrong with the file's size. */
static int64_t elements(const file_call *c, const struct stat *st) {
  char why[160];
  int64_t size = (int64_t)st->st_size, item = c->dtype.itemsize;
  if (c->offset > (double)size) {
    snprintf(why, sizeof why, "it has %.0f bytes, which is less than the offset of %.0f", (double)size, c->offset);
    abort_file(c->path, why);
  }
  int64_t rest = size - (int64_t)c->offset;
  if (c->count < 0) {
    if (rest % item == 0) return rest / item;
    snprintf(why, sizeof why, "the %.0f bytes from offset %.0f on are no multiple of the %.0f of an element", (double)rest, c->offset,
             (double)item);
    abort_file(c->path, why);
  }
  if (c->count > (double)(rest / item)) {
    snprintf(why, sizeof why, "it is too short: %.0f elements of %.0f bytes from offset %.0f on, and not %.0f", (double)(rest / item),
             (double)item, c->offset, c->count);
    abort_file(c->path, why);
  }
  return (int64_t)c->count;
}

static SEXP read_body(void *arg) {
  file_call *c = arg;
  struct stat st;
  if (fstat(c->fd, &st) < 0) abort_code(c->path, -errno);
  if (S_ISDIR(st.st_mode)) abort_code(c->path, -EISDIR);
  if (!S_ISREG(st.st_mode)) abort_file(c->path, "it is not a regular file");
  int64_t n = elements(c, &st);
  SEXP x = PROTECT(r_array_new_bare(c->dtype, 1, &n, true));
  r_array *a = r_array_get(x, "x");
  size_t nbytes = (size_t)n * c->dtype.itemsize;
  int rc = sm_file_read(c->fd, (int64_t)c->offset, a->data, nbytes, c->swap, a->block ? NULL : back_part, a->seg, c->np, &c->stop);
  if (rc < 0) abort_code(c->path, rc);
  UNPROTECT(1);
  return x;
}

static int swap_width(sm_dtype d) { return d.code == SM_STR ? 1 : d.code == SM_C16 ? 8 : (int)d.itemsize; }

SEXP ffi_file_read(SEXP path, SEXP dtype, SEXP count, SEXP offset, SEXP swap, SEXP np) {
  const void *top = vmaxget();
  file_call c = {.path = Rf_translateChar(STRING_ELT(path, 0)),
                 .fd = -1,
                 .count = Rf_asReal(count),
                 .offset = Rf_asReal(offset),
                 .np = Rf_asInteger(np)};
  if (sm_dtype_parse(CHAR(STRING_ELT(dtype, 0)), &c.dtype) < 0)
    r_abort_argument_value("dtype", dtype, "a dtype such as \"f8\", \"i4\" or \"S8\"");
  c.swap = Rf_asLogical(swap) == TRUE ? swap_width(c.dtype) : 1;
  r_kernel_stop(&c.stop);
  c.fd = open(c.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (c.fd < 0) abort_code(c.path, -errno);
  SEXP x = r_kernel_clean(read_body, file_clean, &c);
  vmaxset(top);
  return x;
}

/* The permissions of the file that is replaced, or those of a new one. */
static mode_t target_mode(const file_call *c) {
  struct stat st;
  if (stat(c->path, &st) == 0) {
    if (S_ISDIR(st.st_mode)) abort_code(c->path, -EISDIR);
    if (!S_ISREG(st.st_mode)) abort_file(c->path, "it exists and is not a regular file");
    return st.st_mode & 07777;
  }
  mode_t mask = umask(0);
  umask(mask);
  return 0666 & ~mask;
}

static SEXP write_body(void *arg) {
  file_call *c = arg;
  mode_t mode = target_mode(c);
  size_t room = strlen(c->path) + 8;
  char *name = R_alloc(room, 1);
  snprintf(name, room, "%s.XXXXXX", c->path);
  c->fd = mkstemp(name);
  if (c->fd < 0) abort_code(c->path, -errno);
  c->temporary = name;
  fcntl(c->fd, F_SETFD, FD_CLOEXEC);
  int rc = sm_file_write(c->fd, c->view.data, (size_t)c->view.n * c->view.dtype.itemsize, c->np, &c->stop);
  if (rc == 0 && (fchmod(c->fd, mode) < 0 || fsync(c->fd) < 0)) rc = -errno;
  int fd = c->fd;
  c->fd = -1;
  if (close(fd) < 0 && rc == 0) rc = -errno;
  if (rc == 0 && rename(name, c->path) < 0) rc = -errno;
  if (rc < 0) abort_code(c->path, rc);
  name[0] = 0;
  return R_NilValue;
}

SEXP ffi_file_write(SEXP x, SEXP path, SEXP np) {
  const void *top = vmaxget();
  file_call c = {.path = Rf_translateChar(STRING_ELT(path, 0)), .fd = -1, .np = Rf_asInteger(np)};
  c.view = r_kernel_look(x, "x");
  r_kernel_stop(&c.stop);
  r_kernel_clean(write_body, file_clean, &c);
  vmaxset(top);
  return R_NilValue;
}
