/* r_map_trace.c: see r_map_trace.h. */
#include "r_map_trace.h"

#include <R.h>

#include "mem_segment.h"
#include "r_here_trace.h"
#include "r_util.h"

/* The last item that the ring has whole; -1 for none. */
static int64_t last_item(const sm_trace_shm *t, int rank) {
  sm_trace_view v;
  sm_trace_read(t, rank, &v);
  for (uint32_t i = v.count; i-- > 0;)
    if (v.events[i].kind == SM_TRACE_ITEM) return v.events[i].item;
  return -1;
}

void r_trace_lost(r_map *m, int rank, int64_t item) {
  if (!m->trace || item < 0 || item >= m->nitems || last_item(m->trace, rank) == item) return;
  sm_queue_slot_shm *slot = sm_queue_slot(m->queue, rank);
  uint64_t now = sm_clock_ns(), since = atomic_load(&slot->since_ns);
  sm_trace_record(m->trace, rank, SM_TRACE_LOST, item, since >= m->trace->begin_ns && since < now ? since : now, now);
  atomic_store(&slot->item, -1);
}

/* Give a map a trace, before its workers are forked. capacity: events a worker; 0 for what suits the map. */
SEXP ffi_trace_open(SEXP ptr, SEXP nranks, SEXP capacity) {
  r_map *m = r_map_get(ptr);
  int n = Rf_asInteger(nranks);
  double given = Rf_asReal(capacity);
  uint32_t events = given >= 1 && given <= 1e9 ? (uint32_t)given : sm_trace_capacity(m->nitems, n);
  size_t nbytes = sm_trace_nbytes(n, events);
  if (m->trace || nbytes == 0) r_abort("sharedmem_misuse_error", "cannot trace this map");
  void *mem = NULL;
  int rc = m->served ? sm_segment_new(nbytes, &m->team.more) : sm_anon_map_lazy(nbytes, &mem);
  if (rc == 0 && m->served) mem = m->team.more->payload;
  if (rc < 0) r_abort("sharedmem_memory_error", "cannot map %.0f bytes for a trace: %s", (double)nbytes, sm_error_text(rc));
  m->trace = mem;
  m->trace_nbytes = nbytes;
  sm_trace_init(mem, nbytes, n, events);
  return R_NilValue;
}

void r_trace_close(r_map *m) {
  if (!m->trace) return;
  if (r_trace_target == m->trace) r_trace_attach(m->trace_outer, m->trace_outer_rank);
  if (m->team.more) sm_segment_unref(m->team.more);
  else sm_anon_unmap(m->trace, m->trace_nbytes);
  m->team.more = NULL;
  m->trace = NULL;
}

void r_trace_here(r_map *m, int rank) {
  if (!m->trace) return;
  if (r_trace_target != m->trace) {
    m->trace_outer = r_trace_target;
    m->trace_outer_rank = r_trace_rank;
  }
  r_trace_attach(m->trace, rank);
}

static double seconds_since(const sm_trace_shm *t, uint64_t ns) { return ((double)ns - (double)t->begin_ns) * 1e-9; }

typedef struct {
  int *rank, *kind;
  double *item, *start, *end;
} event_columns;

static SEXP new_events(R_xlen_t n, event_columns *c) {
  const char *names[] = {"rank", "kind", "item", "start", "end", ""};
  SEXP out = PROTECT(Rf_mkNamed(VECSXP, names));
  for (int j = 0; j < 5; j++) SET_VECTOR_ELT(out, j, Rf_allocVector(j < 2 ? INTSXP : REALSXP, n));
  *c = (event_columns){INTEGER(VECTOR_ELT(out, 0)), INTEGER(VECTOR_ELT(out, 1)), REAL(VECTOR_ELT(out, 2)), REAL(VECTOR_ELT(out, 3)),
                       REAL(VECTOR_ELT(out, 4))};
  UNPROTECT(1);
  return out;
}

static void copy_event(const sm_trace_shm *t, const sm_trace_event_shm *e, int rank, int64_t nitems, event_columns *c) {
  *c->rank++ = rank;
  *c->kind++ = e->kind < SM_TRACE_NKINDS ? (int)e->kind + 1 : NA_INTEGER;
  *c->item++ = e->item >= 0 && e->item < nitems ? (double)e->item + 1 : NA_REAL;
  *c->start++ = seconds_since(t, e->t0_ns);
  *c->end++ = seconds_since(t, e->t1_ns > e->t0_ns ? e->t1_ns : e->t0_ns);
}

/* np x kinds matrices n, total, max, last (seconds) of what found its ring full. */
static SEXP read_dropped(const sm_trace_shm *t, const sm_trace_view *views, int np) {
  const char *names[] = {"n", "total", "max", "last", ""};
  SEXP out = PROTECT(Rf_mkNamed(VECSXP, names));
  for (int j = 0; j < 4; j++) {
    SEXP m = Rf_allocMatrix(REALSXP, np, SM_TRACE_NKINDS);
    SET_VECTOR_ELT(out, j, m);
    for (int i = 0; i < np; i++)
      for (int k = 0; k < SM_TRACE_NKINDS; k++) {
        double n = (double)views[i].dropped[k].n;
        double v[] = {n, (double)views[i].dropped[k].total_ns * 1e-9, (double)views[i].dropped[k].max_ns * 1e-9,
                      n > 0 ? seconds_since(t, views[i].dropped[k].last_ns) : NA_REAL};
        REAL(m)[i + (R_xlen_t)k * np] = v[j];
      }
  }
  UNPROTECT(1);
  return out;
}

/* Ranks that had a process, or took turns in this one. */
static int ranks_used(const r_map *m) {
  int n = 0;
  if (m->np == 0) return (int)m->trace->nworkers;
  while (n < m->np && m->team.member[n].state != R_MEMBER_NONE) n++;
  return n;
}

/* list(events, dropped, private_bytes, cpu, elapsed) of a map's trace, as R/trace.R wants it; NULL without one. */
SEXP ffi_trace_read(SEXP ptr) {
  r_map *m = r_map_get(ptr);
  if (!m->trace) return R_NilValue;
  uint64_t now = sm_clock_ns();
  if (sm_trace_check(m->trace, m->trace_nbytes) < 0) r_abort("sharedmem_value_error", "the trace of this map is damaged");
  const sm_trace_shm *t = m->trace;
  int np = ranks_used(m);
  sm_trace_view *views = (sm_trace_view *)R_alloc((size_t)np + 1, sizeof *views);
  R_xlen_t n = 0;
  for (int i = 0; i < np; i++) {
    sm_trace_read(t, i, &views[i]);
    n += views[i].count;
  }
  const char *names[] = {"events", "dropped", "private_bytes", "cpu", "starved", "elapsed", ""};
  SEXP out = PROTECT(Rf_mkNamed(VECSXP, names));
  event_columns c;
  SET_VECTOR_ELT(out, 0, new_events(n, &c));
  SET_VECTOR_ELT(out, 1, read_dropped(t, views, np));
  for (int j = 2; j < 5; j++) SET_VECTOR_ELT(out, j, Rf_allocVector(REALSXP, np));
  for (int i = 0; i < np; i++) {
    for (uint32_t k = 0; k < views[i].count; k++) copy_event(t, &views[i].events[k], i, m->nitems, &c);
    REAL(VECTOR_ELT(out, 2))[i] = views[i].private_bytes ? (double)views[i].private_bytes : NA_REAL;
    REAL(VECTOR_ELT(out, 3))[i] = views[i].cpu_ns ? (double)views[i].cpu_ns * 1e-9 : NA_REAL;
    REAL(VECTOR_ELT(out, 4))[i] = views[i].cpu_ns ? (double)views[i].starved_ns * 1e-9 : NA_REAL;
  }
  SET_VECTOR_ELT(out, 5, Rf_ScalarReal(seconds_since(t, now)));
  UNPROTECT(1);
  return out;
}
