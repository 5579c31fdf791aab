/* r_team_output.h: what members print, relayed to the owner's console whole lines at a time.
 *
 * Each rank has two pipes in place of stdout and stderr, which the successors of a dead worker take over. Where descriptors are
 * short, all ranks share two. An owner that does not read for long (a region, background()) has files instead (R_OUTPUT_SPOOL):
 * a member never waits for it. The owner prints through R, so that sinks, capture.output() and knitr see it.
 */
#ifndef R_TEAM_OUTPUT_H
#define R_TEAM_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { R_OUTPUT_RELAY = 0, R_OUTPUT_INHERIT, R_OUTPUT_DISCARD, R_OUTPUT_SPOOL } r_output_mode;

/* stdout or stderr of a rank. */
typedef struct {
  int fd;      /* owner: what is read, -1 */
  int end;     /* what is written to, -1; in the owner until all are forked */
  bool spool;  /* a file: nothing to poll */
  uint64_t at; /* of a file: bytes read */
  char *text;  /* n bytes not yet printed, of `size` */
  size_t n, size;
} r_stream;

/* Owner, before the first fork: the streams of n ranks; where descriptors are short, of rank 0 alone, for all. 0 or a negative code. */
int r_output_open(r_stream (*out)[2], int n, r_output_mode mode);

/* Owner: close the write ends. */
void r_output_close_ends(r_stream out[2]);

/* Child: its streams, or those of rank 0 where it has none, or /dev/null in the place of stdout and stderr, as the mode says. */
void r_output_redirect(const r_stream own[2], const r_stream shared[2], r_output_mode mode);

/* Owner: print the complete lines that have come by stdout (k 0) or stderr (1); with all, also a last line without an
 * end. May raise an R error (from a sink). */
void r_output_relay(r_stream *s, int k, bool all);

/* Owner's side given back, in a child: what is read. close: the write ends too. Print nothing, never raise. */
void r_output_forget(r_stream out[2]);
void r_output_close(r_stream out[2]);

#endif
