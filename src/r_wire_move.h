/* r_wire_move.h: large vectors of a value, taken out of its serialized stream and put back by the reader.
 *
 * The writer sends a copy of the value's lists in which each large vector is a placeholder: an ALTREP
 * vector with the same attributes whose serialized state is the vector's number. The reader makes
 * the vectors first (ordinary ones, their contents copied by several threads; long character vectors are r_wire_strings.h's), and the
 * placeholders' class gives them when R_Unserialize() meets the numbers.
 */
#ifndef R_WIRE_MOVE_H
#define R_WIRE_MOVE_H

#define R_NO_REMAP
#include <R_ext/Rdynload.h>
#include <Rinternals.h>

#include "chan_move.h"

/* A vector of so many bytes is moved, if all such vectors of the value together have R_MOVE_VALUE bytes, below which moving does not pay.
 */
#define R_MOVE_VECTOR ((size_t)64 << 10)
#define R_MOVE_VALUE ((size_t)256 << 10)

void r_move_register(DllInfo *dll);

/* Writer: the value to serialize instead: x itself, and an empty table, where there is nothing to move. x is
 * not changed and must stay protected until the table is cleared. Raises R errors; the table is then to be cleared. */
SEXP r_move_out(SEXP x, sm_move_table *t);

/* Reader: the vectors of a table as a list (the caller protects it). A code as of sm_move_read() in *rc, and then
 * R_NilValue. Raises R errors for malformed tables, interrupts and want of memory. */
SEXP r_move_in(const sm_move_source *s, const sm_move_head_shm *head, int *rc);

/* Reader: set the vectors for which the placeholders in the stream stand; gives those that were set before. */
SEXP r_move_expect(SEXP vectors);

#endif
