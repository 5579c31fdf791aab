/* r_wire_strings.c: see r_wire_strings.h.
 *
 * data1   raw vector: strings_head, then the table of chan_strings.h; R_NilValue once all strings are made
 * data2   R_NilValue, or the character vector with the strings that have been accessed, "" standing for the others
 */
#include "r_wire_strings.h"

#include <R_ext/Altrep.h>
#include <string.h>

#include "r_memory_pooled.h"
#include "r_util.h"

typedef struct {
  uint64_t nbytes[3];
  uint64_t length;
} strings_head;

static R_altrep_class_t class_lazy;

/* ---- writer ---- */

static unsigned tag_of(cetype_t ce) {
  switch (ce) {
  case CE_UTF8: return 1;
  case CE_LATIN1: return 2;
  case CE_BYTES: return 3;
  default: return 0;
  }
}

static cetype_t encoding_of(unsigned tag) {
  static const cetype_t known[] = {CE_NATIVE, CE_UTF8, CE_LATIN1, CE_BYTES};
  return tag < 4 ? known[tag] : CE_NATIVE;
}

static int collect(sm_strings_out *s, const SEXP *from, R_xlen_t n) {
  for (R_xlen_t i = 0; i < n; i++) {
    SEXP c = from[i];
    if (sm_strings_find(s, c)) continue;
    bool na = c == NA_STRING;
    int rc = sm_strings_append(s, c, na ? "" : CHAR(c), na ? 0 : (size_t)LENGTH(c), na ? SM_STRING_NA : tag_of(Rf_getCharCE(c)));
    if (rc < 0) return rc;
  }
  return 0;
}

void r_strings_out(SEXP x, const SEXP *from, sm_move_table *t, size_t index) {
  sm_strings_out s;
  size_t n = (size_t)XLENGTH(x);
  int rc = sm_strings_begin(&s, n);
  if (rc == 0) {
    rc = collect(&s, from, (R_xlen_t)n);
    sm_strings_finish(&s);
    sm_moved_shm *e = &t->entry[index];
    const void *piece[3] = {s.end, s.index, s.bytes};
    const uint64_t nbytes[3] = {(s.entries + 1) * sizeof *s.end, s.index ? n * sizeof *s.index : 0, s.nbytes};
    for (int k = 0; k < 3; k++) {
      e->at[k] = (uint64_t)(uintptr_t)piece[k];
      e->nbytes[k] = nbytes[k];
      t->nbytes += nbytes[k];
      if (piece[k] && sm_move_own(t, (void *)(uintptr_t)piece[k]) < 0) rc = SM_ENOROOM;
    }
  }
  if (rc < 0) r_abort("sharedmem_memory_error", "no memory to send a character vector of %.0f elements", (double)n);
}

/* ---- reader ---- */

static size_t total_of(const uint64_t *nbytes) { return (size_t)(nbytes[0] + nbytes[1] + nbytes[2]); }

SEXP r_strings_room(const sm_moved_shm *e) {
  if (!sm_strings_sizes_valid(e->nbytes, (uint64_t)e->length)) r_abort("sharedmem_channel_error", "a worker's strings are malformed");
  SEXP room = PROTECT(r_pooled_vector(RAWSXP, (R_xlen_t)(sizeof(strings_head) + total_of(e->nbytes))));
  strings_head h = {{e->nbytes[0], e->nbytes[1], e->nbytes[2]}, (uint64_t)e->length};
  memcpy(RAW(room), &h, sizeof h);
  UNPROTECT(1);
  return room;
}

/* The table needs no check here: r_strings_from() has made one. */
static sm_strings table_of(SEXP room) {
  strings_head h;
  const uint8_t *p = RAW_RO(room);
  memcpy(&h, p, sizeof h);
  p += sizeof h;
  return (sm_strings){(const uint64_t *)(const void *)p, h.nbytes[1] ? (const uint32_t *)(const void *)(p + h.nbytes[0]) : NULL,
                      p + h.nbytes[0] + h.nbytes[1], (size_t)(h.nbytes[0] / 8 - 1), (size_t)h.length};
}

static SEXP entry_string(const sm_strings *s, size_t k) {
  const char *p;
  size_t n;
  unsigned tag = sm_strings_get(s, k, &p, &n);
  return tag == SM_STRING_NA ? NA_STRING : Rf_mkCharLenCE(p, (int)n, encoding_of(tag));
}

/* Make the whole vector; an entry that several elements share is made once. */
static SEXP make_all(const sm_strings *s) {
  SEXP ans = PROTECT(Rf_allocVector(STRSXP, (R_xlen_t)s->length));
  if (!s->index)
    for (size_t i = 0; i < s->length; i++) SET_STRING_ELT(ans, (R_xlen_t)i, entry_string(s, i));
  else {
    SEXP known = PROTECT(Rf_allocVector(STRSXP, (R_xlen_t)s->entries));
    for (size_t k = 0; k < s->entries; k++) SET_STRING_ELT(known, (R_xlen_t)k, entry_string(s, k));
    const SEXP *p = STRING_PTR_RO(known);
    for (size_t i = 0; i < s->length; i++) SET_STRING_ELT(ans, (R_xlen_t)i, p[s->index[i]]);
    UNPROTECT(1);
  }
  UNPROTECT(1);
  return ans;
}

SEXP r_strings_from(SEXP room, const sm_moved_shm *e) {
  sm_strings s;
  if (sm_strings_look(RAW_RO(room) + sizeof(strings_head), e->nbytes, (uint64_t)e->length, &s) < 0)
    r_abort("sharedmem_channel_error", "a worker's strings are malformed");
  if (s.entries <= s.length / 8) return make_all(&s);
  return R_new_altrep(class_lazy, room, R_NilValue);
}

/* ---- the lazy vector ---- */

static R_xlen_t lazy_length(SEXP x) {
  SEXP room = R_altrep_data1(x);
  return room == R_NilValue ? XLENGTH(R_altrep_data2(x)) : (R_xlen_t)table_of(room).length;
}

static SEXP lazy_elt(SEXP x, R_xlen_t i) {
  SEXP room = R_altrep_data1(x), made = R_altrep_data2(x);
  if (room == R_NilValue) return STRING_ELT(made, i);
  sm_strings s = table_of(room);
  if (made == R_NilValue) {
    made = Rf_allocVector(STRSXP, (R_xlen_t)s.length);
    R_set_altrep_data2(x, made);
  }
  SEXP c = STRING_ELT(made, i);
  if (c != R_BlankString) return c;
  c = entry_string(&s, sm_strings_entry(&s, (size_t)i));
  if (c != R_BlankString) SET_STRING_ELT(made, i, c);
  return c;
}

/* Make all strings and drop the table, so that x behaves like an ordinary vector from then on. */
static SEXP made_in_full(SEXP x) {
  SEXP room = R_altrep_data1(x), made = R_altrep_data2(x);
  if (room == R_NilValue) return made;
  sm_strings s = table_of(room);
  if (made == R_NilValue) made = make_all(&s);
  else
    for (size_t i = 0; i < s.length; i++) lazy_elt(x, (R_xlen_t)i);
  PROTECT(made);
  R_set_altrep_data2(x, made);
  R_set_altrep_data1(x, R_NilValue);
  UNPROTECT(1);
  return made;
}

static void lazy_set_elt(SEXP x, R_xlen_t i, SEXP v) { SET_STRING_ELT(made_in_full(x), i, v); }

static void *lazy_dataptr(SEXP x, Rboolean writable) {
  (void)writable;
  return (void *)(uintptr_t)STRING_PTR_RO(made_in_full(x));
}

static const void *lazy_dataptr_or_null(SEXP x) { return R_altrep_data1(x) == R_NilValue ? STRING_PTR_RO(R_altrep_data2(x)) : NULL; }

static SEXP lazy_duplicate(SEXP x, Rboolean deep) {
  (void)deep;
  SEXP room = R_altrep_data1(x);
  if (room != R_NilValue) return R_new_altrep(class_lazy, room, R_NilValue); /* the table is never written */
  SEXP made = R_altrep_data2(x);
  R_xlen_t n = XLENGTH(made);
  SEXP ans = PROTECT(Rf_allocVector(STRSXP, n));
  for (R_xlen_t i = 0; i < n; i++) SET_STRING_ELT(ans, i, STRING_ELT(made, i));
  UNPROTECT(1);
  return ans;
}

static Rboolean lazy_inspect(SEXP x, int pre, int deep, int pvec, void (*subtree)(SEXP, int, int, int)) {
  (void)pre, (void)deep, (void)pvec, (void)subtree;
  Rprintf(" strings of a worker (%s)\n", R_altrep_data1(x) == R_NilValue ? "made" : "made when asked for");
  return TRUE;
}

void r_strings_register(DllInfo *dll) {
  class_lazy = R_make_altstring_class("worker_strings", "sharedmem", dll);
  R_set_altrep_Length_method(class_lazy, lazy_length);
  R_set_altrep_Duplicate_method(class_lazy, lazy_duplicate);
  R_set_altrep_Inspect_method(class_lazy, lazy_inspect);
  R_set_altvec_Dataptr_method(class_lazy, lazy_dataptr);
  R_set_altvec_Dataptr_or_null_method(class_lazy, lazy_dataptr_or_null);
  R_set_altstring_Elt_method(class_lazy, lazy_elt);
  R_set_altstring_Set_elt_method(class_lazy, lazy_set_elt);
}

bool r_strings_lazy(SEXP x) { return ALTREP(x) && R_altrep_inherits(x, class_lazy) && R_altrep_data1(x) != R_NilValue; }
