/* r_util_vector.h: the atomic vector types of R: their elements' sizes and memory, and a family of ALTREP classes, one for each type. */
#ifndef R_UTIL_VECTOR_H
#define R_UTIL_VECTOR_H

#define R_NO_REMAP
#include <Rinternals.h>

#include <R_ext/Altrep.h>

#include "arr_dtype.h"

/* Bytes of an element of a logical, integer, double, complex or raw vector; 0 for any other type. */
size_t r_vector_itemsize(int type);

/* What a vector of such a type, or a character one, is to the core; 0 for any other. */
sm_rtype r_vector_rtype(int type);

/* The elements of such a vector, to write (no ALTREP vector that may not be written to) or to read; NULL for any other type. */
void *r_vector_ptr(SEXP x);
const void *r_vector_ptr_ro(SEXP x);

typedef struct {
  R_altrep_class_t lgl, intg, real, cplx, raw, str;
} r_vector_classes;

/* Make the classes <prefix>_logical, _integer, ... and give each to methods(). */
r_vector_classes r_vector_classes_make(const char *prefix, DllInfo *dll, void (*methods)(R_altrep_class_t));

/* The class for a type; doubles' for any type that has none. */
R_altrep_class_t r_vector_class(const r_vector_classes *c, int type);

#endif
