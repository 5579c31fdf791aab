/* r_kernel.c: see r_kernel.h.
 *
 * Errors and interrupts: kernels never call R but through the poll of a stop, which runs in the calling
 * thread and catches the interrupt; it is raised again once the kernel has joined its threads and
 * given back its scratch.
 */
#include "r_kernel.h"

#include "arr_text.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "mem_fault.h"
#include "r_array_handle.h"
#include "r_util.h"

/* Asked from within guarded calls: what R does here is none of the guard's. */
static bool poll(void *arg) {
  void *guard = sm_fault_suspend();
  bool pending = r_interrupt_pending(arg);
  sm_fault_resume(guard);
  return pending;
}

sm_work r_kernel_work(sm_stop *stop, SEXP np, bool fragile) {
  sm_stop_init(stop, poll, NULL);
  return (sm_work){Rf_asInteger(np), stop, fragile ? sm_fault_guard : NULL};
}

SEXP r_kernel_clean(SEXP (*fun)(void *), void (*clean)(void *), void *arg) { return R_ExecWithCleanup(fun, arg, clean, arg); }

void r_kernel_check(int rc, const char *what) {
  if (rc == 0) return;
  if (rc == SM_EINTR) r_interrupt_raise();
  if (rc == SM_ECHANGED) r_array_abort_fault(NULL);
  if (rc == -ENOMEM || rc == SM_ENOROOM) r_abort("sharedmem_memory_error", "%s: not enough memory for scratch", what);
  r_abort("sharedmem_kernel_error", "%s: %s", what, sm_error_text(rc));
}

static bool has_integer64(SEXP cls) {
  for (R_xlen_t i = 0; TYPEOF(cls) == STRSXP && i < XLENGTH(cls); i++)
    if (strcmp(CHAR(STRING_ELT(cls, i)), "integer64") == 0) return true;
  return false;
}

typedef struct {
  const void *from;
  size_t nbytes;
  void *to;
} copy_job;

static void copy_bytes(void *arg) {
  copy_job *c = arg;
  memcpy(c->to, c->from, c->nbytes);
}

void r_kernel_own(r_kernel_view *v, SEXP x) {
  copy_job c = {v->data, (size_t)v->n * v->dtype.itemsize, NULL};
  c.to = R_alloc(c.nbytes > 0 ? c.nbytes : 1, 1);
  if (r_array_is(x)) r_array_access(r_array_get(x, "x"), copy_bytes, &c);
  else copy_bytes(&c);
  v->data = c.to;
  v->fragile = v->shared = false;
}

void r_kernel_align(r_kernel_view *v, SEXP x) {
  if (v->shared && (uintptr_t)v->data % sm_dtype_info_of(v->dtype)->swap != 0) r_kernel_own(v, x);
}

r_kernel_view r_kernel_look(SEXP x, const char *arg) {
  r_kernel_view v = {.n = 0};
  if (r_array_is(x)) {
    const r_array *a = r_array_get(x, arg);
    v.dtype = a->dtype;
    v.data = a->data;
    v.n = a->length;
    v.shared = true;
    v.logical = a->dtype.code == SM_B1;
    v.integer64 = a->dtype.code == SM_I8 && has_integer64(r_array_meta_get(x, "class"));
    v.fragile = r_array_fragile(a);
    return v;
  }
  v.n = (int64_t)Rf_xlength(x);
  switch (TYPEOF(x)) {
  case REALSXP:
    v.integer64 = Rf_inherits(x, "integer64");
    v.dtype = v.integer64 ? (sm_dtype){SM_I8, 0, 8} : (sm_dtype){SM_F8, 0, 8};
    v.data = REAL_RO(x);
    break;
  case LGLSXP:
    v.logical = true;
    v.dtype = (sm_dtype){SM_I4, 0, 4};
    v.data = LOGICAL_RO(x);
    break;
  case INTSXP:
    v.dtype = (sm_dtype){SM_I4, 0, 4};
    v.data = INTEGER_RO(x);
    break;
  case CPLXSXP:
    v.dtype = (sm_dtype){SM_C16, 0, 16};
    v.data = COMPLEX_RO(x);
    break;
  case RAWSXP:
    v.dtype = (sm_dtype){SM_U1, 1, 1};
    v.data = RAW_RO(x);
    break;
  case STRSXP: v.dtype = (sm_dtype){SM_STR, 0, 0}; break;
  default: r_abort_argument(arg, Rf_type2char(TYPEOF(x)), "a vector or a shared array");
  }
  return v;
}

sm_key_type r_kernel_key_type(const r_kernel_view *v, const char *arg) {
  sm_key_type key = sm_dtype_info_of(v->dtype)->key;
  if (key == SM_KEY_NONE) r_abort_argument(arg, "complex", "numbers, logical values or strings");
  if (key == SM_KEY_I8 && v->integer64) return SM_KEY_I8NA;
  return key == SM_KEY_STR && v->dtype.itemsize == 0 ? SM_KEY_PTR : key;
}

/* What is compared: the bytes as they are, but for latin1, which is brought to UTF-8. */
static const char *text_of(SEXP s) {
  if (s == NA_STRING) return NULL;
  bool bytes = Rf_getCharCE(s) != CE_LATIN1 || sm_text_is_ascii(CHAR(s), (size_t)LENGTH(s));
  return bytes ? CHAR(s) : Rf_translateCharUTF8(s);
}

const char *const *r_kernel_texts(const sm_dict *d) {
  int n = sm_dict_count(d);
  const char **out = (const char **)R_alloc((size_t)n + 1, sizeof *out);
  out[0] = NULL; /* no element is at this address */
  for (int i = 1; i <= n; i++) out[i] = text_of((SEXP)(uintptr_t)sm_dict_word(d, i));
  return out;
}

const char *const *r_kernel_strings(SEXP x) {
  R_xlen_t n = XLENGTH(x);
  const char **out = (const char **)R_alloc(n > 0 ? (size_t)n : 1, sizeof *out);
  for (R_xlen_t i = 0; i < n; i++) {
    out[i] = text_of(STRING_ELT(x, i));
    if ((i & 0xFFFFF) == 0xFFFFF) R_CheckUserInterrupt();
  }
  return out;
}
