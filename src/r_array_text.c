/* r_array_text.c: see r_array_text.h. */
#include "r_array_text.h"

#include <langinfo.h>
#include <string.h>

#include "r_array_handle.h"
#include "r_util.h"

/* The encoding of the session is UTF-8? Asked again for each vector, since setlocale() may change it. */
static bool native_utf8(void) { return strcmp(nl_langinfo(CODESET), "UTF-8") == 0; }

r_texts r_texts_of(SEXP strings, sm_dtype d) {
  if (ALTREP(strings)) STRING_PTR_RO(strings);
  return (r_texts){strings, (sm_text_encoding)d.raw, native_utf8()};
}

static sm_text_encoding encoding_of(SEXP s) {
  switch (Rf_getCharCE(s)) {
  case CE_UTF8: return SM_TEXT_UTF8;
  case CE_LATIN1: return SM_TEXT_LATIN1;
  case CE_BYTES: return SM_TEXT_BYTES;
  default: return SM_TEXT_NATIVE;
  }
}

sm_text r_texts_get(const r_texts *t, int64_t i) {
  SEXP s = STRING_ELT(t->strings, (R_xlen_t)i);
  if (s == NA_STRING) return (sm_text){0};
  return sm_text_take(CHAR(s), (size_t)LENGTH(s), encoding_of(s), t->home, t->native_utf8);
}

/* The encoding that all strings outside of ASCII have, or UTF-8. */
static sm_text_encoding common_encoding(SEXP strings) {
  bool any = false;
  sm_text_encoding common = SM_TEXT_UTF8;
  for (R_xlen_t i = 0; i < XLENGTH(strings); i++) {
    SEXP s = STRING_ELT(strings, i);
    if (s == NA_STRING || sm_text_is_ascii(CHAR(s), (size_t)LENGTH(s))) continue;
    sm_text_encoding e = encoding_of(s);
    if (any && e != common) return SM_TEXT_UTF8;
    common = e;
    any = true;
  }
  return common;
}

sm_dtype r_texts_dtype(SEXP strings) {
  sm_dtype d = {SM_STR, 0, 1};
  size_t longest = 1;
  r_texts t = r_texts_of(strings, d);
  t.home = common_encoding(strings);
  for (R_xlen_t i = 0; i < XLENGTH(strings); i++) {
    sm_text text = r_texts_get(&t, i);
    size_t n = sm_text_size(&text);
    if (n > longest) longest = n;
  }
  if (longest > INT32_MAX) r_abort_argument("a", "a string of 2 GiB", "strings of less than 2^31 bytes");
  d.raw = (uint8_t)t.home;
  d.itemsize = (uint32_t)longest;
  return d;
}

SEXP ffi_text_dtype(SEXP strings) {
  char code[16];
  sm_dtype_format(r_texts_dtype(strings), code);
  return Rf_mkString(code);
}

/* What strings outside of ASCII are in, in an array made for these, or in this one: an sm_text_encoding. */
SEXP ffi_text_encoding(SEXP x) {
  if (TYPEOF(x) == STRSXP) return Rf_ScalarInteger(common_encoding(x));
  sm_dtype d = r_array_is(x) ? r_array_get(x, "x")->dtype : (sm_dtype){0};
  return Rf_ScalarInteger(d.code == SM_STR ? d.raw : SM_TEXT_UTF8);
}

static SEXP char_of(const sm_text *t) {
  static const cetype_t marks[] = {CE_UTF8, CE_LATIN1, CE_BYTES, CE_NATIVE};
  return t->p ? Rf_mkCharLenCE(t->p, (int)t->n, marks[t->encoding]) : NA_STRING;
}

static void abort_cut(double element) {
  r_abort("sharedmem_value_error",
          "element %.0f has bytes behind a zero byte, which R's strings cannot hold: read the file as dtype \"raw\"", element);
}

SEXP r_text_char(const uint8_t *item, sm_dtype d, double element) {
  if (sm_text_is_cut(item, d.itemsize)) abort_cut(element);
  sm_text t = sm_text_get(item, d.itemsize, (sm_text_encoding)d.raw);
  return char_of(&t);
}

typedef struct {
  const r_array *a;
  const uint8_t *item;
  uint8_t *to;
  size_t n;
  bool cut;
} item_job;

static void measure(void *ctx) {
  item_job *j = ctx;
  const void *end = memchr(j->item, 0, j->a->dtype.itemsize);
  j->n = end ? (size_t)((const uint8_t *)end - j->item) : j->a->dtype.itemsize;
  j->cut = sm_text_is_cut(j->item, j->a->dtype.itemsize);
}

static void take(void *ctx) {
  item_job *j = ctx;
  memcpy(j->to, j->item, j->n);
  j->to[j->n] = 0;
}

SEXP r_text_char_live(const r_array *a, int64_t pos) {
  uint8_t few[256];
  item_job j = {a, a->data + (size_t)pos * a->dtype.itemsize, few, 0, false};
  const void *top = vmaxget();
  r_array_access(a, measure, &j);
  if (j.cut) abort_cut((double)pos + 1);
  if (j.n >= sizeof few) j.to = (uint8_t *)R_alloc(j.n + 1, 1);
  r_array_access(a, take, &j);
  sm_text t = sm_text_get(j.to, j.n + 1, (sm_text_encoding)a->dtype.raw);
  SEXP ans = char_of(&t);
  vmaxset(top);
  return ans;
}

/* ---- are there strings that cannot be compared by their bytes? ---- */

typedef struct {
  const r_array *a;
  int64_t from, n;
  bool found;
} scan_job;

static void scan(void *ctx) {
  scan_job *j = ctx;
  size_t width = j->a->dtype.itemsize;
  j->found = sm_text_any_marked(j->a->data + (size_t)j->from * width, width, j->n);
}

SEXP ffi_text_marked(SEXP x) {
  const r_array *a = r_array_get(x, "x");
  scan_job j = {a, 0, 0, false};
  for (; a->dtype.code == SM_STR && j.from < a->length && !j.found; j.from += j.n) {
    j.n = a->length - j.from < 1 << 20 ? a->length - j.from : 1 << 20;
    r_array_access(a, scan, &j);
    R_CheckUserInterrupt();
  }
  return Rf_ScalarLogical(j.found);
}
