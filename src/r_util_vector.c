/* r_util_vector.c: see r_util_vector.h. */
#include "r_util_vector.h"

#include <stdio.h>

size_t r_vector_itemsize(int type) {
  switch (type) {
  case LGLSXP:
  case INTSXP: return sizeof(int);
  case REALSXP: return sizeof(double);
  case CPLXSXP: return sizeof(Rcomplex);
  case RAWSXP: return 1;
  default: return 0;
  }
}

sm_rtype r_vector_rtype(int type) {
  switch (type) {
  case LGLSXP: return SM_R_LGL;
  case INTSXP: return SM_R_INT;
  case REALSXP: return SM_R_DBL;
  case CPLXSXP: return SM_R_CPLX;
  case RAWSXP: return SM_R_RAW;
  case STRSXP: return SM_R_STR;
  default: return 0;
  }
}

void *r_vector_ptr(SEXP x) {
  switch (TYPEOF(x)) {
  case LGLSXP: return LOGICAL(x);
  case INTSXP: return INTEGER(x);
  case REALSXP: return REAL(x);
  case CPLXSXP: return COMPLEX(x);
  case RAWSXP: return RAW(x);
  default: return NULL;
  }
}

const void *r_vector_ptr_ro(SEXP x) { return r_vector_itemsize(TYPEOF(x)) ? DATAPTR_RO(x) : NULL; }

r_vector_classes r_vector_classes_make(const char *prefix, DllInfo *dll, void (*methods)(R_altrep_class_t)) {
  r_vector_classes c;
  char name[64];
#define MAKE(field, make, type)                    \
  snprintf(name, sizeof name, "%s_" type, prefix); \
  methods(c.field = make(name, "sharedmem", dll));
  MAKE(lgl, R_make_altlogical_class, "logical")
  MAKE(intg, R_make_altinteger_class, "integer")
  MAKE(real, R_make_altreal_class, "real")
  MAKE(cplx, R_make_altcomplex_class, "complex")
  MAKE(raw, R_make_altraw_class, "raw")
  MAKE(str, R_make_altstring_class, "string")
  return c;
}

R_altrep_class_t r_vector_class(const r_vector_classes *c, int type) {
  switch (type) {
  case LGLSXP: return c->lgl;
  case INTSXP: return c->intg;
  case CPLXSXP: return c->cplx;
  case RAWSXP: return c->raw;
  case STRSXP: return c->str;
  default: return c->real;
  }
}
