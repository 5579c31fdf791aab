/* r_map_remote.c: a map whose items run in other sessions' maps (R/backend-cluster.R).
 *
 * Purpose: the session's map has no workers; what other sessions' maps have to say of its items is delivered here, the way of
 * r_map_deliver.h. Their maps each run a range of the items and are parts of the whole.
 * Errors: of reduce() go through; what has been delivered stands.
 */
#include <R.h>

#include "r_map_deliver.h"
#include "r_util.h"

/* Items [from, to] of the argument, 1-based there, as [*lo, *hi); an argument error where they are none of the map's. */
static void range_from(const r_map *m, SEXP from, SEXP to, int64_t *lo, int64_t *hi) {
  double a = Rf_asReal(from), b = Rf_asReal(to);
  if (!(a >= 1) || !(b >= a) || b > (double)m->nitems)
    r_abort("sharedmem_channel_error", "a daemon tells of items that are none of this map's");
  *lo = (int64_t)a - 1;
  *hi = (int64_t)b;
}

/* Results of `count` items from `first` on, as hand_on() in r_map_deliver.c gave them. */
SEXP ffi_remote_results(SEXP ptr, SEXP reduce, SEXP first, SEXP count, SEXP one, SEXP value) {
  r_drive d = {0};
  d.m = r_map_get(ptr);
  d.results = R_ExternalPtrProtected(ptr);
  d.reduce = reduce;
  int64_t lo, hi;
  SEXP last = PROTECT(Rf_ScalarReal(Rf_asReal(first) + Rf_asReal(count) - 1));
  range_from(d.m, first, last, &lo, &hi);
  sm_frame f = {0};
  f.type = Rf_asLogical(one) == TRUE ? R_FRAME_RESULT : R_FRAME_RESULTS;
  f.first = lo;
  f.count = hi - lo;
  r_deliver_results(&d, &f, value);
  UNPROTECT(1);
  return R_NilValue;
}

/* The value takes the item's place without reduce(): a failure that is collected, or nothing. */
SEXP ffi_remote_item(SEXP ptr, SEXP item, SEXP value) {
  r_drive d = {0};
  d.m = r_map_get(ptr);
  int64_t lo, hi;
  range_from(d.m, item, item, &lo, &hi);
  SET_VECTOR_ELT(R_ExternalPtrProtected(ptr), (R_xlen_t)lo, value);
  r_deliver_item(&d, lo);
  return R_NilValue;
}

/* Items delivered, and how many there are before the first that is not. */
SEXP ffi_remote_done(SEXP ptr) {
  r_map *m = r_map_get(ptr);
  SEXP out = Rf_allocVector(REALSXP, 2);
  REAL(out)[0] = (double)m->done;
  REAL(out)[1] = (double)m->first_undelivered;
  return out;
}

/* Items from `from` to `to` that have not been delivered, as runs: first, last, first, last, ... */
SEXP ffi_remote_left(SEXP ptr, SEXP from, SEXP to) {
  r_map *m = r_map_get(ptr);
  int64_t lo, hi;
  range_from(m, from, to, &lo, &hi);
  R_xlen_t n = 0;
  for (int64_t i = lo; i < hi; i++) n += !m->delivered[i] && (i == lo || m->delivered[i - 1]);
  SEXP out = Rf_allocVector(REALSXP, 2 * n);
  R_xlen_t k = 0;
  for (int64_t i = lo; i < hi; i++) {
    if (m->delivered[i]) continue;
    if (i == lo || m->delivered[i - 1]) REAL(out)[k++] = (double)i + 1;
    if (i == hi - 1 || m->delivered[i + 1]) REAL(out)[k++] = (double)i + 1;
  }
  return out;
}

/* What the parts of a map on one machine have in common, in a shared array of bytes. A turnstile follows. */
typedef struct {
  sm_lock_shm critical, ordered;
  int64_t nitems;
  uint8_t pad[SM_CACHELINE - 8];
} common_shm;

#define COMMON_SLOTS 256 /* ranks that are woken at once when their turn has come; further ones look now and then */

static sm_turnstile_shm *turnstile_of(common_shm *c) { return (sm_turnstile_shm *)(c + 1); }

static size_t common_nbytes(int64_t nitems) { return sizeof(common_shm) + sm_turnstile_nbytes(nitems, 2 * COMMON_SLOTS); }

SEXP ffi_remote_common_nbytes(SEXP nitems) { return Rf_ScalarReal((double)common_nbytes((int64_t)Rf_asReal(nitems))); }

/* memory: of ffi_array_pointer(). NULL where there is none, or too little. Who keeps its file open could cut it off where files have no
 * seals (SUPPORT.md). */
static common_shm *common_in(SEXP memory, int64_t nitems) {
  bool there = TYPEOF(memory) == EXTPTRSXP && Rf_asReal(R_ExternalPtrTag(memory)) >= (double)common_nbytes(nitems);
  return there ? R_ExternalPtrAddr(memory) : NULL;
}

/* Lay it out in zeroed memory. */
SEXP ffi_remote_common(SEXP memory, SEXP nitems) {
  int64_t n = (int64_t)Rf_asReal(nitems);
  common_shm *c = common_in(memory, n);
  if (!c) r_abort_argument("memory", Rf_type2char(TYPEOF(memory)), "shared memory for locks");
  c->nitems = n;
  sm_turnstile_init(turnstile_of(c), n, 2 * COMMON_SLOTS);
  int rc = sm_lock_init(&c->critical);
  if (rc == 0) rc = sm_lock_init(&c->ordered);
  if (rc < 0) r_abort("sharedmem_memory_error", "cannot make a lock: %s", sm_error_text(rc));
  return R_NilValue;
}

/* This map is a part of one that is spread over processes. memory: what its parts have in common; NULL for a part that cannot see it.
 * The caller keeps it. first: its first item there, 1-based; rank0: its first rank there. */
SEXP ffi_remote_part(SEXP ptr, SEXP memory, SEXP first, SEXP rank0) {
  r_map *m = r_map_get(ptr);
  common_shm *c = common_in(memory, 0);
  int64_t before = (int64_t)Rf_asReal(first) - 1;
  if (c && (!common_in(memory, c->nitems) || before < 0 || before + m->nitems > c->nitems)) c = NULL;
  m->spread = true;
  m->apart = c == NULL;
  if (!c || m->np == 0) return R_NilValue;
  m->critical = &c->critical;
  m->ordered = &c->ordered;
  m->turn = turnstile_of(c);
  m->turn_item = before;
  m->turn_slot = Rf_asInteger(rank0) % COMMON_SLOTS;
  return R_NilValue;
}

/* Items of the whole map from `from` to `to` will not come to their sections any more. */
SEXP ffi_remote_pass(SEXP memory, SEXP from, SEXP to) {
  common_shm *c = common_in(memory, 0);
  for (int64_t i = (int64_t)Rf_asReal(from) - 1; c && i < (int64_t)Rf_asReal(to) && i < c->nitems; i++)
    sm_turnstile_pass(turnstile_of(c), i);
  return R_NilValue;
}

/* Has any item come to an ordered section? */
SEXP ffi_remote_is_ordered(SEXP memory) {
  common_shm *c = common_in(memory, 0);
  return Rf_ScalarLogical(c && atomic_load(&turnstile_of(c)->used));
}

/* No further item starts. */
SEXP ffi_remote_stop(SEXP ptr) {
  r_map *m = r_map_get(ptr);
  if (m->np > 0) sm_queue_stop(m->queue);
  return R_NilValue;
}

/* 128 bits that tell one raw vector from another, as text. Nobody who would forge one could gain by it. */
SEXP ffi_remote_digest(SEXP x) {
  const uint8_t *p = RAW_RO(x);
  size_t n = (size_t)XLENGTH(x);
  uint64_t a = 0x9E3779B97F4A7C15u ^ n, b = 0xD6E8FEB86659FD93u + n;
  for (size_t i = 0; i < n; i += 8) {
    uint64_t w = 0;
    memcpy(&w, p + i, n - i < 8 ? n - i : 8);
    a = (a ^ w) * 0xBF58476D1CE4E5B9u;
    a ^= a >> 29;
    b = (b + w) * 0x94D049BB133111EBu;
    b ^= b >> 32;
  }
  char text[33];
  snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)a, (unsigned long long)b);
  return Rf_mkString(text);
}
