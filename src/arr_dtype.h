/* arr_dtype.h: the dtypes of shared arrays, by NumPy code.
 *
 * NA: i4 has INT_MIN, b1 has SM_B1_NA, f8 f4 c16 keep R's NA payload apart from NaN, S<n> has
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

#define SM_B1_NA 0x80
#define SM_STR_NA 0xFF

/* Parse "f8", "S12", "<f8", "float64", "double", ... ; SM_EFORMAT for any other text. */
int sm_dtype_parse(const char *text, sm_dtype *out);

/* Write the NumPy code ("f8", "S12", "raw") into buf of 16 bytes. */
void sm_dtype_format(sm_dtype d, char *buf);

/* True if code, raw and itemsize go together (for bytes that come from outside). */
bool sm_dtype_valid(sm_dtype d);

#endif
