/* task_trace: events beside plain counts, full rings too; and blocks of any bytes. */
#include "../../src/task_trace.h"

#include "fuzz.h"

#define WORKERS 3
#define CAPACITY 9
#define EVENTS 64

typedef struct {
  uint32_t count;
  sm_trace_event_shm events[CAPACITY];
  uint64_t n[SM_TRACE_NKINDS], total[SM_TRACE_NKINDS], max[SM_TRACE_NKINDS], last[SM_TRACE_NKINDS];
  uint64_t memory, cpu, starved;
} ring_model;

static void record(fuzz_in *in, sm_trace_shm *t, int rank, ring_model *m) {
  sm_trace_event_shm e = {.kind = take_u8(in) % (SM_TRACE_NKINDS + 1u), .item = take_number(in)};
  e.t0_ns = (uint64_t)take_number(in);
  e.t1_ns = take_u8(in) & 1 ? e.t0_ns + take_u8(in) : (uint64_t)take_number(in);
  sm_trace_record(t, rank, e.kind, e.item, e.t0_ns, e.t1_ns);
  if (m->count < t->capacity) {
    m->events[m->count++] = e;
    return;
  }
  if (e.kind >= SM_TRACE_NKINDS) return;
  uint64_t ns = e.t1_ns > e.t0_ns ? e.t1_ns - e.t0_ns : 0;
  m->n[e.kind]++;
  m->total[e.kind] += ns;
  if (ns > m->max[e.kind]) m->max[e.kind] = ns;
  if (e.t1_ns > m->last[e.kind]) m->last[e.kind] = e.t1_ns;
}

static void compare(const sm_trace_shm *t, int rank, const ring_model *m) {
  sm_trace_view v;
  sm_trace_read(t, rank, &v);
  CHECK(v.count == m->count, "a ring holds what was recorded while there was room");
  for (uint32_t i = 0; i < v.count; i++) {
    const sm_trace_event_shm *a = &v.events[i], *b = &m->events[i];
    CHECK(a->kind == b->kind && a->item == b->item && a->t0_ns == b->t0_ns && a->t1_ns == b->t1_ns, "in order, as it was");
  }
  for (int k = 0; k < SM_TRACE_NKINDS; k++)
    CHECK(v.dropped[k].n == m->n[k] && v.dropped[k].total_ns == m->total[k] && v.dropped[k].max_ns == m->max[k] &&
              v.dropped[k].last_ns == m->last[k],
          "and sums what came later");
  CHECK(v.private_bytes == m->memory && v.cpu_ns == m->cpu && v.starved_ns == m->starved, "memory and time are those reported");
}

/* Damage, and a look at what a reader that believes it would touch. */
static void damaged(fuzz_in *in, uint8_t *mem, size_t nbytes) {
  for (int k = 0; k < 20 && in->left; k++) {
    size_t at = (take_u8(in) & 1 ? take_below(in, 48) : (size_t)(take_u64(in) % nbytes)) % nbytes;
    mem[at] = take_u8(in);
  }
  size_t seen = take_u8(in) & 1 ? nbytes : (size_t)(take_u64(in) % (nbytes + 1));
  if (sm_trace_check(mem, seen) < 0) return;
  const sm_trace_shm *t = (const sm_trace_shm *)(const void *)mem;
  uint64_t sum = 0;
  for (uint32_t r = 0; r < t->nworkers; r++) {
    sm_trace_view v;
    sm_trace_read(t, (int)r, &v);
    CHECK((const uint8_t *)(v.events + v.count) <= mem + seen, "a ring lies in the block");
    for (uint32_t i = 0; i < v.count; i++) sum += v.events[i].t0_ns;
  }
  if (sum == 1) fputs("", stderr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_in in = {data, size};
  static ring_model model[WORKERS];
  int np = 1 + (int)take_below(&in, WORKERS);
  uint32_t capacity = (uint32_t)take_below(&in, CAPACITY + 1);
  size_t nbytes = sm_trace_nbytes(np, capacity);
  uint8_t *mem = NULL;
  memset(model, 0, sizeof model);
  if (posix_memalign((void **)&mem, SM_CACHELINE, nbytes) != 0) exit(2);
  memset(mem, 0, nbytes);
  sm_trace_shm *t = (sm_trace_shm *)(void *)mem;
  CHECK(sm_trace_init(t, nbytes, np, capacity) == 0 && sm_trace_check(t, nbytes) == 0, "a block is made");
  for (int k = 0; k < EVENTS && in.left; k++) {
    uint8_t what = take_u8(&in);
    int rank = what % np;
    ring_model *m = &model[rank];
    if (what < 230) record(&in, t, rank, m);
    else if (what < 243) {
      uint64_t v = take_u64(&in);
      sm_trace_set_memory(t, rank, v);
      if (v > m->memory) m->memory = v;
    } else {
      uint64_t cpu = take_u8(&in), starved = take_u8(&in);
      sm_trace_add_cpu(t, rank, cpu, starved);
      m->cpu += cpu;
      m->starved += starved;
    }
  }
  for (int r = 0; r < np; r++) compare(t, r, &model[r]);
  sm_trace_capacity(take_number(&in) & INT64_MAX, (int)(int32_t)take_number(&in));
  damaged(&in, mem, nbytes);
  free(mem);
  return 0;
}
