/* task_queue: every item once, whoever steals, stops or dies.
 *
 * The queue is compiled a second time under other names, with a hook before each atomic operation that writes: a
 * child is killed at every one of them in turn, so also between any two writes of a move and its journal.
 */
#include <sched.h>
#include <stdatomic.h>

#include "check.h"

#include "../../src/task_queue.h"

#define sm_queue_nbytes killable_nbytes
#define sm_queue_slot killable_slot
#define sm_queue_init killable_init
#define sm_queue_take killable_take
#define sm_queue_return killable_return
#define sm_queue_leave killable_leave
#define sm_queue_pause killable_pause
#define sm_queue_resume killable_resume
#define sm_queue_at killable_at
#define sm_queue_late killable_late
#define sm_queue_refill killable_refill
#define sm_queue_stop killable_stop
#define sm_queue_inspect killable_inspect
#define sm_queue_assign killable_assign
#define sm_queue_left killable_left
static void step(void);
#undef atomic_store
#undef atomic_compare_exchange_weak
#undef atomic_compare_exchange_strong
#define SEQ memory_order_seq_cst
#define SWAP(p, e, v)                                                     \
  __extension__({                                                         \
    step();                                                               \
    int ok_ = atomic_compare_exchange_strong_explicit(p, e, v, SEQ, SEQ); \
    step();                                                               \
    ok_;                                                                  \
  })
#define atomic_store(p, v) (step(), atomic_store_explicit(p, v, SEQ))
#define atomic_compare_exchange_weak(p, e, v) SWAP(p, e, v)
#define atomic_compare_exchange_strong(p, e, v) SWAP(p, e, v)
int64_t killable_take(sm_queue_shm *q, int slot, uint64_t now_ns);
int killable_refill(sm_queue_shm *q, int slot, sm_pace *pace, uint64_t now_ns, const sm_watch *watch);
#include "../../src/task_queue.c"
#undef sm_queue_nbytes
#undef sm_queue_slot
#undef sm_queue_init
#undef sm_queue_take
#undef sm_queue_return
#undef sm_queue_leave
#undef sm_queue_pause
#undef sm_queue_resume
#undef sm_queue_at
#undef sm_queue_late
#undef sm_queue_refill
#undef sm_queue_stop
#undef sm_queue_inspect
#undef sm_queue_assign
#undef sm_queue_left

static int steps_left = -1; /* of this process; -1: never */

static void step(void) {
  if (steps_left > 0 && --steps_left == 0) raise(SIGKILL);
}

typedef int64_t taker(sm_queue_shm *, int, uint64_t);
typedef int refiller(sm_queue_shm *, int, sm_pace *, uint64_t, const sm_watch *);

typedef struct {
  sm_queue_shm *q;
  _Atomic uint8_t *done; /* of each item: how often */
  int64_t nitems;
  int nslots;
  _Atomic int wrong; /* items out of order within a worker, or out of range */
  _Atomic int ended;
  int slow;    /* rank that dawdles */
  int between; /* rank between whose batches the last slot gets one */
} queue_case;

static queue_case *new_case(int64_t nitems, int nslots) {
  queue_case *c = shared_memory(sizeof *c);
  c->q = shared_memory(sm_queue_nbytes(nslots));
  c->done = shared_memory((size_t)nitems + 1);
  c->nitems = nitems;
  c->nslots = nslots;
  c->slow = c->between = -1;
  if (sm_queue_init(c->q, nitems, nslots) != 0) exit(2);
  return c;
}

static void free_case(queue_case *c) {
  munmap(c->done, (size_t)c->nitems + 1);
  munmap(c->q, sm_queue_nbytes(c->nslots));
  munmap(c, sizeof *c);
}

/* One batch of a slot, from refill to published. */
static int one_batch(queue_case *c, int slot) {
  sm_pace p = {0, 0, 0};
  int64_t i;
  if (sm_queue_refill(c->q, slot, &p, 1, NULL) != 1) return 0;
  sm_queue_slot_shm *s = sm_queue_slot(c->q, slot);
  while ((i = sm_queue_take(c->q, slot, 1)) >= 0) {
    atomic_fetch_add(&c->done[i], 1);
    atomic_store_explicit(&s->unsent, i + 1, SEQ);
  }
  return 1;
}

/* A worker as the glue has it: take, do, publish. Items of a batch are published together. */
static void work(queue_case *c, int slot, taker *take, refiller *refill, uint64_t ns_an_item) {
  sm_pace pace = {0, 0, 0};
  uint64_t now = 1;
  int64_t from = -1, to = -1;
  for (;;) {
    int64_t i = take(c->q, slot, 1);
    if (i < 0) {
      for (int64_t k = from; k >= 0 && k < to; k++) atomic_fetch_add(&c->done[k], 1);
      if (from >= 0) atomic_store_explicit(&sm_queue_slot(c->q, slot)->unsent, to, SEQ);
      from = -1;
      if (slot == c->between) one_batch(c, c->nslots - 1);
      if (refill(c->q, slot, &pace, now, NULL) != 1) return;
      continue;
    }
    if (i >= c->nitems || (from >= 0 && i != to)) {
      atomic_fetch_add(&c->wrong, 1);
      return;
    }
    if (from < 0) from = i;
    to = i + 1;
    now += ns_an_item;
    if (slot == c->slow && i % 16 == 0) sched_yield();
  }
}

static void worker(void *arg, int rank) { work(arg, rank, sm_queue_take, sm_queue_refill, rank % 2 ? 100 : 20000); }

static int each_once(const queue_case *c) {
  for (int64_t i = 0; i < c->nitems; i++)
    if (atomic_load_explicit(&c->done[i], SEQ) != 1) return 0;
  return 1;
}

static void many_items(int threads, int64_t nitems) {
  queue_case *c = new_case(nitems, 4);
  c->slow = 2;
  check(run_group(4, threads, worker, c) == 0, "all workers come to their end");
  check(each_once(c), "every item is taken exactly once");
  check(atomic_load_explicit(&c->wrong, SEQ) == 0, "each worker goes through a batch in rising order");
  check(sm_queue_left(c->q) == 0, "nothing is left");
  free_case(c);
}

static void batches(void) {
  queue_case *c = new_case(100000, 2);
  sm_pace pace = {0, 0, 0};
  int64_t largest = 0, last = 0;
  for (int i = 0; i < 12 && sm_queue_refill(c->q, 0, &pace, 1 + (uint64_t)i, NULL) == 1; i++) {
    largest = pace.got > largest ? pace.got : largest;
    while (sm_queue_take(c->q, 0, 1) >= 0) {}
  }
  check(largest > 64, "batches grow while items are quick");
  check(sm_queue_refill(c->q, 0, &pace, UINT64_C(1) << 40, NULL) == 1 && pace.got == 1, "and are of one item when they are slow");
  while (sm_queue_take(c->q, 0, 1) >= 0) {}
  atomic_store_explicit(&c->q->single, 1, SEQ);
  pace.wanted = 1000;
  check(sm_queue_refill(c->q, 0, &pace, (UINT64_C(1) << 40) + 1, NULL) == 1 && pace.got == 1, "and once somebody has entered ordered");
  free_case(c);

  c = new_case(1000, 2);
  pace = (sm_pace){0, 0, 0};
  for (uint64_t now = 1; sm_queue_refill(c->q, 0, &pace, now++, NULL) == 1; last = pace.got)
    while (sm_queue_take(c->q, 0, 1) >= 0) {}
  check(last == 1, "near the end a batch is one item");
  free_case(c);
}

static void stealing(void) {
  queue_case *c = new_case(4096, 2);
  sm_pace a = {0, 0, 0}, b = {0, 0, 0};
  for (uint64_t now = 1; atomic_load_explicit(&c->q->next, SEQ) < 2000; now++) {
    sm_queue_refill(c->q, 0, &a, now, NULL);
    if (atomic_load_explicit(&c->q->next, SEQ) >= 2000) break;
    while (sm_queue_take(c->q, 0, 1) >= 0) {}
  }
  int64_t held = sm_queue_take(c->q, 0, 1), n = 1;
  check(a.got > 10 && held >= 0, "one worker sits on an item with a batch behind it");
  while (sm_queue_refill(c->q, 1, &b, 1, NULL) == 1)
    while (sm_queue_take(c->q, 1, 1) >= 0) n++;
  check(held + n == 4096, "the other does everything else, that batch too");
  check(sm_queue_take(c->q, 0, 1) == -1, "and the first finds nothing left");
  free_case(c);
}

static void stopping(void) {
  queue_case *c = new_case(100, 2);
  sm_pace p = {0, 0, 0};
  sm_queue_refill(c->q, 0, &p, 1, NULL);
  sm_queue_stop(c->q);
  check(sm_queue_take(c->q, 0, 1) == -1 && sm_queue_refill(c->q, 0, &p, 2, NULL) == 0 && sm_queue_refill(c->q, 1, &p, 2, NULL) == 0,
        "after a stop no further item starts");
  free_case(c);
  c = new_case(0, 2);
  p = (sm_pace){0, 0, 0};
  check(sm_queue_refill(c->q, 0, &p, 1, NULL) == 0 && sm_queue_take(c->q, 1, 1) == -1, "an empty queue gives nothing");
  free_case(c);
}

static void parking(void) {
  queue_case *c = new_case(100, 2);
  check(sm_queue_assign(c->q, 0, 10, 12, 20, 25) == 0 && sm_queue_assign(c->q, 1, 30, 30, 40, 41) == 0,
        "a batch is assigned, another parked");
  check(sm_queue_assign(c->q, 0, 50, 51, 60, 61) == SM_EAGAIN, "as many as there are slots");
  check(sm_queue_take(c->q, 0, 1) == 10 && sm_queue_take(c->q, 0, 1) == 11 && sm_queue_take(c->q, 0, 1) == -1,
        "what was assigned is taken");
  sm_pace p = {0, 0, 0};
  int64_t got[6];
  for (int i = 0; i < 6; i++) {
    if (i == 0 || i == 5) sm_queue_refill(c->q, 1, &p, 1, NULL);
    got[i] = sm_queue_take(c->q, 1, 1);
  }
  check(got[0] == 20 && got[4] == 24 && got[5] == 40, "then what was parked, whole, before anything new");
  free_case(c);
}

static int interrupted(void *arg) {
  (void)arg;
  return 1;
}

static void hold_queue(void *arg, int rank) {
  queue_case *c = arg;
  (void)rank;
  sm_lock_lock(&c->q->lock, NULL);
  atomic_store_explicit(&c->ended, 1, SEQ);
  for (;;) pause_ms(100);
}

static void watched(void) {
  queue_case *c = new_case(10, 2);
  pid_t pid = start_child(hold_queue, c, 0);
  while (!atomic_load_explicit(&c->ended, SEQ)) pause_ms(1);
  _Atomic uint32_t flag;
  atomic_init(&flag, 1);
  sm_pace p = {0, 0, 0};
  sm_watch w = {&flag, NULL, NULL};
  check(sm_queue_refill(c->q, 1, &p, 1, &w) == SM_EFAILED, "who waits for a batch leaves when the group has failed");
  w = (sm_watch){NULL, interrupted, NULL};
  check(sm_queue_refill(c->q, 1, &p, 1, &w) == SM_EINTR, "and when its interrupt check says so");
  kill(pid, SIGKILL);
  end_of(pid);
  check(sm_queue_refill(c->q, 1, &p, 1, NULL) == 1 && sm_queue_take(c->q, 1, 1) == 0, "the holder's death frees the queue");
  free_case(c);
}

#ifndef UNDER_TSAN
/* ---- deaths at every step ---- */

typedef enum { FRESH, BETWEEN, STEALING } scene;
typedef enum { SURVIVORS_FIRST, SUCCESSOR_FIRST, STOLEN_BETWEEN } sequel;

enum { KILL_ITEMS = 24 };

/* STEALING: slots 1 and 2 have taken everything in batches of which they have begun one item. */
static void set_scene(queue_case *c, scene s) {
  if (s == BETWEEN) c->between = 0;
  if (s != STEALING) return;
  for (int slot = 1; slot <= 2; slot++) {
    sm_pace p = {0, 0, 0};
    sm_queue_slot_shm *mine = sm_queue_slot(c->q, slot);
    sm_queue_refill(c->q, slot, &p, 1, NULL);
    int64_t lo = slot == 1 ? 0 : KILL_ITEMS / 3, hi = slot == 1 ? KILL_ITEMS / 3 : KILL_ITEMS;
    atomic_store_explicit(&mine->base, lo, SEQ);
    atomic_store_explicit(&mine->unsent, lo, SEQ);
    atomic_store_explicit(&mine->range, (uint64_t)(hi - lo), SEQ);
  }
  atomic_store_explicit(&c->q->next, KILL_ITEMS, SEQ);
}

static void doomed(void *arg, int k) {
  queue_case *c = arg;
  steps_left = k;
  work(c, 0, killable_take, killable_refill, 100);
  atomic_store_explicit(&c->ended, 1, SEQ);
}

/* Slot 1 again, killed too: most of the time while it completes what the first left. */
static void doomed_next(void *arg, int k) {
  steps_left = k;
  work(arg, 1, killable_take, killable_refill, 100);
}

static void continue_slot(queue_case *c, int slot) { work(c, slot, sm_queue_take, sm_queue_refill, 100); }

#define ASSIGN(q, slot, first, hi) sm_queue_assign(q, slot, first, hi, 0, 0)

static void succeed(queue_case *c, int slot, sequel order, int survivor) {
  int64_t first, hi, running;
  if (order == SURVIVORS_FIRST) continue_slot(c, survivor);
  if (sm_queue_inspect(c->q, slot, &first, &hi, &running) < 0 || running >= c->nitems) atomic_fetch_add(&c->wrong, 1);
  if (order == STOLEN_BETWEEN)
    while (one_batch(c, survivor)) {}
  if (first < hi) ASSIGN(c->q, slot, first, hi);
  continue_slot(c, slot);
  continue_slot(c, survivor);
}

static void killed_at_every_step(scene s, sequel order, const char *what) {
  int once = 1, wrong = 0, steps = 0;
  for (int k = 1; k < 3000; k++, steps++) {
    queue_case *c = new_case(KILL_ITEMS, 3);
    set_scene(c, s);
    end_of(start_child(doomed, c, k));
    c->between = -1;
    int ended = atomic_load_explicit(&c->ended, SEQ);
    /* slots 1 and 2 live on in this process */
    if (s == STEALING) continue_slot(c, 1);
    succeed(c, 0, order, 2);
    once &= each_once(c);
    wrong += atomic_load_explicit(&c->wrong, SEQ);
    free_case(c);
    if (ended) break;
  }
  check(steps > 50 && once && wrong == 0, what);
}

static void killed_twice(scene s) {
  int once = 1, wrong = 0, runs = 0;
  for (int k = 1; k < 40; k++)
    for (int j = 1; j < 30; j += 1 + k % 3, runs++) {
      queue_case *c = new_case(KILL_ITEMS, 3);
      set_scene(c, s);
      end_of(start_child(doomed, c, k));
      end_of(start_child(doomed_next, c, j));
      succeed(c, 0, SUCCESSOR_FIRST, 2);
      succeed(c, 1, SURVIVORS_FIRST, 2);
      once &= each_once(c);
      wrong += atomic_load_explicit(&c->wrong, SEQ);
      free_case(c);
    }
  check(runs > 500 && once && wrong == 0, "the death of the one who completes another's move loses and doubles nothing");
}

#endif

static void leaving(void) {
  queue_case *c = new_case(10, 2);
  sm_pace p = {0, 0, 0};
  sm_queue_slot_shm *s = sm_queue_slot(c->q, 0);
  int64_t first, hi, running;
  sm_queue_refill(c->q, 0, &p, 1, NULL);
  int64_t item = sm_queue_take(c->q, 0, 1);
  check(sm_queue_return(s), "an item returns, and is published");
  atomic_store_explicit(&s->unsent, item + 1, SEQ); /* the first of the two stores of sm_queue_leave() */
  check(sm_queue_inspect(c->q, 0, &first, &hi, &running) == 0 && first == item + 1 && first <= hi && running == -1,
        "a worker killed while it leaves an item has left it");
  free_case(c);
}

/* One of "it has returned" and "it is late" comes first. */
static void late_items(void) {
  queue_case *c = new_case(10, 2);
  sm_pace p = {0, 0, 0};
  sm_queue_slot_shm *s = sm_queue_slot(c->q, 0);
  int64_t item = -1;
  bool returned;
  sm_queue_refill(c->q, 0, &p, 1, NULL);
  check(sm_queue_late(s, 1, 50, &item) == 50 && sm_queue_at(s, NULL) == -1, "between items nothing is late");
  sm_queue_take(c->q, 0, sm_clock_ns());
  check(sm_queue_late(s, UINT64_C(3600000000000), 50, &item) == 50 && sm_queue_at(s, &returned) == 0 && !returned,
        "nor is one that has just begun");
  check(sm_queue_return(s) && sm_queue_at(s, &returned) == 0 && returned, "an item returns");
  check(sm_queue_late(s, 0, 50, &item) == 50, "and is not late any more");
  sm_queue_leave(s, 1);
  sm_queue_refill(c->q, 0, &p, 1, NULL);
  int64_t next = sm_queue_take(c->q, 0, sm_clock_ns());
  check(sm_queue_late(s, 0, 50, &item) == 0 && item == next && !sm_queue_return(s), "one that is late does not return");
  check(sm_queue_late(s, 0, 50, &item) == 50, "and is found once");
  sm_queue_leave(s, next + 1);
  sm_queue_refill(c->q, 0, &p, 1, NULL);
  sm_queue_take(c->q, 0, sm_clock_ns() - 1000000000u);
  sm_queue_pause(s);
  check(sm_queue_late(s, 2000000000u, 50, &item) == 50, "one that waits for others is not late");
  atomic_store_explicit(&s->waiting_ns, atomic_load_explicit(&s->waiting_ns, SEQ) - 800000000u, SEQ); /* as if since 0.8 s */
  sm_queue_resume(s);
  check(sm_queue_late(s, 900000000u, 50, &item) == 50 && sm_queue_late(s, 100000000u, 50, &item) == 0, "its time is what it did not wait");
  free_case(c);
}

int main(void) {
  late_items();
  leaving();
  batches();
  stealing();
  stopping();
  parking();
  watched();
  many_items(0, 1000000);
  many_items(1, 300000);
#ifndef UNDER_TSAN /* which sees threads only, and forks slowly */
  killed_at_every_step(FRESH, SUCCESSOR_FIRST, "killed at any step with fresh items: each is done once");
  killed_at_every_step(FRESH, SURVIVORS_FIRST, "also when the others go on first");
  killed_at_every_step(FRESH, STOLEN_BETWEEN, "also when they steal before the successor has come");
  killed_at_every_step(BETWEEN, SUCCESSOR_FIRST, "also where others had batches in between");
  killed_at_every_step(BETWEEN, SURVIVORS_FIRST, "and went on first");
  killed_at_every_step(STEALING, SUCCESSOR_FIRST, "killed at any step of a theft: each item is done once");
  killed_at_every_step(STEALING, SURVIVORS_FIRST, "also when the others go on first");
  killed_at_every_step(STEALING, STOLEN_BETWEEN, "also when they steal before the successor has come");
  killed_twice(FRESH);
  killed_twice(BETWEEN);
  killed_twice(STEALING);
#endif
  return report();
}
