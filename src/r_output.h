/* r_output.h: what workers print, relayed to the master's console whole lines at a time.
 *
 * Each worker has two pipes in place of its stdout and stderr; successors of dead workers share two of the
 * map's. Where descriptors are short, all share those. The master prints through R, so that sinks,
 * capture.output() and knitr see it.
 */
#ifndef R_OUTPUT_H
#define R_OUTPUT_H

#include "r_map.h"

/* Owner, before the first fork of a map: the shared pipes. 0 or a negative code. */
int r_output_open_shared(r_map *m);

/* Owner, before a worker's fork: its pipes. ends: the write ends, -1 where it has none. */
int r_output_open(r_map *m, r_worker *w, int ends[2]);
void r_output_close_ends(int ends[2]);

/* Child: put the write ends, the shared ones or /dev/null in the place of stdout and stderr, as the map says. */
void r_output_redirect(const r_map *m, int ends[2]);

/* Owner: print the complete lines that have come; with all, also a last line without an end. May
 * raise an R error (from a sink). */
void r_output_relay(r_map *m, bool all);

/* Close the read ends. Prints nothing, never raises. */
void r_output_close(r_stream stream[2]);

#endif
