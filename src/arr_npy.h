/* arr_npy.h: the header of NumPy's .npy files, format versions 1.0 to 3.0.
 *
 * magic    6 bytes "\x93NUMPY", then major and minor version, a byte each
 * length   of the dictionary: 2 bytes (version 1) or 4 (versions 2 and 3), little-endian
 * dict     a Python literal with the keys descr, fortran_order and shape, blanks and a line feed at its end
 *
 * A header is bytes from outside: nothing in it is believed before it is held against the file's size.
 */
#ifndef ARR_NPY_H
#define ARR_NPY_H

#include "arr_dtype.h"

#define SM_NPY_MOST ((size_t)65536) /* bytes of a file that are looked at for its header */
#define SM_NPY_NDIM 64
#define SM_NPY_WHY 200

typedef struct {
  sm_dtype dtype;
  int swap;     /* bytes of a number whose order is to be turned round: 1 (none), 2, 4 or 8 */
  bool fortran; /* the first index is the fastest; else the last */
  int ndim;
  int64_t dim[SM_NPY_NDIM];
  int64_t length;  /* elements */
  uint64_t offset; /* of the first element from the magic on */
} sm_npy;

/* Parse the header in the first n bytes of a file (or member of an archive) of `size` bytes, n being the smaller of
 * `size` and SM_NPY_MOST. 0: the elements lie inside `size`, and no product of extents and item size passes 2^52. SM_EFORMAT:
 * why[SM_NPY_WHY] says what is wrong, for the user, to be read after "file 'x': ". */
int sm_npy_read(const void *bytes, size_t n, uint64_t size, sm_npy *out, char *why);

/* The dtype of a NumPy typestring ("<f8", "|S5") and its swap; SM_EFORMAT with `why` if no shared array has it. */
int sm_npy_dtype(const char *text, size_t n, sm_dtype *dtype, int *swap, char *why);

#endif
