/* sync_turnstile.c: see sync_turnstile.h.
 *
 * Purpose: order without a queue. Marking an item is one store; the turn moves only after a process has entered for the first time, so
 * maps without ordered sections pay nothing else.
 * Fork and signals: lock-free; every wait is sliced and watches the failure flag.
 */
#include "sync_turnstile.h"

#define SPINS 40

static sm_turn_slot_shm *slots(sm_turnstile_shm *t) { return (sm_turn_slot_shm *)(t + 1); }

static _Atomic uint8_t *passed(sm_turnstile_shm *t) { return (_Atomic uint8_t *)(slots(t) + t->nslots); }

size_t sm_turnstile_nbytes(int64_t nitems, int nslots) {
  return sizeof(sm_turnstile_shm) + (size_t)nslots * sizeof(sm_turn_slot_shm) + (size_t)nitems;
}

void sm_turnstile_init(sm_turnstile_shm *t, int64_t nitems, int nslots) {
  atomic_store(&t->turn, 0);
  t->nitems = nitems;
  t->nslots = nslots;
  for (int i = 0; i < nslots; i++) atomic_store(&slots(t)[i].item, -1);
}

static void wake_turn(sm_turnstile_shm *t) {
  if (!atomic_load(&t->nwaiting)) return;
  int64_t turn = atomic_load(&t->turn);
  for (int i = 0; i < t->nslots; i++) {
    sm_turn_slot_shm *s = slots(t) + i;
    if (atomic_load(&s->item) == turn) {
      atomic_fetch_add(&s->word, 1);
      sm_futex_wake(&s->word, 1);
      return;
    }
  }
}

/* Move the turn over everything that has passed. Any process may do so at any time. */
static void advance(sm_turnstile_shm *t) {
  int64_t turn = atomic_load(&t->turn);
  bool moved = false;
  while (turn < t->nitems && atomic_load(&passed(t)[turn])) {
    if (atomic_compare_exchange_weak(&t->turn, &turn, turn + 1)) turn++;
    moved = true;
  }
  if (moved) wake_turn(t);
}

int sm_turnstile_enter(sm_turnstile_shm *t, int slot, int64_t item, const sm_watch *watch) {
  if (!atomic_load(&t->used)) atomic_store(&t->used, 1);
  advance(t);
  for (int i = 0; i < SPINS; i++) {
    if (atomic_load(&t->turn) >= item) return 0;
    sm_spin_pause();
  }
  sm_turn_slot_shm *s = slots(t) + slot;
  int rc = 0;
  atomic_fetch_add(&t->nwaiting, 1);
  atomic_store(&s->item, item);
  for (;;) {
    uint32_t seen = atomic_load(&s->word);
    advance(t);
    if (atomic_load(&t->turn) >= item) break;
    rc = sm_watch_look(watch);
    if (rc < 0) break;
    sm_futex_wait(&s->word, seen, SM_SLICE_MS);
  }
  atomic_store(&s->item, -1);
  atomic_fetch_sub(&t->nwaiting, 1);
  return rc;
}

void sm_turnstile_pass(sm_turnstile_shm *t, int64_t item) {
  SM_KEEP(0 <= item && item < t->nitems);
  atomic_store(&passed(t)[item], 1);
  if (atomic_load(&t->used)) advance(t);
}

void sm_turnstile_clear(sm_turnstile_shm *t, int slot) {
  if (atomic_exchange(&slots(t)[slot].item, -1) >= 0) atomic_fetch_sub(&t->nwaiting, 1);
}
