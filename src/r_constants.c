/* r_constants.c: the numbers that R and C share, told once: R reads them when the package is loaded. */
#include <signal.h>
#include <string.h>

#include "mem_filemap.h"
#include "r_kernel.h"
#include "r_region.h"
#include "r_team_template.h"
#include "task_trace.h"

typedef struct {
  const char *group, *name;
  int value;
} constant;

static const constant constants[] = {
    {"output", "relay", R_OUTPUT_RELAY},
    {"output", "inherit", R_OUTPUT_INHERIT},
    {"output", "discard", R_OUTPUT_DISCARD},
    {"output", "spool", R_OUTPUT_SPOOL},
    {"schedule", "static", SM_SCHEDULE_STATIC},
    {"schedule", "dynamic", SM_SCHEDULE_DYNAMIC},
    {"schedule", "guided", SM_SCHEDULE_GUIDED},
    {"kill_point", "none", R_KILL_NONE},
    {"kill_point", "before_items", R_KILL_BEFORE_ITEMS},
    {"kill_point", "taken", R_KILL_TAKEN},
    {"kill_point", "ring_full", R_KILL_RING_FULL},
    {"kill_point", "descriptor", R_KILL_DESCRIPTOR},
    {"kill_point", "published", R_KILL_PUBLISHED},
    {"kill_point", "last_frame", R_KILL_LAST_FRAME},
    {"trace", "item", SM_TRACE_ITEM},
    {"trace", "wait_critical", SM_TRACE_WAIT_CRITICAL},
    {"trace", "hold_critical", SM_TRACE_HOLD_CRITICAL},
    {"trace", "wait_ordered", SM_TRACE_WAIT_ORDERED},
    {"trace", "hold_ordered", SM_TRACE_HOLD_ORDERED},
    {"trace", "serialize", SM_TRACE_SERIALIZE},
    {"trace", "wait_ring", SM_TRACE_WAIT_RING},
    {"trace", "gc", SM_TRACE_GC},
    {"trace", "startup", SM_TRACE_STARTUP},
    {"trace", "dispatch", SM_TRACE_DISPATCH},
    {"trace", "lost", SM_TRACE_LOST},
    {"summary", "sum", R_SUM},
    {"summary", "prod", R_PROD},
    {"summary", "min", R_MIN},
    {"summary", "max", R_MAX},
    {"summary", "range", R_RANGE},
    {"summary", "any", R_ANY},
    {"summary", "all", R_ALL},
    {"summary", "mean", R_MEAN},
    {"file_mode", "r", SM_FILEMAP_READ},
    {"file_mode", "r+", SM_FILEMAP_UPDATE},
    {"file_mode", "w+", SM_FILEMAP_CREATE},
    {"file_mode", "c", SM_FILEMAP_PRIVATE},
    {"kernel", "none", SM_CLASS_NONE},
    {"kernel", "wide", SM_CLASS_WIDE},
#define SIGNAL(name) \
  { "signal", #name, name }
    SIGNAL(SIGHUP),
    SIGNAL(SIGINT),
    SIGNAL(SIGQUIT),
    SIGNAL(SIGILL),
    SIGNAL(SIGTRAP),
    SIGNAL(SIGABRT),
    SIGNAL(SIGBUS),
    SIGNAL(SIGFPE),
    SIGNAL(SIGKILL),
    SIGNAL(SIGUSR1),
    SIGNAL(SIGSEGV),
    SIGNAL(SIGUSR2),
    SIGNAL(SIGPIPE),
    SIGNAL(SIGALRM),
    SIGNAL(SIGTERM),
    SIGNAL(SIGCHLD),
    SIGNAL(SIGCONT),
    SIGNAL(SIGSTOP),
    SIGNAL(SIGTSTP),
    SIGNAL(SIGTTIN),
    SIGNAL(SIGTTOU),
    SIGNAL(SIGURG),
    SIGNAL(SIGXCPU),
    SIGNAL(SIGXFSZ),
    SIGNAL(SIGVTALRM),
    SIGNAL(SIGPROF),
    SIGNAL(SIGSYS),
#ifdef SIGWINCH
    SIGNAL(SIGWINCH),
#endif
#ifdef SIGIO
    SIGNAL(SIGIO),
#endif
#ifdef SIGPWR
    SIGNAL(SIGPWR),
#endif
#ifdef SIGSTKFLT
    SIGNAL(SIGSTKFLT),
#endif
#ifdef SIGEMT
    SIGNAL(SIGEMT),
#endif
#ifdef SIGINFO
    SIGNAL(SIGINFO),
#endif
#undef SIGNAL
};

#define N ((int)(sizeof constants / sizeof constants[0]))

static int group_end(int from) {
  int to = from;
  while (to < N && strcmp(constants[to].group, constants[from].group) == 0) to++;
  return to;
}

/* A named integer vector. */
static SEXP named(int n, SEXP names) {
  PROTECT(names);
  SEXP out = PROTECT(Rf_allocVector(INTSXP, n));
  Rf_setAttrib(out, R_NamesSymbol, names);
  UNPROTECT(2);
  return out;
}

static SEXP frame_types(void) {
  SEXP names = PROTECT(Rf_allocVector(STRSXP, R_FRAME_NTYPES - 1));
  for (int i = 1; i < R_FRAME_NTYPES; i++) SET_STRING_ELT(names, i - 1, Rf_mkChar(r_frame_names[i]));
  SEXP out = named(R_FRAME_NTYPES - 1, names);
  for (int i = 1; i < R_FRAME_NTYPES; i++) INTEGER(out)[i - 1] = i;
  UNPROTECT(1);
  return out;
}

/* How the kernels compute with each dtype, by its code. */
static SEXP dtype_kernels(void) {
  int n = 0;
  while (sm_dtype_row(n)) n++;
  SEXP names = PROTECT(Rf_allocVector(STRSXP, n));
  for (int i = 0; i < n; i++) SET_STRING_ELT(names, i, Rf_mkChar(sm_dtype_row(i)->name));
  SEXP out = named(n, names);
  for (int i = 0; i < n; i++) INTEGER(out)[i] = sm_dtype_row(i)->kernel;
  UNPROTECT(1);
  return out;
}

static SEXP realtime_range(void) {
#ifdef SIGRTMIN
  SEXP out = Rf_allocVector(INTSXP, 2);
  INTEGER(out)[0] = SIGRTMIN;
  INTEGER(out)[1] = SIGRTMAX;
  return out;
#else
  return R_NilValue;
#endif
}

/* list(frame, realtime, dtype, output, schedule, ...): of each enumeration that R needs the names and numbers. */
SEXP ffi_constants(void) {
  int ngroups = 3;
  for (int i = 0; i < N; i = group_end(i)) ngroups++;
  SEXP out = PROTECT(Rf_allocVector(VECSXP, ngroups)), groups = PROTECT(Rf_allocVector(STRSXP, ngroups));
  SET_VECTOR_ELT(out, 0, frame_types());
  SET_STRING_ELT(groups, 0, Rf_mkChar("frame"));
  SET_VECTOR_ELT(out, 1, realtime_range());
  SET_STRING_ELT(groups, 1, Rf_mkChar("realtime"));
  SET_VECTOR_ELT(out, 2, dtype_kernels());
  SET_STRING_ELT(groups, 2, Rf_mkChar("dtype"));
  for (int i = 0, g = 3; i < N; i = group_end(i), g++) {
    int n = group_end(i) - i;
    SEXP names = Rf_allocVector(STRSXP, n);
    SET_STRING_ELT(groups, g, Rf_mkChar(constants[i].group));
    PROTECT(names);
    for (int k = 0; k < n; k++) SET_STRING_ELT(names, k, Rf_mkChar(constants[i + k].name));
    SEXP values = named(n, names);
    SET_VECTOR_ELT(out, g, values);
    for (int k = 0; k < n; k++) INTEGER(values)[k] = constants[i + k].value;
    UNPROTECT(1);
  }
  Rf_setAttrib(out, R_NamesSymbol, groups);
  UNPROTECT(2);
  return out;
}
