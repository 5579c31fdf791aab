/* r_wire_strings.h: long character vectors on their way between processes, and as they arrive.
 *
 * One with few distinct strings is made at once. Another is an ALTREP vector over the table as it came: a
 * string becomes an R string when it is first asked for, and the collector has no millions of strings to mark.
 */
#ifndef R_WIRE_STRINGS_H
#define R_WIRE_STRINGS_H

#define R_NO_REMAP
#include <R_ext/Rdynload.h>
#include <Rinternals.h>

#include "chan_move.h"
#include "chan_strings.h"

void r_strings_register(DllInfo *dll);

/* Is x a vector that came by r_strings_from() and has not been made in full? */
bool r_strings_lazy(SEXP x);

/* Writer: entry `index` of the table becomes x's, whose elements are at `from`. Raises R errors. */
void r_strings_out(SEXP x, const SEXP *from, sm_move_table *t, size_t index);

/* Reader: room for the pieces of e, and where they go: a raw vector. r_strings_from() makes the character vector of it. */
SEXP r_strings_room(const sm_moved_shm *e);
SEXP r_strings_from(SEXP room, const sm_moved_shm *e);

#endif
