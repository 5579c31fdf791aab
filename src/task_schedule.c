/* task_schedule.c: see task_schedule.h.
 *
 * Purpose: which process runs which items, from one atomic counter a loop.
 * Fork and signals: no lock is held anywhere; sleeps are sliced and look at the failure flag.
 */
#include "task_schedule.h"

#include <limits.h>

#define SPINS 40
#define NOTHING INT64_MAX

enum { EMPTY = 0, SETUP, READY };

static sm_schedule_slot_shm *slots(sm_schedule_shm *s) { return (sm_schedule_slot_shm *)(s + 1); }

static sm_schedule_rank_shm *ranks(sm_schedule_shm *s, const sm_schedule_slot_shm *slot) {
  sm_schedule_rank_shm *all = (sm_schedule_rank_shm *)(slots(s) + SM_SCHEDULE_SLOTS);
  return all + (slot - slots(s)) * s->nproc;
}

static _Atomic uint32_t *left(sm_schedule_shm *s) {
  return (_Atomic uint32_t *)((sm_schedule_rank_shm *)(slots(s) + SM_SCHEDULE_SLOTS) + SM_SCHEDULE_SLOTS * s->nproc);
}

size_t sm_schedule_nbytes(int nproc) {
  size_t perproc = SM_SCHEDULE_SLOTS * sizeof(sm_schedule_rank_shm) + sizeof(uint32_t);
  return sizeof(sm_schedule_shm) + SM_SCHEDULE_SLOTS * sizeof(sm_schedule_slot_shm) + (size_t)nproc * perproc;
}

void sm_schedule_init(sm_schedule_shm *s, int nproc) {
  s->nproc = nproc;
  for (uint32_t i = 0; i < SM_SCHEDULE_SLOTS; i++) atomic_store(&slots(s)[i].turn, i);
}

void sm_schedule_open(sm_schedule *me, sm_schedule_shm *s, int rank) { *me = (sm_schedule){.shm = s, .rank = rank}; }

/* Has a process left the region before it met `loop`? */
static bool deserted(sm_schedule_shm *s, uint32_t loop) {
  for (int r = 0; r < s->nproc; r++) {
    uint32_t met = atomic_load(&left(s)[r]);
    if (met && (int32_t)(met - 1 - loop) <= 0) return true;
  }
  return false;
}

static bool same_plan(const sm_schedule_plan *a, const sm_schedule_plan *b) {
  return a->n == b->n && a->chunk == b->chunk && a->kind == b->kind && a->ordered == b->ordered && a->tag == b->tag;
}

static int64_t even_share(const sm_schedule_plan *p, int nproc, int rank) {
  int64_t each = p->n / nproc, more = p->n % nproc;
  return rank * each + (rank < more ? rank : more);
}

/* First item of a process's share: of its even share, or of its first chunk. */
static int64_t share_start(const sm_schedule_plan *p, int nproc, int rank) {
  if (p->chunk == 0) return even_share(p, nproc, rank);
  return p->chunk >= p->n && rank > 0 ? p->n : rank * p->chunk;
}

static void set_up(sm_schedule_shm *s, sm_schedule_slot_shm *slot, const sm_schedule_plan *plan) {
  slot->plan = *plan;
  atomic_store(&slot->next, 0);
  for (int r = 0; r < s->nproc; r++) {
    int64_t low = NOTHING;
    if (plan->kind == SM_SCHEDULE_STATIC) low = share_start(plan, s->nproc, r);
    atomic_store(&ranks(s, slot)[r].low, low < plan->n ? low : NOTHING);
  }
  atomic_store(&slot->state, READY);
  sm_futex_wake(&slot->state, INT_MAX);
}

int sm_schedule_begin(sm_schedule *me, const sm_schedule_plan *plan, const sm_watch *watch) {
  if (me->running) return SM_EMISUSE;
  sm_schedule_shm *s = me->shm;
  sm_schedule_slot_shm *slot = slots(s) + me->met % SM_SCHEDULE_SLOTS;
  uint32_t turn;
  while ((turn = atomic_load(&slot->turn)) != me->met) {
    if (deserted(s, turn) && atomic_load(&slot->turn) == turn) return SM_EGONE;
    int rc = sm_watch_look(watch);
    if (rc < 0) return rc;
    sm_futex_wait(&slot->turn, turn, SM_SLICE_MS);
  }
  uint32_t state = EMPTY;
  if (atomic_compare_exchange_strong(&slot->state, &state, SETUP)) {
    set_up(s, slot, plan);
    state = READY;
  }
  for (int i = 0; state != READY; i++) {
    sm_spin_pause();
    if (i >= SPINS) {
      int rc = sm_watch_look(watch);
      if (rc < 0) return rc;
      sm_futex_wait(&slot->state, SETUP, SM_SLICE_MS);
    }
    state = atomic_load(&slot->state);
  }
  if (!same_plan(&slot->plan, plan)) return SM_EMISUSE;
  me->slot = slot;
  me->loop = me->met++;
  me->running = true;
  me->share = share_start(plan, s->nproc, me->rank);
  return 0;
}

/* Wake the process with the lowest item of all, if it waits: no other process can go on. */
static void wake_lowest(sm_schedule_shm *s, sm_schedule_slot_shm *slot) {
  if (!atomic_load(&slot->waiting)) return;
  sm_schedule_rank_shm *all = ranks(s, slot);
  int64_t lowest = NOTHING;
  for (int r = 0; r < s->nproc; r++) {
    int64_t low = atomic_load(&all[r].low);
    if (low < lowest) lowest = low;
  }
  for (int r = 0; r < s->nproc && lowest != NOTHING; r++)
    if (atomic_load(&all[r].low) == lowest && atomic_load(&all[r].waiting)) {
      atomic_fetch_add(&all[r].word, 1);
      sm_futex_wake(&all[r].word, 1);
    }
}

static void set_low(sm_schedule *me, int64_t low) {
  if (!me->slot->plan.ordered) return;
  atomic_store(&ranks(me->shm, me->slot)[me->rank].low, low);
  wake_lowest(me->shm, me->slot);
}

static int claim_static(sm_schedule *me, int64_t *from, int64_t *to) {
  const sm_schedule_plan *p = &me->slot->plan;
  if (me->share >= p->n) return 0;
  *from = me->share;
  if (p->chunk == 0) {
    *to = even_share(p, me->shm->nproc, me->rank + 1);
    me->share = p->n;
  } else {
    *to = p->n - *from > p->chunk ? *from + p->chunk : p->n;
    int64_t stride = p->chunk < p->n ? p->chunk * me->shm->nproc : p->n;
    me->share = p->n - *from > stride ? *from + stride : p->n;
  }
  return *to > *from;
}

static int claim_counter(sm_schedule *me, int64_t *from, int64_t *to) {
  sm_schedule_slot_shm *slot = me->slot;
  const sm_schedule_plan *p = &slot->plan;
  int64_t least = p->chunk > 0 ? p->chunk : 1, size, next = atomic_load(&slot->next);
  /* `low` is set before the claim, because from here on any item from `next` on may become this process's. */
  if (next < p->n) set_low(me, next);
  do {
    if (next >= p->n) return 0;
    int64_t rest = p->n - next;
    size = least;
    if (p->kind == SM_SCHEDULE_GUIDED) {
      int64_t part = rest / me->shm->nproc + (rest % me->shm->nproc > 0);
      if (part > size) size = part;
    }
    if (size > rest) size = rest;
  } while (!atomic_compare_exchange_weak(&slot->next, &next, next + size));
  *from = next;
  *to = next + size;
  return 1;
}

int sm_schedule_claim(sm_schedule *me, int64_t *from, int64_t *to) {
  int got = me->slot->plan.kind == SM_SCHEDULE_STATIC ? claim_static(me, from, to) : claim_counter(me, from, to);
  set_low(me, got ? *from : NOTHING);
  return got;
}

/* 0 when item may go, 1 when another process has to come first, SM_EGONE when that one has left. */
static int look(sm_schedule *me, int64_t item) {
  sm_schedule_rank_shm *all = ranks(me->shm, me->slot);
  for (int r = 0; r < me->shm->nproc; r++) {
    if (r == me->rank) continue;
    uint32_t met = atomic_load(&left(me->shm)[r]);
    if (atomic_load(&all[r].low) >= item) continue;
    return met ? SM_EGONE : 1;
  }
  return 0;
}

int sm_schedule_order(sm_schedule *me, int64_t item, const sm_watch *watch) {
  int rc = look(me, item);
  for (int i = 0; rc == 1 && i < SPINS; i++) {
    sm_spin_pause();
    rc = look(me, item);
  }
  if (rc != 1) return rc;
  sm_schedule_rank_shm *mine = ranks(me->shm, me->slot) + me->rank;
  atomic_fetch_add(&me->slot->waiting, 1);
  atomic_store(&mine->waiting, 1);
  for (;;) {
    uint32_t seen = atomic_load(&mine->word);
    rc = look(me, item);
    if (rc == 1) {
      int watched = sm_watch_look(watch);
      if (watched < 0) rc = watched;
    }
    if (rc != 1) break;
    sm_futex_wait(&mine->word, seen, SM_SLICE_MS);
  }
  atomic_store(&mine->waiting, 0);
  atomic_fetch_sub(&me->slot->waiting, 1);
  return rc;
}

void sm_schedule_pass(sm_schedule *me, int64_t item) {
  if (atomic_load(&ranks(me->shm, me->slot)[me->rank].low) <= item) set_low(me, item + 1);
}

void sm_schedule_end(sm_schedule *me) {
  sm_schedule_slot_shm *slot = me->slot;
  set_low(me, NOTHING);
  me->running = false;
  me->slot = NULL;
  if (atomic_fetch_add(&slot->ended, 1) + 1 < (uint32_t)me->shm->nproc) return;
  atomic_store(&slot->ended, 0);
  atomic_store(&slot->state, EMPTY);
  atomic_store(&slot->turn, me->loop + SM_SCHEDULE_SLOTS);
  sm_futex_wake(&slot->turn, INT_MAX);
}

void sm_schedule_leave(sm_schedule *me) {
  atomic_store(&left(me->shm)[me->rank], me->met + 1);
  sm_schedule_wake_all(me->shm);
}

void sm_schedule_wake_all(sm_schedule_shm *s) {
  for (int i = 0; i < SM_SCHEDULE_SLOTS; i++) {
    sm_schedule_slot_shm *slot = slots(s) + i;
    sm_futex_wake(&slot->turn, INT_MAX);
    sm_futex_wake(&slot->state, INT_MAX);
    for (int r = 0; r < s->nproc; r++) {
      sm_schedule_rank_shm *rank = ranks(s, slot) + r;
      atomic_fetch_add(&rank->word, 1);
      sm_futex_wake(&rank->word, 1);
    }
  }
}
