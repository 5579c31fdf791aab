/* init.c: the table of entry points. One row an ffi_ function, sorted within its module. */
#define R_NO_REMAP
#include <R.h>
#include <R_ext/Rdynload.h>
#include <R_ext/Visibility.h>
#include <Rinternals.h>

/* array */
SEXP ffi_array_new(SEXP, SEXP, SEXP);

#define ROW(name, n) {#name, (DL_FUNC)&name, n}

static const R_CallMethodDef rows[] = {
  /* array */
  ROW(ffi_array_new, 3),
  {NULL, NULL, 0},
};

attribute_visible void R_init_sharedmem(DllInfo *dll) {
  R_registerRoutines(dll, NULL, rows, NULL, NULL);
  R_useDynamicSymbols(dll, FALSE);
  R_forceSymbols(dll, TRUE);
}
