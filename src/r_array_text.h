/* r_array_text.h: between R's strings and items of S<n>; see arr_text.h. */
#ifndef R_ARRAY_TEXT_H
#define R_ARRAY_TEXT_H

#include "arr_text.h"
#include "r_array.h"

/* The strings of a vector for an array's items. */
typedef struct {
  SEXP strings; /* protected by the caller */
  sm_text_encoding home;
  bool native_utf8;
} r_texts;

r_texts r_texts_of(SEXP strings, sm_dtype d);

/* String i. Valid while the vector is: elements of an ALTREP vector were made to stay by r_texts_of(). */
sm_text r_texts_get(const r_texts *t, int64_t i);

/* The dtype that holds all strings of a character vector. */
sm_dtype r_texts_dtype(SEXP strings);

/* The CHARSXP of one item. r_text_char(): of memory that nobody else writes; r_text_char_live(): of an array's own, of which
 * a copy is made first. Both work on what is there, however malformed, and raise an error that names the element (from 1 on) where there
 * are bytes behind a NUL, which R's strings cannot hold. */
SEXP r_text_char(const uint8_t *item, sm_dtype d, double element);
SEXP r_text_char_live(const r_array *a, int64_t pos);

#endif
