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

/* This map is a part of one that is spread over processes. memory: a raw vector over shared memory, large enough for a lock, in which
 * the lock of all parts lies; NULL for a part that cannot see it. The caller keeps it. */
SEXP ffi_remote_part(SEXP ptr, SEXP memory) {
  r_map *m = r_map_get(ptr);
  m->spread = true;
  const void *at = memory == R_NilValue ? NULL : DATAPTR_OR_NULL(memory); /* NULL where it would be a copy */
  m->apart = at == NULL;
  if (at && m->np > 0) m->critical = (sm_lock_shm *)(uintptr_t)at;
  return R_NilValue;
}

/* A lock in a raw vector over shared memory. */
SEXP ffi_remote_lock(SEXP memory) {
  const void *at = TYPEOF(memory) == RAWSXP && XLENGTH(memory) >= (R_xlen_t)sizeof(sm_lock_shm) ? DATAPTR_OR_NULL(memory) : NULL;
  if (!at) r_abort_argument("memory", Rf_type2char(TYPEOF(memory)), "shared memory for a lock");
  int rc = sm_lock_init((sm_lock_shm *)(uintptr_t)at);
  if (rc < 0) r_abort("sharedmem_memory_error", "cannot make a lock: %s", sm_error_text(rc));
  return R_NilValue;
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
