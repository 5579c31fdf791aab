/* kern_map.h: arithmetic, comparison and mathematical functions, element by element on several threads.
 *
 * Values are R's to the last bit: the same C operators and libm functions on the same types.
 */
#ifndef KERN_MAP_H
#define KERN_MAP_H

#include "arr_convert.h"
#include "kern_threads.h"

typedef enum { SM_OP_ADD, SM_OP_SUB, SM_OP_MUL, SM_OP_DIV, SM_OP_EQ, SM_OP_NE, SM_OP_LT, SM_OP_GT, SM_OP_LE, SM_OP_GE } sm_op;

typedef enum {
  SM_FN_SQRT,
  SM_FN_EXP,
  SM_FN_ABS,
  SM_FN_FLOOR,
  SM_FN_CEILING,
  SM_FN_TRUNC,
  SM_FN_LOG,
  SM_FN_LOG2,
  SM_FN_LOG10,
  SM_FN_LOG1P,
  SM_FN_EXPM1,
  SM_FN_SIN,
  SM_FN_COS,
  SM_FN_TAN,
  SM_FN_ASIN,
  SM_FN_ACOS,
  SM_FN_ATAN,
  SM_FN_SINH,
  SM_FN_COSH,
  SM_FN_TANH,
  SM_FN_NEGATE
} sm_fn;

/* One operand: n elements of dtype d (not c16, not S<n>) at any alignment, or one that stands for all. */
typedef struct {
  sm_dtype d;
  const void *x;
  bool one;
} sm_operand;

/* What comes out. */
typedef struct {
  int64_t n;
  void *at;
  bool warn; /* set: an integer result overflowed and became NA, or a NaN came of what was none */
} sm_mapped;

/* What R reads the dtype as: true for i1 i2 i4 u1 u2 b1 (integer or logical), false for f8 f4 u4 i8 (double). */
static inline bool sm_map_is_integer(sm_dtype d) { return sm_dtype_info_of(d)->kernel == SM_CLASS_INTEGER; }

/* Arithmetic gives doubles, or integers (int32, NA INT32_MIN) if both operands are integer and op is not
 * division; comparison gives int32 0, 1 or NA. */
int sm_map_op(sm_op op, sm_operand a, sm_operand b, sm_mapped *out, const sm_work *work);

/* fn of doubles gives doubles; SM_FN_ABS and SM_FN_NEGATE of integers give integers. */
int sm_map_fn(sm_fn fn, sm_operand a, sm_mapped *out, const sm_work *work);

#endif
