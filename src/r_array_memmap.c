/* r_array_memmap.c: shared arrays over files.
 *
 * Ownership: the handle stands before the file is opened; an open descriptor is closed before an error is raised.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mem_filemap.h"
#include "r_array.h"
#include "r_array_handle.h"
#include "r_array_new.h"
#include "r_util.h"

static void abort_file(const char *path, const char *message) {
  SEXP p = PROTECT(Rf_mkString(path)), m = PROTECT(Rf_mkString(message));
  r_abort_call(Rf_lang3(Rf_install("abort_file"), p, m));
}

/* Bytes that the whole file gives to an array of this itemsize; a message if that is none. */
static bool whole_file(uint64_t size, uint64_t offset, uint32_t itemsize, int64_t *length, char *message, size_t room) {
  if (offset > size) snprintf(message, room, "has %.0f bytes, fewer than the offset of %.0f", (double)size, (double)offset);
  else if ((size - offset) % itemsize != 0)
    snprintf(message, room, "its %.0f bytes from the offset on are no multiple of the item size %u", (double)(size - offset),
             (unsigned)itemsize);
  else *length = (int64_t)((size - offset) / itemsize);
  return *length >= 0;
}

static sm_segment *map(const char *path, sm_filemap_mode mode, uint64_t offset, uint32_t itemsize, int64_t *length) {
  char message[256] = "";
  sm_filemap_file file;
  sm_segment *seg = NULL;
  int rc = sm_filemap_open(path, mode, &file);
  if (rc < 0) abort_file(path, rc == SM_EFORMAT ? "is no regular file" : sm_error_text(rc));
  bool fits = *length >= 0 || whole_file(file.size, offset, itemsize, length, message, sizeof message);
  if (fits) rc = sm_filemap_map(&file, mode, offset, (size_t)*length * itemsize, &seg);
  if (fits && rc == 0) {
    sm_filemap_name(seg, path);
    return seg;
  }
  sm_filemap_drop(&file, path);
  if (fits && rc != SM_ESHORT) abort_file(path, rc == -EFBIG ? "files are limited to less (ulimit -f)" : sm_error_text(rc));
  if (fits)
    snprintf(message, sizeof message, "has %.0f bytes, but %.0f from offset %.0f on were asked for", (double)file.size,
             (double)*length * itemsize, (double)offset);
  abort_file(path, message);
  return NULL;
}

SEXP ffi_memmap_new(SEXP path, SEXP dtype, SEXP shape, SEXP mode, SEXP offset) {
  int64_t dim[R_ARRAY_MAX_NDIM], length = shape == R_NilValue ? -1 : 1;
  sm_dtype d = r_array_dtype_arg(dtype);
  int ndim = r_array_shape_arg(shape, d, dim);
  for (int i = 0; i < ndim; i++) length *= dim[i];
  SEXP x = PROTECT(r_array_blank());
  sm_segment *seg =
      map(Rf_translateChar(STRING_ELT(path, 0)), (sm_filemap_mode)Rf_asInteger(mode), (uint64_t)Rf_asReal(offset), d.itemsize, &length);
  if (shape == R_NilValue) {
    ndim = 1;
    dim[0] = length;
  }
  r_array_make(r_array_ptr(x), &(r_array_spec){.dtype = d, .ndim = ndim, .dim = dim, .vector = ndim == 1, .seg = seg});
  UNPROTECT(1);
  return x;
}

SEXP ffi_memmap_flush(SEXP x) {
  const r_array *a = r_array_get(x, "con");
  if (a->seg->kind != SM_SEGMENT_FILE || a->readonly) return R_NilValue;
  int rc = sm_filemap_flush(a->seg);
  if (rc < 0) r_abort("sharedmem_file_error", "cannot write the file behind the shared array: %s", sm_error_text(rc));
  return R_NilValue;
}
