/* arr_dtype.h: the dtypes of shared arrays, and what is known of each, in one table.
 *
 * NA: i4 has INT32_MIN, b1 has SM_B1_NA, f8 f4 c16 keep R's NA payload apart from NaN, S<n> has
 * SM_STR_NA as its first byte, then NUL (see arr_text.h); other dtypes have none.
 */
#ifndef ARR_DTYPE_H
#define ARR_DTYPE_H

#include "sm_base.h"

typedef enum { SM_F8 = 1, SM_F4, SM_I1, SM_I2, SM_I4, SM_I8, SM_U1, SM_U2, SM_U4, SM_C16, SM_B1, SM_STR } sm_dtype_code;

typedef struct {
  uint8_t code;      /* sm_dtype_code */
  uint8_t raw;       /* u1: read as R raw; S<n>: encoding of the strings, see arr_text.h */
  uint32_t itemsize; /* bytes an element; n for S<n>, >= 1 */
} sm_dtype;

/* The R type that holds every value. SM_R_I64 is never a dtype's own: a class asks for it. */
typedef enum { SM_R_LGL = 1, SM_R_INT, SM_R_DBL, SM_R_CPLX, SM_R_RAW, SM_R_I64, SM_R_STR } sm_rtype;

/* How values sort (kern_keys.h). */
typedef enum {
  SM_KEY_F8,
  SM_KEY_F4, /* NaN of any kind is missing */
  SM_KEY_I1,
  SM_KEY_I2,
  SM_KEY_I8,
  SM_KEY_U1,
  SM_KEY_U2,
  SM_KEY_U4,
  SM_KEY_U8,   /* nothing is missing */
  SM_KEY_I4,   /* INT32_MIN is missing */
  SM_KEY_I8NA, /* INT64_MIN is missing */
  SM_KEY_B1,   /* 0x80 is missing, all others but 0 are equal */
  SM_KEY_STR,  /* fixed width, NUL-padded; first byte 0xFF is missing */
  SM_KEY_PTR,  /* const char *, NUL-terminated; NULL is missing */
  SM_KEY_NONE  /* does not sort by keys */
} sm_key_type;

/* How the kernels of kern_reduce.h and kern_map.h compute with a dtype. */
typedef enum {
  SM_CLASS_NONE,    /* not at all: c16 raw S<n> */
  SM_CLASS_FLOAT,   /* as doubles */
  SM_CLASS_INTEGER, /* as R's integers (or logical values); sums are exact */
  SM_CLASS_LARGE,   /* whole numbers that R reads as doubles; sums are exact */
  SM_CLASS_WIDE     /* the same, and past 2^53 as a double not exact: reading says so */
} sm_kernel_class;

typedef struct {
  const char *name; /* NumPy code; "S" for S<n> */
  sm_dtype d;       /* S<n>: itemsize 0 */
  sm_rtype rtype;
  bool has_na;
  sm_key_type key;
  uint8_t swap; /* bytes of a number, the unit of a byte order */
  sm_kernel_class kernel;
  int64_t lo, hi; /* the whole numbers that it holds, NA left out; lo > hi: not limited to whole numbers */
} sm_dtype_info;

#define SM_B1_NA 0x80
#define SM_STR_NA 0xFF

/* The row of a dtype; for one that sm_dtype_valid() refuses the row of S<n>. */
const sm_dtype_info *sm_dtype_info_of(sm_dtype d);

/* Row i of the table, or NULL past its end. */
const sm_dtype_info *sm_dtype_row(int i);

/* Parse "f8", "S12", "raw"; NumPy's names and type strings ("float64", "<f8", "|S5", of this machine's byte order); R's
 * types ("double"). SM_EFORMAT for any other text. */
int sm_dtype_parse(const char *text, sm_dtype *out);

/* Write the NumPy code ("f8", "S12", "raw") into buf of 16 bytes. */
void sm_dtype_format(sm_dtype d, char *buf);

/* True if code, raw and itemsize go together (for bytes that come from outside). */
bool sm_dtype_valid(sm_dtype d);

#endif
