/* r_team_progress.c: the width of the terminal, and the progress bar that stands on it. */
#include "r_team_progress.h"

#define R_NO_REMAP
#include <R_ext/Print.h>
#include <Rinternals.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Columns of the terminal to which stderr writes; 0 where stderr is no terminal or the width is unknown. */
SEXP ffi_progress_width(void) {
  struct winsize w;
  int columns = 0;
#ifdef TIOCGWINSZ
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0) columns = w.ws_col;
#endif
  return Rf_ScalarInteger(columns);
}

static struct {
  int columns;  /* of the bar on the screen; 0: there is none */
  bool escapes; /* the terminal knows how to clear a line */
} bar;

void r_progress_clear(void) {
  if (bar.columns == 0) return;
  if (bar.escapes) REprintf("\r\033[K");
  else REprintf("\r%*s\r", bar.columns, "");
  bar.columns = 0;
}

/* R has drawn a bar of so many columns, which stays on the screen until something else is written. */
SEXP ffi_progress_shown(SEXP columns, SEXP escapes) {
  bar.columns = Rf_asInteger(columns);
  bar.escapes = Rf_asLogical(escapes) == TRUE;
  return R_NilValue;
}

SEXP ffi_progress_clear(void) {
  r_progress_clear();
  return R_NilValue;
}
