/* r_wire_strings.h: long character vectors on their way between processes, and as they arrive.
 *
 * A vector with few distinct strings is made at once. Any other is an ALTREP vector over the table that was received: a string becomes
 * an R string when it is first accessed, so the collector does not have to mark millions of strings.
 */
#ifndef R_WIRE_STRINGS_H
#define R_WIRE_STRINGS_H

#define R_NO_REMAP
#include <R_ext/Rdynload.h>
#include <Rinternals.h>

#include "chan_move.h"
#include "chan_strings.h"

void r_strings_register(DllInfo *dll);

/* True for a vector of r_strings_from() whose strings have not all been made. */
bool r_strings_lazy(SEXP x);

/* Writer: put the elements of x, which are at `from`, into entry `index` of the table. Raises R errors. */
void r_strings_out(SEXP x, const SEXP *from, sm_move_table *t, size_t index);

/* Reader: a raw vector with room for the pieces of e, of which r_strings_from() makes the character vector. */
SEXP r_strings_room(const sm_moved_shm *e);
SEXP r_strings_from(SEXP room, const sm_moved_shm *e);

#endif
