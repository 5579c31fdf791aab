/* r_threads.c: thread counts of the libraries that this process has loaded; no link dependency.
 *
 * A BLAS or OpenMP pool that was started before a fork does not exist in the child: with one thread the
 * library never asks for it. Setters are found at run time: in what is globally visible, then in
 * libraries that are loaded but private.
 */
#define _GNU_SOURCE
#include <dlfcn.h>

#include "r_util.h"

typedef void (*setter_int)(int);
typedef void (*setter_ptr)(const int *);

static const struct {
  const char *name;
  bool by_pointer;
} setters[] = {
  {"openblas_set_num_threads", false}, {"MKL_Set_Num_Threads", false}, {"bli_thread_set_num_threads", false},
  {"omp_set_num_threads", false},      {"mkl_set_num_threads_", true},
};

static const char *const libraries[] = {
  "libopenblas.so.0", "libopenblasp.so.0", "libmkl_rt.so", "libmkl_rt.so.2", "libblis.so.4",
  "libgomp.so.1",     "libomp.so.5",       "libiomp5.so",  "libgomp.1.dylib", "libomp.dylib",
};

static int call_setter(void *lib, int k, int n) {
  void *f = dlsym(lib, setters[k].name);
  if (!f) return 0;
  if (setters[k].by_pointer) {
    setter_ptr g;
    *(void **)&g = f;
    g(&n);
  } else {
    setter_int g;
    *(void **)&g = f;
    g(n);
  }
  return 1;
}

/* Set them all to n; gives the number of setters that were called. */
SEXP ffi_threads_set(SEXP n) {
  int threads = Rf_asInteger(n), called = 0;
  const int count = (int)(sizeof setters / sizeof setters[0]);
  for (int k = 0; k < count; k++) called += call_setter(RTLD_DEFAULT, k, threads);
  for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
    void *lib = dlopen(libraries[i], RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
    if (!lib) continue;
    for (int k = 0; k < count; k++) called += call_setter(lib, k, threads);
    dlclose(lib);
  }
  return Rf_ScalarInteger(called);
}

/* In a worker: tempdir() of base R is replaced by f in this process. */
SEXP ffi_worker_tempdir(SEXP f) {
  SEXP sym = Rf_install("tempdir");
  if (R_BindingIsLocked(sym, R_BaseEnv)) R_unLockBinding(sym, R_BaseEnv);
  Rf_defineVar(sym, f, R_BaseEnv);
  R_LockBinding(sym, R_BaseEnv);
  return R_NilValue;
}
