/* task_trace: rings of events, what stands in them after a kill, sums of what found no room. */
#include "../../src/task_trace.h"

#include <errno.h>

#include "check.h"

static sm_trace_shm *new_block(int np, uint32_t capacity, size_t *nbytes) {
  *nbytes = sm_trace_nbytes(np, capacity);
  void *p = shared_memory(*nbytes);
  return sm_trace_init(p, *nbytes, np, capacity) < 0 ? NULL : p;
}

/* Events whose fields all follow from one number, so that a torn one shows. */
static void record_nth(sm_trace_shm *t, int rank, uint64_t k) {
  sm_trace_record(t, rank, (uint32_t)(k % SM_TRACE_NKINDS), (int64_t)k, 1000 * k, 1000 * k + k % 7);
}

static int is_nth(const sm_trace_event_shm *e, uint64_t k) {
  return e->kind == k % SM_TRACE_NKINDS && e->item == (int64_t)k && e->t0_ns == 1000 * k && e->t1_ns == 1000 * k + k % 7;
}

static void sizes(void) {
  check(sm_trace_nbytes(0, 10) == 0 && sm_trace_nbytes(-1, 10) == 0, "no workers, no block");
  check(sm_trace_nbytes(2, 0) > 0, "a ring may hold no event at all");
  check(sm_trace_nbytes(1, 100) < sm_trace_nbytes(2, 100), "every worker has a ring");
  check(sm_trace_capacity(100, 2) >= 400, "four events an item fit, whoever takes the items");
  check(sm_trace_capacity(1000000, 2) >= 1000000, "a million items fit on two workers");
  check(sm_trace_nbytes(64, sm_trace_capacity(INT64_MAX, 64)) <= (size_t)130 << 20, "a block stays within 128 MB and headers");
  check(sm_trace_capacity(INT64_MAX, 100000) >= 1024, "every ring holds a thousand events");
  size_t n;
  sm_trace_shm *t = new_block(3, 5, &n);
  check(t && sm_trace_check(t, n) == 0, "a fresh block passes the check");
  check(sm_trace_init(t, n - 1, 3, 5) == -EINVAL && sm_trace_init((char *)t + 1, n, 3, 5) == -EINVAL,
        "too small or misaligned memory is refused");
  munmap(t, n);
}

static void order_and_view(void) {
  size_t n;
  sm_trace_shm *t = new_block(2, 100, &n);
  for (uint64_t k = 0; k < 60; k++) record_nth(t, (int)(k % 2), k);
  sm_trace_view v[2];
  int good = 1;
  for (int r = 0; r < 2; r++) {
    sm_trace_read(t, r, &v[r]);
    good &= v[r].count == 30;
    for (uint32_t i = 0; good && i < v[r].count; i++) good &= is_nth(&v[r].events[i], 2 * i + (uint64_t)r);
    for (int k = 0; k < SM_TRACE_NKINDS; k++) good &= v[r].dropped[k].n == 0;
  }
  check(good, "each ring holds its worker's events in order, and nothing is dropped");
  sm_trace_set_memory(t, 1, 500);
  sm_trace_set_memory(t, 1, 300);
  sm_trace_add_cpu(t, 1, 10, 3);
  sm_trace_add_cpu(t, 1, 10, 4);
  sm_trace_read(t, 1, &v[1]);
  check(v[1].private_bytes == 500 && v[1].cpu_ns == 20 && v[1].starved_ns == 7, "memory keeps the largest value, time adds up");
  munmap(t, n);
}

static void full_ring(void) {
  size_t n;
  sm_trace_shm *t = new_block(1, 10, &n);
  uint64_t count[SM_TRACE_NKINDS] = {0}, total[SM_TRACE_NKINDS] = {0}, max[SM_TRACE_NKINDS] = {0}, last[SM_TRACE_NKINDS] = {0};
  for (uint64_t k = 0; k < 1000; k++) {
    record_nth(t, 0, k);
    if (k < 10) continue;
    uint64_t kind = k % SM_TRACE_NKINDS;
    count[kind]++;
    total[kind] += k % 7;
    if (k % 7 > max[kind]) max[kind] = k % 7;
    last[kind] = 1000 * k + k % 7;
  }
  sm_trace_record(t, 0, SM_TRACE_NKINDS + 3, 0, 1, 2);
  sm_trace_record(t, 0, SM_TRACE_ITEM, 0, 50, 40);
  count[SM_TRACE_ITEM]++;
  sm_trace_view v;
  sm_trace_read(t, 0, &v);
  int same = v.count == 10, first = is_nth(&v.events[0], 0) && is_nth(&v.events[9], 9);
  for (int k = 0; k < SM_TRACE_NKINDS; k++)
    same &=
        v.dropped[k].n == count[k] && v.dropped[k].total_ns == total[k] && v.dropped[k].max_ns == max[k] && v.dropped[k].last_ns == last[k];
  check(same, "what finds the ring full is counted and summed exactly, by kind");
  check(first, "and what stood in the ring stays");
  munmap(t, n);
}

/* A child records as fast as it can and is killed wherever it happens to be. */
static void killed_writer(void) {
  size_t n;
  int whole = 1, sums = 1, grew = 0;
  for (int round = 0; round < 40; round++) {
    uint32_t capacity = round % 2 ? 1000 : 4000000;
    sm_trace_shm *t = new_block(1, capacity, &n);
    pid_t pid = fork();
    if (pid == 0)
      for (uint64_t k = 0;; k++) record_nth(t, 0, k);
    sm_trace_view v;
    do sm_trace_read(t, 0, &v);
    while (v.count < (uint32_t)(round % 2 ? 1000 : 20 * round + 1));
    if (round % 2) usleep((useconds_t)(100 + 10 * round));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    sm_trace_read(t, 0, &v);
    grew += v.count > 0;
    for (uint32_t i = 0; i < v.count; i++) whole &= is_nth(&v.events[i], i);
    for (uint64_t kind = 0; kind < SM_TRACE_NKINDS; kind++) {
      uint64_t total = 0, left = v.dropped[kind].n;
      for (uint64_t k = v.count; left > 0; k++)
        if (k % SM_TRACE_NKINDS == kind) {
          total += k % 7;
          left--;
        }
      sums &= total == v.dropped[kind].total_ns;
    }
    munmap(t, n);
  }
  check(grew == 40, "the killed writers had written");
  check(whole, "no event of a killed writer is torn");
  check(sums, "the sums of a killed writer belong to their numbers");
}

static _Atomic int stop;
static void *write_on(void *arg) {
  for (uint64_t k = 0; !atomic_load(&stop); k++) record_nth(arg, 0, k);
  return NULL;
}

static void reader_beside_writer(void) {
  size_t n;
  sm_trace_shm *t = new_block(1, 50000, &n);
  pthread_t writer;
  atomic_store(&stop, 0);
  pthread_create(&writer, NULL, write_on, t);
  int good = 1, sums = 1;
  for (int round = 0; round < 3000; round++) {
    sm_trace_view v;
    sm_trace_read(t, 0, &v);
    if (v.count) good &= is_nth(&v.events[v.count - 1], v.count - 1);
    for (int k = 0; k < SM_TRACE_NKINDS; k++)
      sums &=
          v.dropped[k].total_ns <= 6 * v.dropped[k].n && v.dropped[k].max_ns <= 6 && (v.dropped[k].n == 0) == (v.dropped[k].last_ns == 0);
  }
  atomic_store(&stop, 1);
  pthread_join(writer, NULL);
  check(good && sums, "a reader beside a running writer sees whole events and sums");
  munmap(t, n);
}

static void malformed(void) {
  size_t n;
  sm_trace_shm *t = new_block(2, 10, &n), good = *t;
  int refused = sm_trace_check(NULL, n) == SM_EFORMAT && sm_trace_check(t, n - 1) == SM_EFORMAT && sm_trace_check(t, 3) == SM_EFORMAT;
  unsigned seed = 7;
  for (int round = 0; round < 20000; round++) {
    unsigned char *p = (unsigned char *)t;
    for (size_t i = 0; i < offsetof(sm_trace_shm, begin_ns); i++)
      if (rand_r(&seed) % 8 == 0) p[i] = (unsigned char)rand_r(&seed);
    if (sm_trace_check(t, n) == 0) refused &= sm_trace_nbytes((int)t->nworkers, t->capacity) <= n && t->stride * t->nworkers < n;
    *t = good;
  }
  check(refused, "a header that does not fit the memory is refused");
  atomic_store(&sm_trace_ring(t, 0)->count, UINT32_MAX);
  sm_trace_view v;
  sm_trace_read(t, 0, &v);
  check(v.count == 10, "a count past the ring is cut");
  munmap(t, n);
}

static void measures(void) {
  uint64_t cpu = 0, starved = 0, before = sm_trace_private_bytes();
  size_t n = (size_t)32 << 20;
  volatile char *p = malloc(n);
  for (size_t i = 0; i < n; i += 512) p[i] = 1;
  uint64_t after = sm_trace_private_bytes();
  check((before == 0 && after == 0) || after >= before + n / 2, "private memory grows with what is touched");
  free((void *)p);
  sm_trace_cpu(&cpu, &starved);
  check(cpu > 0, "this process has used a processor");
}

int main(void) {
  sizes();
  order_and_view();
  full_ring();
  killed_writer();
  reader_beside_writer();
  malformed();
  measures();
  return report();
}
