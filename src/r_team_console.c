/* r_team_console.c: see r_team_console.h.
 *
 * `Rscript file.R` and `R -f` read the script as the console, through a stream whose offset a fork shares and whose buffer a fork copies:
 * a worker that read the console would run the session's lines and take further lines from the session. R's API does not give access to
 * that stream; R's reader is a function pointer of its embedding interface, which is looked up at run time as the setters of BLAS are.
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
