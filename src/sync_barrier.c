/* sync_barrier.c: see sync_barrier.h.
 *
 * Purpose: a barrier that costs one atomic addition where processors are free.
 * Fork and signals: the barrier has no owner and no lock, so no death at any line keeps the others from seeing a failure flag; sleeps
 * are sliced.
 */
#include "sync_barrier.h"

#include <limits.h>

#define SPINS_MOST 200
#define SPINS_LEAST 4

void sm_barrier_init(sm_barrier_shm *b, int nproc, bool spin) {
  atomic_store(&b->round, 0);
  atomic_store(&b->sleepers, 0);
  b->nproc = (uint32_t)nproc;
  atomic_store(&b->spins, spin ? SPINS_MOST : 0);
  atomic_store(&b->tag[0], 0);
  atomic_store(&b->tag[1], 0);
  atomic_store(&b->arrived, 0);
  atomic_store(&b->left, 0);
}

void sm_barrier_wake_all(sm_barrier_shm *b) {
  if (atomic_load(&b->sleepers)) sm_futex_wake(&b->round, INT_MAX);
}

int sm_barrier_arrive(sm_barrier_shm *b, uint64_t tag, uint32_t *round) {
  uint32_t r = atomic_load(&b->round);
  uint64_t first = 0;
  if (!atomic_compare_exchange_strong(&b->tag[r & 1], &first, tag) && first != tag) return SM_EMISUSE;
  *round = r;
  if (atomic_fetch_add(&b->arrived, 1) + 1 < b->nproc) return 0;
  /* Nobody else is between arriving and leaving this round, so the counters are ours until it moves. */
  atomic_store(&b->tag[r & 1], 0);
  atomic_store(&b->arrived, 0);
  atomic_store(&b->round, r + 1);
  sm_barrier_wake_all(b);
  return 0;
}

/* 1 while the round is open. `left` is read before `round`, because a process leaves only after the rounds that it waited for. */
static int look(sm_barrier_shm *b, uint32_t round) {
  uint32_t left = atomic_load(&b->left);
  if (atomic_load(&b->round) != round) return 0;
  return left ? SM_EGONE : 1;
}

/* Spin for a while. The limit is set to twice the spins that succeeded, and cut by a quarter after a spin that did not: on a busy
 * machine the process waited for may not be running at all, or may need this very processor. One round in 64 spins up to the
 * maximum, to find out when that has changed. */
static int spin(sm_barrier_shm *b, uint32_t round) {
  int rc = look(b, round);
  int limit = (int)atomic_load_explicit(&b->spins, memory_order_relaxed), i = 0;
  if (rc != 1 || limit == 0) return rc;
  bool probe = round % 64 == 0;
  for (; rc == 1 && i < (probe ? SPINS_MOST : limit); i++) {
    sm_spin_pause();
    rc = look(b, round);
  }
  int next = 2 * i + SPINS_LEAST;
  if (rc != 1 && next < limit) next = limit - (limit - next) / 8;
  if (rc == 1) next = probe ? limit : limit - (limit + 3) / 4;
  if (next < SPINS_LEAST) next = SPINS_LEAST;
  if (next > SPINS_MOST) next = SPINS_MOST;
  atomic_store_explicit(&b->spins, (uint32_t)next, memory_order_relaxed);
  return rc;
}

int sm_barrier_await(sm_barrier_shm *b, uint32_t round, const sm_watch *watch) {
  int rc = spin(b, round);
  if (rc != 1) return rc;
  atomic_fetch_add(&b->sleepers, 1);
  for (;;) {
    rc = look(b, round);
    if (rc == 1) {
      int seen = sm_watch_look(watch);
      if (seen < 0) rc = seen;
    }
    if (rc != 1) break;
    sm_futex_wait(&b->round, round, SM_SLICE_MS);
  }
  atomic_fetch_sub(&b->sleepers, 1);
  return rc;
}

void sm_barrier_leave(sm_barrier_shm *b) {
  atomic_fetch_add(&b->left, 1);
  sm_barrier_wake_all(b);
}
