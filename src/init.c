/* init.c: the table of entry points. One row an ffi_ function, sorted within its module. */
#define R_NO_REMAP
#include <R.h>
#include <R_ext/Rdynload.h>
#include <R_ext/Visibility.h>
#include <Rinternals.h>

/* array */
SEXP ffi_array_new(SEXP, SEXP, SEXP);

/* map */
SEXP ffi_critical_enter(SEXP);
SEXP ffi_critical_leave(SEXP);
SEXP ffi_map_alive(SEXP);
SEXP ffi_map_drive(SEXP, SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP ffi_map_end(SEXP);
SEXP ffi_map_new(SEXP, SEXP);
SEXP ffi_map_pids(SEXP);
SEXP ffi_map_spawn(SEXP, SEXP);
SEXP ffi_ordered_enter(SEXP, SEXP);
SEXP ffi_ordered_leave(SEXP);
SEXP ffi_worker_end(void);
SEXP ffi_worker_guard_exit(void);
SEXP ffi_worker_loop(SEXP, SEXP);
SEXP ffi_worker_send(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_worker_stop_all(void);
SEXP ffi_worker_where(void);

#define ROW(name, n) {#name, (DL_FUNC)(void (*)(void))name, n}

static const R_CallMethodDef rows[] = {
  /* array */
  ROW(ffi_array_new, 3),
  /* map */
  ROW(ffi_critical_enter, 1),
  ROW(ffi_critical_leave, 1),
  ROW(ffi_map_alive, 1),
  ROW(ffi_map_drive, 6),
  ROW(ffi_map_end, 1),
  ROW(ffi_map_new, 2),
  ROW(ffi_map_pids, 1),
  ROW(ffi_map_spawn, 2),
  ROW(ffi_ordered_enter, 2),
  ROW(ffi_ordered_leave, 1),
  ROW(ffi_worker_end, 0),
  ROW(ffi_worker_guard_exit, 0),
  ROW(ffi_worker_loop, 2),
  ROW(ffi_worker_send, 4),
  ROW(ffi_worker_stop_all, 0),
  ROW(ffi_worker_where, 0),
  {NULL, NULL, 0},
};

attribute_visible void R_init_sharedmem(DllInfo *dll) {
  R_registerRoutines(dll, NULL, rows, NULL, NULL);
  R_useDynamicSymbols(dll, FALSE);
  R_forceSymbols(dll, TRUE);
}
