/* r_team_console.c: see r_team_console.h.
 *
 * `Rscript file.R` and `R -f` read the script as the console, through a stream whose offset a fork shares and whose buffer a fork copies:
 * a worker that read the console would run the session's lines and take further lines from the session, and an item that runs in the
 * session would take lines of the script, too. R's API does not give access to that stream; R's reader is a function pointer of its
 * embedding interface, which is looked up at run time as the setters of BLAS are.
 */
#define _GNU_SOURCE
#include "r_team_console.h"

#include <dlfcn.h>
#include <stddef.h>

static int nothing_to_read(const char *prompt, unsigned char *buffer, int size, int history) {
  (void)prompt;
  (void)history;
  if (size > 0) buffer[0] = 0;
  return 0;
}

static r_console_reader *reader_in_use(void) {
  static r_console_reader *in_use;
  if (!in_use) in_use = dlsym(RTLD_DEFAULT, "ptr_R_ReadConsole");
  return in_use;
}

r_console_reader r_console_cut(void) {
  r_console_reader *in_use = reader_in_use(), before = in_use ? *in_use : NULL;
  if (in_use) *in_use = nothing_to_read;
  return before;
}

void r_console_restore(r_console_reader reader) {
  r_console_reader *in_use = reader_in_use();
  if (in_use && reader) *in_use = reader;
}
