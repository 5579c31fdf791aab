/* r_wire_move.c: see r_wire_move.h.
 *
 * Threads copy into vectors that the calling thread has allocated; they call nothing of R. The placeholders'
 * classes have one method for each direction; only R_Serialize() ever sees a placeholder.
 */
#include "r_wire_move.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "kern_threads.h"
#include "r_memory_pooled.h"
#include "r_wire_strings.h"
#include "r_util.h"
#include "r_util_vector.h"

#define DEPTH_MAX 100 /* lists in lists */
#define COPY_STEP ((size_t)4 << 20)

static r_vector_classes holders;

/* Bytes of an element of a vector that may be moved; 0 for any other type. */
static size_t item_size(int type) { return type == STRSXP ? sizeof(SEXP) : r_vector_itemsize(type); }

/* ---- writer: which vectors ---- */

/* Bytes of x if it is a vector to move, else 0. A compact vector such as 1:1e7 is not moved, because its serialized state is small. */
static size_t moved_nbytes(SEXP x) {
  size_t size = item_size(TYPEOF(x));
  if (size == 0) return 0;
  R_xlen_t n = XLENGTH(x);
  if ((size_t)n < R_MOVE_VECTOR / size) return 0;
  if (TYPEOF(x) == STRSXP && (uint64_t)n >= UINT32_MAX - 1u) return 0;
  if (ALTREP(x) && !DATAPTR_OR_NULL(x) && !r_strings_lazy(x)) return 0;
  return (size_t)n * size;
}

/* Bytes to move in x and the lists below it. */
static size_t value_nbytes(SEXP x, int depth) {
  if (TYPEOF(x) != VECSXP) return moved_nbytes(x);
  size_t sum = 0;
  R_xlen_t n = XLENGTH(x);
  for (R_xlen_t i = 0; i < n && depth < DEPTH_MAX; i++) {
    SEXP v = VECTOR_ELT(x, i);
    if (TYPEOF(v) == VECSXP || item_size(TYPEOF(v))) sum += value_nbytes(v, depth + 1);
  }
  return sum;
}

/* ---- writer: placeholders ---- */

typedef struct {
  sm_move_table *t;
  SEXP last; /* the vector moved last, and its placeholder: the same column or element often follows again */
  SEXP last_holder;
  PROTECT_INDEX at;
} out_state;

static size_t describe(SEXP x, size_t nbytes, sm_move_table *t) {
  size_t index;
  if (sm_move_add(t, &index) < 0) r_abort("sharedmem_memory_error", "no memory to send a result");
  t->entry[index].type = (uint32_t)TYPEOF(x);
  t->entry[index].length = (int64_t)XLENGTH(x);
  const void *p = r_strings_lazy(x) ? (const void *)STRING_PTR_RO(x) : DATAPTR_RO(x);
  if (TYPEOF(x) == STRSXP) r_strings_out(x, p, t, index);
  else {
    t->entry[index].at[0] = (uint64_t)(uintptr_t)p;
    t->entry[index].nbytes[0] = nbytes;
    t->nbytes += nbytes;
  }
  return index;
}

static SEXP placeholder(SEXP x, size_t nbytes, out_state *o);

/* Replace the names in `copy`, which has the attributes of x, by a placeholder, where there are many. */
static void replace_names(SEXP x, SEXP copy, out_state *o) {
  SEXP names = PROTECT(Rf_getAttrib(x, R_NamesSymbol));
  size_t nbytes = TYPEOF(names) == STRSXP && Rf_getAttrib(x, R_DimSymbol) == R_NilValue ? moved_nbytes(names) : 0;
  if (nbytes > 0) Rf_setAttrib(copy, R_NamesSymbol, placeholder(names, nbytes, o));
  UNPROTECT(1);
}

static SEXP placeholder(SEXP x, size_t nbytes, out_state *o) {
  if (x == o->last) return o->last_holder;
  SEXP number = PROTECT(Rf_ScalarReal((double)describe(x, nbytes, o->t)));
  SEXP length = PROTECT(Rf_ScalarReal((double)XLENGTH(x)));
  SEXP p = R_new_altrep(r_vector_class(&holders, TYPEOF(x)), number, length);
  UNPROTECT(2);
  PROTECT(p);
  SHALLOW_DUPLICATE_ATTRIB(p, x);
  replace_names(x, p, o);
  REPROTECT(p, o->at);
  UNPROTECT(1);
  o->last = x;
  o->last_holder = p;
  return p;
}

/* Gives x, or a copy of x with placeholders in it. */
static SEXP replace(SEXP x, int depth, out_state *o) {
  if (TYPEOF(x) != VECSXP) {
    size_t nbytes = moved_nbytes(x);
    return nbytes > 0 ? placeholder(x, nbytes, o) : x;
  }
  SEXP out = x;
  R_xlen_t n = XLENGTH(x);
  PROTECT_INDEX at;
  PROTECT_WITH_INDEX(out, &at);
  for (R_xlen_t i = 0; i < n && depth < DEPTH_MAX; i++) {
    SEXP v = VECTOR_ELT(x, i);
    if (TYPEOF(v) != VECSXP && moved_nbytes(v) == 0) continue;
    SEXP r = replace(v, depth + 1, o);
    if (r == v) continue;
    PROTECT(r);
    if (out == x) {
      REPROTECT(out = Rf_shallow_duplicate(x), at);
      replace_names(x, out, o);
    }
    SET_VECTOR_ELT(out, i, r);
    UNPROTECT(1);
  }
  UNPROTECT(1);
  return out;
}

SEXP r_move_out(SEXP x, sm_move_table *t) {
  if (value_nbytes(x, 0) < R_MOVE_VALUE) return x;
  out_state o = {t, R_NilValue, R_NilValue, 0};
  PROTECT_WITH_INDEX(o.last_holder, &o.at);
  SEXP out = replace(x, 0, &o);
  UNPROTECT(1);
  return out;
}

/* ---- reader: copying ---- */

typedef struct {
  uint64_t at;
  uint8_t *to;
  size_t n;
} copy_step;

typedef struct {
  const sm_move_source *source;
  copy_step *step;
  size_t nsteps;
  _Atomic size_t next;
  _Atomic int failed; /* the first code */
  sm_stop stop;
} copy_job;

static void copy_steps(void *arg, int rank, int np) {
  copy_job *j = arg;
  (void)np;
  size_t i;
  while ((i = atomic_fetch_add(&j->next, 1)) < j->nsteps && !sm_stop_due(&j->stop, rank)) {
    int rc = sm_move_read(j->source, j->step[i].at, j->step[i].to, j->step[i].n), none = 0;
    if (rc == 0) continue;
    atomic_compare_exchange_strong(&j->failed, &none, rc);
    sm_stop_set(&j->stop, SM_EFAILED);
  }
}

/* The destination of entry e's contents: the vector itself, or the room for its strings. */
static uint8_t *contents_of(SEXP v, const sm_moved_shm *e) {
  if (e->type != STRSXP) return r_vector_ptr(v);
  return RAW(v) + (XLENGTH(v) - (R_xlen_t)(e->nbytes[0] + e->nbytes[1] + e->nbytes[2]));
}

static SEXP room_for(const sm_moved_shm *e) {
  size_t size = item_size((int)e->type);
  bool good = size > 0 && e->length > 0 && (uint64_t)e->length <= (uint64_t)R_XLEN_T_MAX / 2;
  if (good && e->type != STRSXP) good = e->nbytes[0] == (uint64_t)e->length * size && e->nbytes[1] == 0 && e->nbytes[2] == 0;
  if (!good) r_abort("sharedmem_channel_error", "a worker's vectors are malformed");
  if (e->type == STRSXP) return r_strings_room(e);
  return r_pooled_vector((SEXPTYPE)e->type, (R_xlen_t)e->length);
}

static size_t steps_of(const sm_moved_shm *e) {
  size_t n = 0;
  for (int k = 0; k < SM_MOVE_PIECES; k++) n += (size_t)((e->nbytes[k] + COPY_STEP - 1) / COPY_STEP);
  return n;
}

static int copy_all(const sm_move_source *s, const sm_moved_shm *entry, size_t count, SEXP vectors) {
  copy_job j = {.source = s};
  uint64_t nbytes = 0;
  for (size_t i = 0; i < count; i++) j.nsteps += steps_of(&entry[i]);
  j.step = (copy_step *)R_alloc(j.nsteps > 0 ? j.nsteps : 1, sizeof *j.step);
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    uint8_t *to = contents_of(VECTOR_ELT(vectors, (R_xlen_t)i), &entry[i]);
    uint64_t whole = entry[i].nbytes[0] + entry[i].nbytes[1] + entry[i].nbytes[2];
    nbytes += whole;
    for (int k = 0; k < SM_MOVE_PIECES; k++)
      for (uint64_t done = 0; done < entry[i].nbytes[k]; at++) {
        uint64_t left = entry[i].nbytes[k] - done;
        size_t n = left < COPY_STEP ? (size_t)left : COPY_STEP;
        j.step[at] = (copy_step){entry[i].at[k] + done, to, n};
        to += n;
        done += n;
      }
  }
  sm_stop_init(&j.stop, r_interrupt_pending, NULL);
  int np = sm_threads_available();
  if (np > 4) np = 4;
  sm_work work = {sm_threads_for(np, (int64_t)nbytes, (int64_t)COPY_STEP * 2), &j.stop, NULL};
  int rc = sm_threads_run(&work, copy_steps, &j);
  if (rc == SM_EINTR) {
    r_interrupt_raise();
  }
  int failed = atomic_load(&j.failed);
  return failed ? failed : rc;
}

/* Do the pieces lie in the file that they are in? Asked before there is room for them. */
static bool in_file(const sm_move_source *s, const sm_moved_shm *e) {
  for (int k = 0; s->fd >= 0 && k < SM_MOVE_PIECES; k++)
    if (e->nbytes[k] > 0 && (e->at[k] > s->size || e->nbytes[k] > s->size - e->at[k])) return false;
  return true;
}

SEXP r_move_in(const sm_move_source *s, const sm_move_head_shm *head, int *rc) {
  uint64_t most = s->fd >= 0 ? s->size / sizeof(sm_moved_shm) : (uint64_t)1 << 40;
  if (head->count == 0 || head->count > most) r_abort("sharedmem_channel_error", "a worker's vectors are malformed");
  const void *top = vmaxget();
  sm_moved_shm *entry = (sm_moved_shm *)R_alloc((size_t)head->count, sizeof *entry);
  *rc = sm_move_read(s, head->table, entry, (size_t)head->count * sizeof *entry);
  if (*rc < 0) return R_NilValue;
  SEXP vectors = PROTECT(Rf_allocVector(VECSXP, (R_xlen_t)head->count));
  for (size_t i = 0; i < head->count; i++) {
    if (!in_file(s, &entry[i])) r_abort("sharedmem_channel_error", "a worker's vectors are malformed");
    SET_VECTOR_ELT(vectors, (R_xlen_t)i, room_for(&entry[i]));
  }
  *rc = copy_all(s, entry, (size_t)head->count, vectors);
  for (size_t i = 0; *rc == 0 && i < head->count; i++)
    if (entry[i].type == STRSXP) SET_VECTOR_ELT(vectors, (R_xlen_t)i, r_strings_from(VECTOR_ELT(vectors, (R_xlen_t)i), &entry[i]));
  vmaxset(top);
  UNPROTECT(1);
  return *rc < 0 ? R_NilValue : vectors;
}

/* ---- the placeholders' classes ---- */

static SEXP expected = NULL; /* the vectors of the stream that is being read; the caller of r_move_expect() protects them */

SEXP r_move_expect(SEXP vectors) {
  SEXP before = expected ? expected : R_NilValue;
  expected = vectors;
  return before;
}

static SEXP holder_state(SEXP x) { return R_altrep_data1(x); }
static R_xlen_t holder_length(SEXP x) { return (R_xlen_t)REAL_ELT(R_altrep_data2(x), 0); }

static SEXP holder_vector(SEXP cls, SEXP state) {
  (void)cls;
  double i = TYPEOF(state) == REALSXP && XLENGTH(state) == 1 ? REAL_ELT(state, 0) : -1;
  if (!expected || TYPEOF(expected) != VECSXP || !(i >= 0) || i >= (double)XLENGTH(expected))
    r_abort("sharedmem_channel_error", "the contents of a vector are missing: it stands in no worker's result");
  return VECTOR_ELT(expected, (R_xlen_t)i);
}

static void methods(R_altrep_class_t c) {
  R_set_altrep_Length_method(c, holder_length);
  R_set_altrep_Serialized_state_method(c, holder_state);
  R_set_altrep_Unserialize_method(c, holder_vector);
}

void r_move_register(DllInfo *dll) { holders = r_vector_classes_make("moved", dll, methods); }
