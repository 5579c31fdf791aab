/* r_kernel_npy.c: read_npy(), and what write_npy() and memmap() ask about .npy files.
 *
 * Ownership: descriptor and mapping are given back by the clean-up of r_kernel_clean(), however the call ends. A new array is
 * handed out only when it is complete.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arr_npy.h"
#include "kern_file.h"
#include "kern_turn.h"
#include "mem_fault.h"
#include "mem_filemap.h"
#include "r_array_handle.h"
#include "r_array_new.h"
#include "r_kernel_file.h"
#include "r_util.h"

typedef struct {
  const char *path;
  int fd;
  sm_segment *seg; /* the mapped file, which owns the descriptor then */
  double at, size; /* where in the file the .npy begins, and its bytes; -1: to the end of the file */
  sm_work work;
  sm_stop stop;
} npy_call;

static void npy_clean(void *arg) {
  npy_call *c = arg;
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
  if (c->seg) sm_segment_unref(c->seg);
  c->seg = NULL;
}

/* Open the file and parse the header. False if it is a ZIP archive, and so no .npy. */
static bool header_read(npy_call *c, sm_npy *h, struct stat *st) {
  char why[SM_NPY_WHY];
  r_file_open(c->path, &c->fd, st);
  double rest = (double)st->st_size - c->at;
  if (rest < 0 || c->size > rest) r_file_abort(c->path, "ends within a member of the archive");
  uint64_t size = (uint64_t)(c->size < 0 ? rest : c->size);
  size_t n = size < SM_NPY_MOST ? (size_t)size : SM_NPY_MOST, have = 0;
  uint8_t *bytes = (uint8_t *)R_alloc(n > 0 ? n : 1, 1);
  while (have < n) {
    ssize_t got = pread(c->fd, bytes + have, n - have, (off_t)c->at + (off_t)have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) r_file_abort_code(c->path, -errno);
    if (got == 0) r_file_abort_code(c->path, SM_ESHORT);
    have += (size_t)got;
  }
  if (n >= 4 && (memcmp(bytes, "PK\3\4", 4) == 0 || memcmp(bytes, "PK\5\6", 4) == 0)) return false;
  if (sm_npy_read(bytes, n, size, h, why) < 0) r_file_abort(c->path, why);
  return true;
}

/* True if the elements lie in the order of a shared array: the first index fastest. */
static bool in_order(const sm_npy *h) {
  int longer = 0;
  for (int i = 0; i < h->ndim; i++) longer += h->dim[i] > 1;
  return h->fortran || longer < 2 || h->length == 0;
}

static SEXP read_in_order(npy_call *c, const sm_npy *h) {
  SEXP x = PROTECT(r_array_new_bare(h->dtype, h->ndim, h->dim, h->ndim == 1));
  const r_array *a = r_array_get(x, "x");
  sm_file_part part = {.fd = c->fd,
                       .offset = (int64_t)c->at + (int64_t)h->offset,
                       .nbytes = (size_t)h->length * h->dtype.itemsize,
                       .swap = h->swap,
                       .back = r_file_backing(a),
                       .ctx = a->seg};
  int rc = sm_file_read(&part, a->data, &c->work);
  if (rc < 0) r_file_abort_code(c->path, rc);
  UNPROTECT(1);
  return x;
}

static SEXP read_turned(npy_call *c, const sm_npy *h, const struct stat *before) {
  struct stat after;
  size_t nbytes = (size_t)h->length * h->dtype.itemsize;
  SEXP x = PROTECT(r_array_new_bare(h->dtype, h->ndim, h->dim, false));
  const r_array *a = r_array_get(x, "x");
  sm_filemap_file file = {c->fd, (uint64_t)before->st_size, false};
  int rc = sm_filemap_map(&file, SM_FILEMAP_READ, (uint64_t)c->at + h->offset, nbytes, &c->seg);
  if (rc < 0) r_file_abort_code(c->path, rc);
  c->fd = -1;
  sm_turn t = {.from = c->seg->payload,
               .to = a->data,
               .ndim = h->ndim,
               .dim = h->dim,
               .itemsize = h->dtype.itemsize,
               .swap = h->swap,
               .back = r_file_backing(a),
               .ctx = a->seg};
  c->work.guard = sm_fault_guard;
  rc = sm_turn_run(&t, &c->work);
  if (rc == 0 && fstat(c->seg->fd, &after) < 0) rc = -errno;
  if (rc == 0 && !sm_file_same(before, &after)) rc = SM_ECHANGED;
  if (rc < 0) r_file_abort_code(c->path, rc);
  UNPROTECT(1);
  return x;
}

static SEXP read_body(void *arg) {
  npy_call *c = arg;
  struct stat st;
  sm_npy h;
  if (!header_read(c, &h, &st)) return R_NilValue;
  return in_order(&h) ? read_in_order(c, &h) : read_turned(c, &h, &st);
}

/* NULL for a ZIP archive, which R takes apart. */
SEXP ffi_npy_read(SEXP path, SEXP at, SEXP size, SEXP np) {
  const void *top = vmaxget();
  npy_call c = {.path = Rf_translateChar(STRING_ELT(path, 0)), .fd = -1, .at = Rf_asReal(at), .size = Rf_asReal(size)};
  c.work = r_kernel_work(&c.stop, np, false);
  SEXP x = r_kernel_clean(read_body, npy_clean, &c);
  vmaxset(top);
  return x;
}

/* ---- headers alone ---- */

static SEXP header_list(const sm_npy *h) {
  static const char *const names[] = {"dtype", "swap", "in_order", "shape", "offset", ""};
  char code[16];
  sm_dtype_format(h->dtype, code);
  SEXP list = PROTECT(Rf_mkNamed(VECSXP, (const char **)names));
  SET_VECTOR_ELT(list, 0, Rf_mkString(code));
  SET_VECTOR_ELT(list, 1, Rf_ScalarInteger(h->swap));
  SET_VECTOR_ELT(list, 2, Rf_ScalarLogical(in_order(h)));
  SEXP shape = Rf_allocVector(REALSXP, h->ndim);
  SET_VECTOR_ELT(list, 3, shape);
  for (int i = 0; i < h->ndim; i++) REAL(shape)[i] = (double)h->dim[i];
  SET_VECTOR_ELT(list, 4, Rf_ScalarReal((double)h->offset));
  UNPROTECT(1);
  return list;
}

static SEXP about_body(void *arg) {
  struct stat st;
  sm_npy h;
  return header_read(arg, &h, &st) ? header_list(&h) : R_NilValue;
}

SEXP ffi_npy_about(SEXP path) {
  const void *top = vmaxget();
  npy_call c = {.path = Rf_translateChar(STRING_ELT(path, 0)), .fd = -1, .size = -1};
  SEXP list = r_kernel_clean(about_body, npy_clean, &c);
  vmaxset(top);
  return list;
}

SEXP ffi_npy_parse(SEXP bytes, SEXP size) {
  sm_npy h;
  char why[SM_NPY_WHY];
  if (sm_npy_read(RAW_RO(bytes), (size_t)XLENGTH(bytes), (uint64_t)Rf_asReal(size), &h, why) < 0) return Rf_mkString(why);
  return header_list(&h);
}

SEXP ffi_npy_dtype(SEXP text) {
  sm_dtype d;
  int swap;
  char code[16], why[SM_NPY_WHY], came[SM_NPY_WHY + 16];
  const char *p = CHAR(STRING_ELT(text, 0));
  if (sm_npy_dtype(p, strlen(p), &d, &swap, why) < 0) {
    snprintf(came, sizeof came, "one that %s", why);
    r_abort_argument("a", came, "a NumPy array of numbers, truth values or bytes");
  }
  sm_dtype_format(d, code);
  return Rf_mkString(code);
}

/* ---- elements that are in memory already ---- */

typedef struct {
  const r_array *a;
  int64_t found;
} mark_job;

static void mark_find(void *arg) {
  mark_job *j = arg;
  uint8_t mark = j->a->dtype.code == SM_STR ? SM_STR_NA : SM_B1_NA;
  const uint8_t *p = j->a->data;
  for (int64_t i = 0; i < j->a->length; i++, p += j->a->dtype.itemsize)
    if (*p == mark) {
      j->found = i + 1;
      return;
    }
}

/* The first element of S<n> or b1 that NumPy would not understand: NA, or a string with a mark in front. 0 if there is none. */
SEXP ffi_npy_marked(SEXP x) {
  mark_job j = {r_array_get(x, "x"), 0};
  if (j.a->dtype.code == SM_STR || j.a->dtype.code == SM_B1) r_array_access(j.a, mark_find, &j);
  return Rf_ScalarReal((double)j.found);
}

typedef struct {
  uint8_t *to;
  const uint8_t *from;
  size_t n;
} put_job;

static void put_bytes(void *arg) {
  put_job *j = arg;
  memcpy(j->to, j->from, j->n);
}

/* crc_table[k][b]: what a byte b followed by k bytes of zeros adds to a CRC-32. */
static uint32_t crc_table[8][256];

static void crc_table_make(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
    crc_table[0][i] = c;
  }
  for (int k = 1; k < 8; k++)
    for (uint32_t i = 0; i < 256; i++) crc_table[k][i] = crc_table[0][crc_table[k - 1][i] & 0xFF] ^ crc_table[k - 1][i] >> 8;
}

/* The CRC-32 of the bytes so far, as in ZIP archives, of n bytes more: eight in one step, which is four times as fast as one by one. */
static uint32_t crc_on(uint32_t crc, const uint8_t *p, size_t n) {
  if (!crc_table[0][1]) crc_table_make();
  crc = ~crc;
  for (; n >= 8; n -= 8, p += 8) {
    uint32_t next = 0;
    for (int k = 0; k < 8; k++) next ^= crc_table[7 - k][k < 4 ? (p[k] ^ crc >> 8 * k) & 0xFF : p[k]];
    crc = next;
  }
  for (; n > 0; n--, p++) crc = crc_table[0][(crc ^ *p) & 0xFF] ^ crc >> 8;
  return ~crc;
}

static SEXP crc_body(void *arg) {
  npy_call *c = arg;
  struct stat st;
  size_t most = 1 << 20;
  uint8_t *bytes = (uint8_t *)R_alloc(most, 1);
  uint32_t crc = 0;
  r_file_open(c->path, &c->fd, &st);
  for (double at = 0; at < c->size;) {
    size_t n = c->size - at < (double)most ? (size_t)(c->size - at) : most;
    ssize_t got = pread(c->fd, bytes, n, (off_t)(c->at + at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) r_file_abort_code(c->path, got < 0 ? -errno : SM_ESHORT);
    crc = crc_on(crc, bytes, (size_t)got);
    at += (double)got;
    R_CheckUserInterrupt();
  }
  return Rf_ScalarReal((double)crc);
}

/* The CRC-32 of `size` bytes of a file. */
SEXP ffi_npy_crc(SEXP path, SEXP at, SEXP size) {
  const void *top = vmaxget();
  npy_call c = {.path = Rf_translateChar(STRING_ELT(path, 0)), .fd = -1, .at = Rf_asReal(at), .size = Rf_asReal(size)};
  SEXP crc = r_kernel_clean(crc_body, npy_clean, &c);
  vmaxset(top);
  return crc;
}

/* The bytes from `skip` on into x at byte `at`; gives the CRC of all bytes so far. */
SEXP ffi_npy_put(SEXP x, SEXP bytes, SEXP skip, SEXP at, SEXP crc) {
  size_t first = (size_t)Rf_asReal(skip), n = (size_t)XLENGTH(bytes);
  double offset = Rf_asReal(at);
  uint32_t sum = crc_on((uint32_t)Rf_asReal(crc), RAW_RO(bytes), n);
  if (x == R_NilValue || first >= n) return Rf_ScalarReal((double)sum);
  const r_array *a = r_array_get(x, "x");
  double have = (double)a->length * a->dtype.itemsize;
  if (offset > have) return Rf_ScalarReal((double)sum);
  put_job j = {.to = a->data + (size_t)offset, .from = RAW_RO(bytes) + first, .n = n - first};
  if (offset + (double)j.n > have) j.n = (size_t)(have - offset);
  r_array_access(a, put_bytes, &j);
  return Rf_ScalarReal((double)sum);
}

/* A new array of `dtype` and extents `dim` from the bytes of x, in which the last index is the fastest (or, unless `reversed`, the
 * first), with numbers turned round as `swap` says. */
SEXP ffi_npy_turn(SEXP x, SEXP dtype, SEXP dim, SEXP how, SEXP np) {
  const void *top = vmaxget();
  int64_t extent[R_ARRAY_MAX_NDIM], length = 1;
  sm_dtype d = r_array_dtype_arg(dtype);
  int ndim = r_array_shape_arg(dim, d, extent), swap = INTEGER_ELT(how, 0);
  bool reversed = INTEGER_ELT(how, 1) != 0;
  for (int i = 0; i < ndim; i++) length *= extent[i];
  SEXP y = PROTECT(r_array_new_bare(d, ndim, extent, ndim == 1));
  const r_array *a = r_array_get(y, "x");
  r_kernel_view v = r_kernel_look(x, "x");
  if (v.n * v.dtype.itemsize < length * d.itemsize)
    r_abort("sharedmem_value_error", "the array has fewer bytes than its shape and dtype ask for");
  sm_turn t = {.from = v.data,
               .to = a->data,
               .ndim = reversed ? ndim : 1,
               .dim = reversed ? extent : &length,
               .itemsize = d.itemsize,
               .swap = swap,
               .back = r_file_backing(a),
               .ctx = a->seg};
  sm_stop stop;
  sm_work work = r_kernel_work(&stop, np, v.fragile);
  int rc = sm_turn_run(&t, &work);
  r_kernel_check(rc, "write_npy()");
  UNPROTECT(1);
  vmaxset(top);
  return y;
}
