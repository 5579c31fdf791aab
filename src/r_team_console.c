/* r_team_console.c: see r_team_console.h.
 *
 * `Rscript file.R` and `R -f` read the script as the console, through a stream whose offset a fork shares and whose buffer it
 * copies: a worker that read it would run the session's lines and take others from the session. The stream is R's own, and not at
 * hand; R's reader is a function pointer of its embedding interface, which is looked up at run time as the setters of BLAS are.
 */
#define _GNU_SOURCE
#include "r_team_console.h"

#include <dlfcn.h>

static int nothing_to_read(const char *prompt, unsigned char *buffer, int size, int history) {
  (void)prompt;
  (void)history;
  if (size > 0) buffer[0] = 0;
  return 0;
}

void r_console_cut(void) {
  int (**reader)(const char *, unsigned char *, int, int) = dlsym(RTLD_DEFAULT, "ptr_R_ReadConsole");
  if (reader) *reader = nothing_to_read;
}
