/* r_team_output.h: what members print, relayed to the owner's console whole lines at a time.
 *
 * Each rank has two pipes in place of stdout and stderr, which the successors of a dead worker take over. Where descriptors are scarce, all
 * ranks share two pipes. An owner that may not read for a long time (a region, background()) has files instead (R_OUTPUT_SPOOL), so that
 * a member never waits for it. The owner prints through R, so that sinks, capture.output() and knitr get the text.
 */
#ifndef R_TEAM_OUTPUT_H
#define R_TEAM_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { R_OUTPUT_RELAY = 0, R_OUTPUT_INHERIT, R_OUTPUT_DISCARD, R_OUTPUT_SPOOL } r_output_mode;

/* stdout or stderr of a rank. */
typedef struct {
  int fd;      /* owner: the end to read from, -1 */
  int end;     /* the end to write to, -1; the owner closes it once all members are forked */
  bool spool;  /* both ends are a file, which is not polled */
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

/* Close the owner's ends and drop unprinted text; close: close the write ends, too. Print nothing, never raise. */
void r_output_forget(r_stream out[2]);
void r_output_close(r_stream out[2]);

#endif
