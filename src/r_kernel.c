/* r_kernel.c: see r_kernel.h.
 *
 * Errors and interrupts: kernels never call R but through the poll of a stop, which runs in the calling
 * thread and catches the interrupt; it is raised again once the kernel has joined its threads and
 * given back its scratch.
 */
#include "r_kernel.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "r_array_handle.h"
#include "r_util.h"

void r_kernel_stop(sm_stop *stop) { sm_stop_init(stop, r_interrupt_pending, NULL); }

SEXP r_kernel_clean(SEXP (*fun)(void *), void (*clean)(void *), void *arg) { return R_ExecWithCleanup(fun, arg, clean, arg); }

void r_kernel_check(int rc, const char *what) {
  if (rc == 0) return;
  if (rc == SM_EINTR) {
    r_interrupt_raise();
  }
  if (rc == -ENOMEM || rc == SM_ENOROOM) r_abort("sharedmem_memory_error", "%s: not enough memory for scratch", what);
  r_abort("sharedmem_kernel_error", "%s: %s", what, sm_error_text(rc));
}

static bool has_integer64(SEXP cls) {
  for (R_xlen_t i = 0; TYPEOF(cls) == STRSXP && i < XLENGTH(cls); i++)
    if (strcmp(CHAR(STRING_ELT(cls, i)), "integer64") == 0) return true;
  return false;
}

static size_t item_alignment(sm_dtype d) { return d.code == SM_C16 ? 8 : d.itemsize; }

typedef struct {
  const r_array *a;
  size_t nbytes;
  void *to;
} copy_job;

static void copy_bytes(void *arg) {
  copy_job *c = arg;
  memcpy(c->to, c->a->data, c->nbytes);
}

static const void *own_copy(const r_array *a) {
  copy_job c = {a, (size_t)a->length * a->dtype.itemsize, NULL};
  c.to = R_alloc(c.nbytes > 0 ? c.nbytes : 1, 1);
  r_array_access(a, copy_bytes, &c);
  return c.to;
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
    if (r_array_fragile(a) || (a->dtype.code != SM_STR && (uintptr_t)a->data % item_alignment(a->dtype) != 0)) v.data = own_copy(a);
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
  switch (v->dtype.code) {
  case SM_F8: return SM_KEY_F8;
  case SM_F4: return SM_KEY_F4;
  case SM_I1: return SM_KEY_I1;
  case SM_I2: return SM_KEY_I2;
  case SM_I4: return SM_KEY_I4;
  case SM_I8: return v->integer64 ? SM_KEY_I8NA : SM_KEY_I8;
  case SM_U1: return SM_KEY_U1;
  case SM_U2: return SM_KEY_U2;
  case SM_U4: return SM_KEY_U4;
  case SM_B1: return SM_KEY_B1;
  case SM_STR: return v->dtype.itemsize == 0 ? SM_KEY_PTR : SM_KEY_STR;
  default: break;
  }
  r_abort_argument(arg, "complex", "numbers, logical values or strings");
}

static const char *text_of(SEXP s) {
  if (s == NA_STRING) return NULL;
  return Rf_getCharCE(s) == CE_BYTES ? CHAR(s) : Rf_translateCharUTF8(s);
}

const char *const *r_kernel_texts(const sm_few *f) {
  int n = sm_few_count(f);
  const char **out = (const char **)R_alloc((size_t)n + 1, sizeof *out);
  out[0] = NULL; /* no element is at this address */
  for (int i = 1; i <= n; i++) out[i] = text_of((SEXP)(uintptr_t)sm_few_word(f, i));
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
