/* r_wire_flat.h: small values without attributes as compact records, where R_Serialize() would cost ten times as much.
 *
 * Record   int32_t type, int32_t length, then the elements; for each element of text its length (-1: NA), its encoding, and its bytes.
 */
#ifndef R_WIRE_FLAT_H
#define R_WIRE_FLAT_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "sm_base.h"

#define R_FLAT_MAX 1024

/* The record of x in buf, R_FLAT_MAX bytes; gives its size, or 0 where x is no small atomic vector without attributes. */
size_t r_flat_pack(SEXP x, uint8_t *buf);

/* The value of a record, or R_UnboundValue for malformed bytes. */
SEXP r_flat_unpack(const uint8_t *p, size_t n);

#endif
