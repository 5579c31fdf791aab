/* r_kernel_file.c: fromfile() and tofile().
 *
 * Ownership: the descriptor and the new file are given back by the clean-up of r_kernel_clean(), however the call ends. A new array is
 * handed out only when it is complete.
 */
#define _GNU_SOURCE
#include "r_kernel_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kern_file.h"
#include "mem_file.h"
#include "mem_replace.h"
#include "r_array_handle.h"
#include "r_array_new.h"
#include "r_util.h"

void r_file_abort(const char *path, const char *why) {
  SEXP p = PROTECT(Rf_mkString(path)), w = PROTECT(Rf_mkString(why));
  r_abort_call(Rf_lang3(Rf_install("abort_file"), p, w));
}

void r_file_abort_code(const char *path, int rc) {
  if (rc == SM_EINTR || rc == -ENOMEM || rc == SM_ENOROOM) r_kernel_check(rc, path);
  r_file_abort(path, rc == SM_ESHORT ? "it became shorter while it was read"
                     : rc == -EFBIG  ? "files are limited to less (ulimit -f)"
                                     : sm_error_text(rc));
}

void r_file_open(const char *path, int *fd, struct stat *st) {
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (*fd < 0 || fstat(*fd, st) < 0) r_file_abort_code(path, -errno);
  if (S_ISDIR(st->st_mode)) r_file_abort_code(path, -EISDIR);
  if (!S_ISREG(st->st_mode)) r_file_abort(path, "it is not a regular file");
}

typedef struct {
  const char *path;
  int fd;
  sm_dtype dtype;
  double count, offset;
  int swap;
  sm_work work;
  r_kernel_view view;
  const void *header; /* bytes before the elements */
  size_t header_size;
  sm_replace file;
  sm_stop stop;
} file_call;

static void file_clean(void *arg) {
  file_call *c = arg;
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
  sm_replace_drop(&c->file);
}

static int back_part(void *seg, size_t offset, size_t n) { return sm_segment_back(seg, offset, n); }

sm_back_fn r_file_backing(const r_array *a) { return a->block ? NULL : back_part; }

/* The number of elements to be read; raises what is wrong with the file's size. */
static int64_t elements(const file_call *c, const struct stat *st) {
  char why[160];
  int64_t size = (int64_t)st->st_size, item = c->dtype.itemsize;
  if (c->offset > (double)size) {
    snprintf(why, sizeof why, "it has %.0f bytes, which is less than the offset of %.0f", (double)size, c->offset);
    r_file_abort(c->path, why);
  }
  int64_t rest = size - (int64_t)c->offset;
  if (c->count < 0) {
    if (rest % item == 0) return rest / item;
    snprintf(why, sizeof why, "the %.0f bytes from offset %.0f on are no multiple of the %.0f of an element", (double)rest, c->offset,
             (double)item);
    r_file_abort(c->path, why);
  }
  if (c->count > (double)(rest / item)) {
    snprintf(why, sizeof why, "it is too short: %.0f elements of %.0f bytes from offset %.0f on, and not %.0f", (double)(rest / item),
             (double)item, c->offset, c->count);
    r_file_abort(c->path, why);
  }
  return (int64_t)c->count;
}

static SEXP read_body(void *arg) {
  file_call *c = arg;
  struct stat st;
  r_file_open(c->path, &c->fd, &st);
  int64_t n = elements(c, &st);
  SEXP x = PROTECT(r_array_new_bare(c->dtype, 1, &n, true));
  r_array *a = r_array_get(x, "x");
  size_t nbytes = (size_t)n * c->dtype.itemsize;
  sm_file_part part = {c->fd, (int64_t)c->offset, nbytes, c->swap, r_file_backing(a), a->seg};
  int rc = sm_file_read(&part, a->data, &c->work);
  if (rc < 0) r_file_abort_code(c->path, rc);
  UNPROTECT(1);
  return x;
}

SEXP ffi_file_read(SEXP path, SEXP dtype, SEXP count, SEXP offset, SEXP swap, SEXP np) {
  const void *top = vmaxget();
  file_call c = {
      .path = Rf_translateChar(STRING_ELT(path, 0)), .fd = -1, .file = {.fd = -1}, .count = Rf_asReal(count), .offset = Rf_asReal(offset)};
  c.dtype = r_array_dtype_arg(dtype);
  c.swap = Rf_asLogical(swap) == TRUE ? sm_dtype_info_of(c.dtype)->swap : 1;
  c.work = r_kernel_work(&c.stop, np, false);
  SEXP x = r_kernel_clean(read_body, file_clean, &c);
  vmaxset(top);
  return x;
}

/* What sm_replace_open() refused. */
static void abort_replace(const char *path, int rc) {
  if (rc == SM_EFORMAT) r_file_abort(path, "it exists and is not a regular file");
  if (rc == -EROFS) r_file_abort(path, "it is read-only");
  if (rc == -EACCES) r_file_abort(path, "its folder cannot be written, where the new file has to be made");
  r_file_abort_code(path, rc);
}

static SEXP write_body(void *arg) {
  file_call *c = arg;
  sm_size_guard guard;
  size_t nbytes = (size_t)c->view.n * c->view.dtype.itemsize;
  int rc = sm_replace_open(c->path, &c->file);
  if (rc < 0) abort_replace(c->path, rc);
  sm_size_enter(&guard);
  rc = sm_file_write(c->file.fd, 0, c->header, c->header_size, &c->work);
  if (rc == 0) rc = sm_file_write(c->file.fd, (int64_t)c->header_size, c->view.data, nbytes, &c->work);
  sm_size_leave(&guard);
  if (rc == SM_ECHANGED) r_array_abort_fault(NULL);
  if (rc == 0) rc = sm_replace_commit(&c->file);
  if (rc < 0) r_file_abort_code(c->path, rc);
  SEXP replaced = Rf_allocVector(REALSXP, 2);
  REAL(replaced)[0] = c->file.exists ? (double)c->file.links : 1;
  REAL(replaced)[1] = c->file.exists && sm_segment_writes(c->file.file);
  return replaced;
}

/* Gives how many names the file had that was replaced, all but one of which keep the old contents, and whether it is mapped here. */
SEXP ffi_file_write(SEXP x, SEXP path, SEXP header, SEXP np) {
  const void *top = vmaxget();
  file_call c = {.path = Rf_translateChar(STRING_ELT(path, 0)),
                 .fd = -1,
                 .file = {.fd = -1},
                 .header = RAW_RO(header),
                 .header_size = (size_t)XLENGTH(header)};
  c.view = r_kernel_look(x, "x");
  c.work = r_kernel_work(&c.stop, np, false); /* the system reads the elements: a page that is gone is an error code there */
  SEXP replaced = r_kernel_clean(write_body, file_clean, &c);
  vmaxset(top);
  return replaced;
}
