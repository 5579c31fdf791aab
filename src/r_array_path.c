/* r_array_path.c: where a shared array's memory is, for what reads and writes it without this package.
 *
 * Ownership: nothing is given out that would own the memory. Who takes an address keeps the handle; who takes a path
 * opens the file, whose pages then live as long as his mapping.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "r_array.h"
#include "r_array_handle.h"
#include "r_util.h"

#ifdef __linux__
static bool same_file(const char *path, const struct stat *own) {
  struct stat st;
  return stat(path, &st) == 0 && st.st_dev == own->st_dev && st.st_ino == own->st_ino;
}

/* A name of the segment's file: its own if it has one, else that of the descriptor in the process that made the memory, or
 * in this one if that has closed it. */
static bool find_path(const sm_segment *s, char *path, size_t room) {
  char link[64];
  struct stat own;
  if (s->fd < 0 || fstat(s->fd, &own) < 0) return false;
  snprintf(link, sizeof link, "/proc/%ld/fd/%d", (long)getpid(), s->fd);
  if (s->kind == SM_SEGMENT_FILE) {
    ssize_t n = readlink(link, path, room - 1);
    if (n > 0 && (size_t)n < room - 1) {
      path[n] = 0;
      if (same_file(path, &own)) return true;
    }
  }
  snprintf(path, room, "/proc/%ld/fd/%d", (long)s->creator, s->fd);
  if (same_file(path, &own)) return true;
  snprintf(path, room, "%s", link);
  return same_file(path, &own);
}
#endif

/* list(path, offset, writable), or NULL where no other process can find the memory. */
SEXP ffi_array_where(SEXP x) {
  r_array *a = r_array_get(x, "x");
#ifdef __linux__
  static const char *names[] = {"path", "offset", "writable", ""};
  char path[4096];
  const sm_segment *s = a->seg;
  if (s->isolated || !find_path(s, path, sizeof path)) return R_NilValue;
  if (a->block) sm_small_keep(a->block); /* another program may write there after the last handle is gone */
  SEXP list = PROTECT(Rf_mkNamed(VECSXP, names));
  SET_VECTOR_ELT(list, 0, Rf_mkString(path));
  SET_VECTOR_ELT(list, 1, Rf_ScalarReal((double)(s->start + (uint64_t)(a->data - s->payload))));
  SET_VECTOR_ELT(list, 2, Rf_ScalarLogical(!a->readonly));
  UNPROTECT(1);
  return list;
#else
  (void)a;
  return R_NilValue;
#endif
}

/* list(address, writable): the first element's address as a number in text, valid while x is protected. */
SEXP ffi_array_address(SEXP x) {
  static const char *names[] = {"address", "writable", ""};
  const r_array *a = r_array_get(x, "x");
  char text[32];
  snprintf(text, sizeof text, "%llu", (unsigned long long)(uintptr_t)a->data);
  SEXP list = PROTECT(Rf_mkNamed(VECSXP, names));
  SET_VECTOR_ELT(list, 0, Rf_mkString(text));
  SET_VECTOR_ELT(list, 1, Rf_ScalarLogical(!a->readonly));
  UNPROTECT(1);
  return list;
}

/* A handle over the same memory that reads it as raw bytes. */
SEXP ffi_array_bytes(SEXP x) {
  const r_array *from = r_array_get(x, "x");
  int64_t nbytes = from->length * from->dtype.itemsize;
  SEXP ptr = PROTECT(R_MakeExternalPtr(NULL, R_NilValue, R_NilValue));
  r_array_own(ptr);
  if (from->block) sm_small_ref(from->block);
  else sm_segment_ref(from->seg);
  r_array_spec spec = {.dtype = {SM_U1, 1, 1},
                       .ndim = 1,
                       .dim = &nbytes,
                       .vector = true,
                       .readonly = from->readonly,
                       .seg = from->seg,
                       .block = from->block,
                       .data = from->data};
  r_array_make(ptr, &spec);
  SEXP y = r_array_handle(ptr);
  UNPROTECT(1);
  return y;
}
