/* r_array_new.c: see r_array_new.h. */
#include "r_array_new.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "arr_text.h"
#include "mem_file.h"
#include "mem_limit.h"
#include "mem_pool.h"
#include "r_memory.h"
#include "r_util.h"

#define MAX_EXTENT 4503599627370496.0 /* 2^52: exact as a double, and products stay checkable */

static const char *const shape_expected = "whole numbers of at least 0, without NA (at most 64 extents)";

static int segment_get(size_t nbytes, bool backed, sm_segment **out, uint64_t *available) {
  int rc = sm_limit_check(nbytes, available);
  if (rc == 0) rc = backed ? sm_segment_new_stoppable(nbytes, r_interrupt_pending, NULL, out) : sm_segment_new_bare(nbytes, out);
  return rc;
}

static const char *reason_of(int rc) {
  switch (rc) {
  case -EMFILE: return "this process has no more file descriptors (raise ulimit -n)";
  case -ENFILE: return "the system has no more file descriptors";
  case -EFBIG: return "it lies in files, whose size is limited here (raise ulimit -f)";
  case -ENOMEM: return "no address space, or too many mappings (ulimit -v, sysctl vm.max_map_count)";
  default: return sm_error_text(rc);
  }
}

/* Does it become a block of a common segment? Larger ones do too where the process can have few descriptors more. */
static bool is_small(size_t nbytes) {
  size_t count, total;
  if (nbytes <= SM_SMALL_MAX || nbytes > SM_SMALL_LARGEST) return nbytes <= SM_SMALL_MAX;
  sm_segment_usage(&count, &total);
  return sm_fd_scarce(count);
}

/* Memory for `spec`, with one ref. */
static void memory_get(r_array_spec *spec, size_t nbytes, bool backed) {
  uint64_t available = UINT64_MAX;
  r_memory_collect_before(nbytes);
  bool small = is_small(nbytes);
  int rc = small ? sm_small_new(nbytes, &spec->block) : segment_get(nbytes, backed, &spec->seg, &available);
  if (rc == SM_ENOROOM || rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM) {
    R_gc();
    sm_pool_trim();
    rc = small ? sm_small_new(nbytes, &spec->block) : segment_get(nbytes, backed, &spec->seg, &available);
  }
  /* a common segment may be longer than files may be here, where one of its own is not */
  if (small && rc == -EFBIG) rc = segment_get(nbytes, backed, &spec->seg, &available);
  if (rc == SM_EINTR) {
    r_interrupt_raise();
  }
  if (rc == -EFBIG) available = sm_size_limit();
  if (rc < 0) r_abort_memory((double)nbytes, available == UINT64_MAX ? NA_REAL : (double)available, reason_of(rc));
}

static SEXP array_make(sm_dtype dtype, int ndim, const int64_t *dim, bool vector, bool backed) {
  SEXP x = PROTECT(r_array_blank());
  r_array_spec spec = {.dtype = dtype, .ndim = ndim, .dim = dim, .vector = vector};
  size_t nbytes = dtype.itemsize;
  for (int i = 0; i < ndim; i++) nbytes *= (size_t)dim[i];
  memory_get(&spec, nbytes, backed);
  r_array_make(r_array_ptr(x), &spec);
  UNPROTECT(1);
  return x;
}

SEXP r_array_new(sm_dtype dtype, int ndim, const int64_t *dim, bool vector) { return array_make(dtype, ndim, dim, vector, true); }

SEXP r_array_new_bare(sm_dtype dtype, int ndim, const int64_t *dim, bool vector) { return array_make(dtype, ndim, dim, vector, false); }

/* Extent i of shape as a double; NaN for what is no number. */
static double shape_extent(SEXP shape, R_xlen_t i) {
  if (TYPEOF(shape) == INTSXP) {
    int v = INTEGER_ELT(shape, i);
    return v == NA_INTEGER ? R_NaN : v;
  }
  double v = REAL_ELT(shape, i);
  if (!Rf_inherits(shape, "integer64")) return v;
  int64_t n;
  memcpy(&n, &v, sizeof n);
  return n < 0 ? R_NaN : (double)n;
}

int r_array_shape_arg(SEXP shape, sm_dtype dtype, int64_t *dim) {
  if (shape == R_NilValue) return 0;
  bool numeric = (TYPEOF(shape) == INTSXP && !Rf_inherits(shape, "factor")) || TYPEOF(shape) == REALSXP;
  if (!numeric || XLENGTH(shape) > R_ARRAY_MAX_NDIM) r_abort_argument_value("shape", shape, shape_expected);
  int ndim = (int)XLENGTH(shape);
  double bytes = dtype.itemsize;
  bool zero = false;
  for (int i = 0; i < ndim; i++) {
    double v = shape_extent(shape, i);
    if (!(v >= 0) || !isfinite(v) || v != floor(v)) r_abort_argument_value("shape", shape, shape_expected);
    if (v == 0) zero = true;
    bytes *= v == 0 ? 1 : v;
    dim[i] = v <= MAX_EXTENT ? (int64_t)v : 0;
  }
  if (bytes > MAX_EXTENT && !zero) r_abort_memory(bytes, NA_REAL, "no machine has that much");
  if (bytes > MAX_EXTENT) r_abort_argument_value("shape", shape, "extents whose product is below 2^52");
  return ndim;
}

static const char dtype_expected[] = "one of f8, f4, i1, i2, i4, i8, u1, u2, u4, c16, b1, raw, S<n> (as NumPy writes them too: \"<f8\", "
                                     "\"|S5\"), a NumPy name (float64, float32, "
                                     "float, int8, int16, int32, int64, int, uint8, uint16, uint32, complex128, bool) or an R type "
                                     "(double, numeric, integer, logical, complex, "
                                     "raw, integer64)";

sm_dtype r_array_dtype_arg(SEXP dtype) {
  sm_dtype d;
  if (TYPEOF(dtype) == REALSXP || TYPEOF(dtype) == INTSXP) r_abort_argument_value("dtype", dtype, "a dtype such as \"f8\"");
  if (TYPEOF(dtype) != STRSXP || XLENGTH(dtype) != 1 || STRING_ELT(dtype, 0) == NA_STRING ||
      sm_dtype_parse(CHAR(STRING_ELT(dtype, 0)), &d) < 0)
    r_abort_argument_value("dtype", dtype, dtype_expected);
  return d;
}

/* encoding: of strings, as ffi_text_encoding() gives it. */
SEXP ffi_array_new(SEXP shape, SEXP dtype, SEXP encoding) {
  int64_t dim[R_ARRAY_MAX_NDIM];
  sm_dtype d = r_array_dtype_arg(dtype);
  int home = Rf_asInteger(encoding);
  if (home < SM_TEXT_UTF8 || home > SM_TEXT_NATIVE) r_abort_argument_value("encoding", encoding, "0, 1, 2 or 3");
  if (d.code == SM_STR) d.raw = (uint8_t)home;
  int ndim = r_array_shape_arg(shape, d, dim);
  return r_array_new(d, ndim, dim, ndim == 1);
}
