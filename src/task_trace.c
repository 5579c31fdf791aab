/* task_trace.c: see task_trace.h.
 *
 * Purpose: a record that costs a worker some nanoseconds an event and survives its death.
 * Ownership: the memory is the caller's. Fork and signals: recording an event takes no lock and makes no system call.
 */
#include "task_trace.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TRACE_MAGIC 0x534D5452u
#define TRACE_EVENTS_MAX ((uint32_t)1 << 22)

uint32_t sm_trace_capacity(int64_t nitems, int nworkers) {
  uint32_t share = TRACE_EVENTS_MAX / (uint32_t)(nworkers < 1 ? 1 : nworkers);
  if (share < 1024) share = 1024;
  int64_t wanted = nitems < (int64_t)share / 4 ? 4 * nitems + 1024 : (int64_t)share;
  return wanted < (int64_t)share ? (uint32_t)wanted : share;
}

static uint64_t ring_stride(uint32_t capacity) {
  uint64_t n = sizeof(sm_trace_ring_shm) + (uint64_t)capacity * sizeof(sm_trace_event_shm);
  return (n + SM_CACHELINE - 1) / SM_CACHELINE * SM_CACHELINE;
}

size_t sm_trace_nbytes(int nworkers, uint32_t capacity) {
  if (nworkers < 1) return 0;
  uint64_t stride = ring_stride(capacity);
  if (stride > (SIZE_MAX - sizeof(sm_trace_shm)) / (uint64_t)nworkers) return 0;
  return sizeof(sm_trace_shm) + (size_t)stride * (size_t)nworkers;
}

int sm_trace_init(void *mem, size_t nbytes, int nworkers, uint32_t capacity) {
  size_t need = sm_trace_nbytes(nworkers, capacity);
  if (!mem || need == 0 || nbytes < need || (uintptr_t)mem % SM_CACHELINE != 0) return -EINVAL;
  sm_trace_shm *t = mem;
  t->nworkers = (uint32_t)nworkers;
  t->capacity = capacity;
  t->stride = ring_stride(capacity);
  t->nbytes = need;
  t->begin_ns = sm_clock_ns();
  t->magic = TRACE_MAGIC;
  return 0;
}

int sm_trace_check(const void *mem, size_t nbytes) {
  if (!mem || nbytes < sizeof(sm_trace_shm)) return SM_EFORMAT;
  const sm_trace_shm *t = mem;
  if (t->magic != TRACE_MAGIC || t->nworkers < 1 || t->nworkers > INT32_MAX) return SM_EFORMAT;
  size_t need = sm_trace_nbytes((int)t->nworkers, t->capacity);
  if (need == 0 || need > nbytes || t->nbytes != need || t->stride != ring_stride(t->capacity)) return SM_EFORMAT;
  return 0;
}

/* The sum is written to the slot that does not hold, and then the number makes that slot hold. Stores and loads of a slot are release
 * and acquire, so a reader that sees a value of the next round also sees that the number has moved on. */
void sm_trace_drop(sm_trace_ring_shm *r, uint32_t kind, uint64_t t0_ns, uint64_t t1_ns) {
  if (kind >= SM_TRACE_NKINDS) return;
  uint64_t n = atomic_load_explicit(&r->dropped[kind], memory_order_relaxed);
  const sm_trace_sum_shm *from = &r->sum[kind][n & 1];
  sm_trace_sum_shm *to = &r->sum[kind][(n + 1) & 1];
  uint64_t ns = t1_ns > t0_ns ? t1_ns - t0_ns : 0;
  uint64_t max = atomic_load_explicit(&from->max_ns, memory_order_relaxed);
  uint64_t last = atomic_load_explicit(&from->last_ns, memory_order_relaxed);
  uint64_t total = atomic_load_explicit(&from->total_ns, memory_order_relaxed);
  atomic_store_explicit(&to->total_ns, total + ns, memory_order_release);
  atomic_store_explicit(&to->max_ns, ns > max ? ns : max, memory_order_release);
  atomic_store_explicit(&to->last_ns, t1_ns > last ? t1_ns : last, memory_order_release);
  atomic_store_explicit(&r->dropped[kind], n + 1, memory_order_release);
}

void sm_trace_set_memory(sm_trace_shm *t, int rank, uint64_t private_bytes) {
  if (!t) return;
  sm_trace_ring_shm *r = sm_trace_ring(t, rank);
  if (private_bytes > atomic_load_explicit(&r->private_bytes, memory_order_relaxed))
    atomic_store_explicit(&r->private_bytes, private_bytes, memory_order_release);
}

void sm_trace_add_cpu(sm_trace_shm *t, int rank, uint64_t cpu_ns, uint64_t starved_ns) {
  if (!t) return;
  atomic_fetch_add(&sm_trace_ring(t, rank)->cpu_ns, cpu_ns);
  atomic_fetch_add(&sm_trace_ring(t, rank)->starved_ns, starved_ns);
}

/* The first number in text; *end is behind it. */
static uint64_t parse_number(const char *text, const char **end) {
  while (*text && (*text < '0' || *text > '9')) text++;
  uint64_t v = 0;
  while (*text >= '0' && *text <= '9') v = v * 10 + (uint64_t)(*text++ - '0');
  *end = text;
  return v;
}

void sm_trace_cpu(uint64_t *cpu_ns, uint64_t *starved_ns) {
  char text[128];
  const char *p = text;
  struct timespec ts;
  *cpu_ns = *starved_ns = 0;
  if (sm_read_text("/proc/self/schedstat", text, sizeof text)) {
    *cpu_ns = parse_number(p, &p);
    *starved_ns = parse_number(p, &p);
  } else if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) == 0) {
    *cpu_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
  }
}

uint64_t sm_trace_private_bytes(void) {
  char text[4096];
  const char *p;
  if (sm_read_text("/proc/self/smaps_rollup", text, sizeof text) && (p = strstr(text, "Private_Dirty:"))) return parse_number(p, &p) * 1024;
  if (!sm_read_text("/proc/self/statm", text, sizeof text)) return 0;
  parse_number(text, &p);
  uint64_t resident = parse_number(p, &p), shared = parse_number(p, &p);
  long page = sysconf(_SC_PAGESIZE);
  return resident > shared && page > 0 ? (resident - shared) * (uint64_t)page : 0;
}

void sm_trace_read(const sm_trace_shm *t, int rank, sm_trace_view *out) {
  const sm_trace_ring_shm *r = sm_trace_ring(t, rank);
  memset(out, 0, sizeof *out);
  out->events = sm_trace_events(r);
  out->count = atomic_load_explicit(&r->count, memory_order_acquire);
  if (out->count > t->capacity) out->count = t->capacity;
  out->private_bytes = atomic_load_explicit(&r->private_bytes, memory_order_acquire);
  out->cpu_ns = atomic_load(&r->cpu_ns);
  out->starved_ns = atomic_load(&r->starved_ns);
  for (int k = 0; k < SM_TRACE_NKINDS; k++) {
    uint64_t n = atomic_load_explicit(&r->dropped[k], memory_order_acquire), again = n;
    do {
      n = again;
      const sm_trace_sum_shm *s = &r->sum[k][n & 1];
      out->dropped[k].n = n;
      out->dropped[k].total_ns = atomic_load_explicit(&s->total_ns, memory_order_acquire);
      out->dropped[k].max_ns = atomic_load_explicit(&s->max_ns, memory_order_acquire);
      out->dropped[k].last_ns = atomic_load_explicit(&s->last_ns, memory_order_acquire);
      again = atomic_load_explicit(&r->dropped[k], memory_order_acquire);
    } while (again != n);
  }
}
