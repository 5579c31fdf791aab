/* r_array_handle.h: handles as they come from elsewhere, by serialize() or through a worker's stream, and what is behind them. */
#ifndef R_ARRAY_HANDLE_H
#define R_ARRAY_HANDLE_H

#include "r_array.h"

/* The attached array behind a handle; attaches it where it came by serialize(). Raises
 * sharedmem_unattached_error or an argument error naming `arg`; never returns NULL. Valid while x is protected. */
r_array *r_array_get(SEXP x, const char *arg);

/* A new handle over the memory of the attached handle x: other shape (ndim, dim: the product must be the
 * length of x; dim may be x's own) and other attributes of the values (meta: a named list, or R_NilValue). The handle's
 * own attributes, its class among them, are x's. */
SEXP r_array_alias(SEXP x, int ndim, const int64_t *dim, bool vector, SEXP meta);

/* For the result channel. If ptr is of an attached handle over anonymous memory, which the owner may have dropped or may never have had,
 * its descriptor to be passed on; else -1. */
int r_array_travel_fd(SEXP ptr);

/* For the hooks of R_InitOutPStream() and R_InitInPStream(), which see the pointers of handles. r_array_name(): the name (a
 * character vector) under which ptr goes through a stream, or R_NilValue if it is no attached handle's. r_array_from_name(): a
 * pointer of that name, attached if its segment is known here (sm_segment_find(), sm_segment_adopt()) or can be opened, and holding refs
 * of its own; R errors only for a name that r_array_name() never gave. */
SEXP r_array_name(SEXP ptr);
SEXP r_array_from_name(SEXP name);

#endif
