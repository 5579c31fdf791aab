/* r_team_threads.c: thread counts of the libraries that this process has loaded; no link dependency.
 *
 * The threads of a BLAS or OpenMP pool that was started before a fork do not exist in the child; a library that is set to one thread never
 * uses its pool. Setters are found at run time, among the global symbols first, then in libraries that are loaded but private.
 */
#define _GNU_SOURCE
#include "r_team_threads.h"

#include <dlfcn.h>
#ifdef __linux__
#include <link.h>
#endif

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
    "libopenblas.so.0", "libopenblasp.so.0", "libmkl_rt.so", "libmkl_rt.so.2",  "libblis.so.4",
    "libgomp.so.1",     "libomp.so.5",       "libiomp5.so",  "libgomp.1.dylib", "libomp.dylib",
};

#define SETTERS (sizeof setters / sizeof setters[0])
#define LIBRARIES (sizeof libraries / sizeof libraries[0])

/* The setters found, and the state of the loader at that time. A look for a library that is not loaded searches the file system, so the
 * owner looks again only after a library has been loaded or unloaded. */
static struct {
  bool done;
  unsigned long long adds, subs;
  struct {
    void *f;
    bool by_pointer;
  } found[SETTERS * (LIBRARIES + 1)];
  int nfound;
} loaded;

static void note(void *lib) {
  for (size_t k = 0; k < SETTERS; k++) {
    void *f = dlsym(lib, setters[k].name);
    bool known = !f;
    for (int i = 0; i < loaded.nfound; i++) known = known || loaded.found[i].f == f;
    if (known) continue;
    loaded.found[loaded.nfound].f = f;
    loaded.found[loaded.nfound++].by_pointer = setters[k].by_pointer;
  }
}

#ifdef __linux__
static int loader_state(struct dl_phdr_info *info, size_t size, void *data) {
  unsigned long long *out = data;
  if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs) {
    out[0] = info->dlpi_adds;
    out[1] = info->dlpi_subs;
  }
  return 1;
}
#endif

/* In the owner, before the fork. */
SEXP ffi_threads_find(void) {
  unsigned long long state[2] = {0, 0};
#ifdef __linux__
  dl_iterate_phdr(loader_state, state);
#endif
  if (loaded.done && state[0] == loaded.adds && state[1] == loaded.subs) return R_NilValue;
  loaded.done = true;
  loaded.adds = state[0];
  loaded.subs = state[1];
  loaded.nfound = 0;
  note(RTLD_DEFAULT);
  for (size_t i = 0; i < LIBRARIES; i++) {
    void *lib = dlopen(libraries[i], RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
    if (!lib) continue;
    note(lib);
    dlclose(lib);
  }
  return R_NilValue;
}

void r_threads_set(int n) {
  for (int i = 0; i < loaded.nfound; i++) {
    if (loaded.found[i].by_pointer) {
      setter_ptr g;
      *(void **)&g = loaded.found[i].f;
      g(&n);
    } else {
      setter_int g;
      *(void **)&g = loaded.found[i].f;
      g(n);
    }
  }
}
