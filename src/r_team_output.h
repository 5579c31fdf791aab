/* r_team_output.h: what workers print, relayed to the master's console whole lines at a time.
 *
 * Each worker has two pipes in place of its stdout and stderr; successors of dead workers share two of the
 * map's. Where descriptors are short, all share those. The master prints through R, so that sinks,
 * capture.output() and knitr see it.
 */
#ifndef R_TEAM_OUTPUT_H
#define R_TEAM_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

typedef enum { R_OUTPUT_RELAY = 0, R_OUTPUT_INHERIT, R_OUTPUT_DISCARD } r_output_mode;

/* The master's side of a worker's stdout or stderr. */
typedef struct {
  int fd;     /* read end, -1 */
  char *line; /* n bytes not yet printed */
  size_t n;
} r_stream;

/* What a map does with its workers' output. */
typedef struct {
  int mode;           /* r_output_mode */
  bool own_pipes;     /* workers have pipes of their own */
  r_stream shared[2]; /* of those who have none */
  int ends[2];        /* write ends of the shared ones, until all are forked */
} r_output;

/* Owner, before the first fork of a map: the shared pipes. 0 or a negative code. */
int r_output_open_shared(r_output *o, int np, bool successors);

/* Owner, before a worker's fork: its pipes. ends: the write ends, -1 where it has none. */
int r_output_open(const r_output *o, r_stream stream[2], int ends[2]);
void r_output_close_ends(int ends[2]);

/* Child: put the write ends, the shared ones or /dev/null in the place of stdout and stderr, as the map says. */
void r_output_redirect(const r_output *o, int ends[2]);

/* Owner: print the complete lines that have come by stdout (k 0) or stderr (1); with all, also a last line without an
 * end. May raise an R error (from a sink). */
void r_output_relay(r_stream *s, int k, bool all);

/* Close the read ends. Prints nothing, never raises. */
void r_output_close(r_stream stream[2]);

#endif
