/* sync_turnstile: through in order, each once, whoever skips or dies.
 *
 * The turnstile is compiled a second time under other names, with a hook before each atomic operation: a child
 * is killed at every one of them in turn.
 */
#include <stdatomic.h>

#include "check.h"

#include "../../src/sync_turnstile.h"

#define sm_turnstile_nbytes killable_nbytes
#define sm_turnstile_init killable_init
#define sm_turnstile_enter killable_enter
#define sm_turnstile_pass killable_pass
#define sm_turnstile_clear killable_clear
static void step(void);
#undef atomic_store
#undef atomic_load
#undef atomic_fetch_add
#undef atomic_fetch_sub
#undef atomic_exchange
#undef atomic_compare_exchange_weak
#define SEQ memory_order_seq_cst
#define atomic_store(p, v) (step(), atomic_store_explicit(p, v, SEQ))
#define atomic_load(p) (step(), atomic_load_explicit(p, SEQ))
#define atomic_fetch_add(p, v) (step(), atomic_fetch_add_explicit(p, v, SEQ))
#define atomic_fetch_sub(p, v) (step(), atomic_fetch_sub_explicit(p, v, SEQ))
#define atomic_exchange(p, v) (step(), atomic_exchange_explicit(p, v, SEQ))
#define atomic_compare_exchange_weak(p, e, v) (step(), atomic_compare_exchange_weak_explicit(p, e, v, SEQ, SEQ))
size_t killable_nbytes(int64_t nitems, int nslots);
void killable_init(sm_turnstile_shm *t, int64_t nitems, int nslots);
int killable_enter(sm_turnstile_shm *t, int slot, int64_t item, const sm_watch *watch);
void killable_pass(sm_turnstile_shm *t, int64_t item);
void killable_clear(sm_turnstile_shm *t, int slot);
#include "../../src/sync_turnstile.c"
#undef sm_turnstile_nbytes
#undef sm_turnstile_init
#undef sm_turnstile_enter
#undef sm_turnstile_pass
#undef sm_turnstile_clear

static int steps_left = -1; /* of this process; -1: never */

static void step(void) {
  if (steps_left > 0 && --steps_left == 0) raise(SIGKILL);
}

enum { WORKERS = 4, ITEMS = 3000 };

typedef struct {
  _Atomic int64_t next, logged;
  _Atomic uint32_t failed;
  _Atomic int inside, most, ready;
  int64_t log[ITEMS];
  sm_turnstile_shm *turn;
} turn_case;

static turn_case *new_case(int64_t nitems, int nslots) {
  turn_case *c = shared_memory(sizeof *c);
  c->turn = shared_memory(sm_turnstile_nbytes(nitems, nslots));
  sm_turnstile_init(c->turn, nitems, nslots);
  return c;
}

static int skips(int64_t item) { return item % 7 == 3 || (item > 100 && item < 130) || item == ITEMS - 1; }

static void go_through(void *arg, int rank) {
  turn_case *c = arg;
  for (;;) {
    int64_t i = atomic_fetch_add(&c->next, 1);
    if (i >= ITEMS) return;
    if (i % 64 == rank) pause_ms(1);
    if (!skips(i)) {
      if (sm_turnstile_enter(c->turn, rank, i, NULL) < 0) return;
      int n = atomic_fetch_add(&c->inside, 1) + 1;
      if (n > atomic_load(&c->most)) atomic_store(&c->most, n);
      c->log[atomic_fetch_add(&c->logged, 1)] = i;
      atomic_fetch_sub(&c->inside, 1);
    }
    sm_turnstile_pass(c->turn, i);
  }
}

static void order(int threads) {
  turn_case *c = new_case(ITEMS, WORKERS);
  check(run_group(WORKERS, threads, go_through, c) == 0, "all come to their end");
  int64_t at = 0;
  int right = 1;
  for (int64_t i = 0; i < ITEMS; i++)
    if (!skips(i)) right &= at < atomic_load(&c->logged) && c->log[at++] == i;
  check(right && at == atomic_load(&c->logged), "those who enter go through in order, each once");
  check(atomic_load(&c->most) == 1, "one at a time");
  check(atomic_load(&c->turn->turn) == ITEMS, "the turn ends behind the last item");
  check(atomic_load(&c->turn->nwaiting) == 0, "nobody waits at the end");
}

static void never_entered(void) {
  turn_case *c = new_case(5, 1);
  for (int64_t i = 4; i >= 0; i--) sm_turnstile_pass(c->turn, i);
  check(atomic_load(&c->turn->used) == 0 && atomic_load(&c->turn->turn) == 0, "where nobody enters the turn is left alone");
  turn_case *d = new_case(5, 1);
  for (int64_t i = 0; i < 4; i++) sm_turnstile_pass(d->turn, i);
  sm_turnstile_pass(d->turn, 2);
  check(sm_turnstile_enter(d->turn, 0, 4, NULL) == 0, "the first to enter finds what has passed before");
  sm_turnstile_pass(d->turn, 4);
  check(atomic_load(&d->turn->turn) == 5, "passing twice moves nothing twice");
  check(sm_turnstile_enter(d->turn, 0, 2, NULL) == 0, "an item whose turn has gone by does not wait for it");
}

static void wait_at(void *arg, int rank) {
  turn_case *c = arg;
  sm_watch w = {&c->failed, NULL, NULL};
  atomic_fetch_add(&c->ready, 1);
  int rc = sm_turnstile_enter(c->turn, rank, 10 + rank, &w);
  _exit(rc == 0 ? 1 : rc == SM_EFAILED ? 2 : 3);
}

static int ask(void *arg) { return ++*(int *)arg >= 2; }

static void watched(void) {
  turn_case *c = new_case(20, 3);
  pid_t a = start_child(wait_at, c, 0), b = start_child(wait_at, c, 1);
  while (atomic_load(&c->turn->nwaiting) < 2) pause_ms(1);
  kill(b, SIGKILL);
  end_of(b);
  check(atomic_load(&c->turn->nwaiting) == 2, "a dead waiter still counts");
  sm_turnstile_clear(c->turn, 1);
  check(atomic_load(&c->turn->nwaiting) == 1, "until its slot is cleared");
  sm_turnstile_clear(c->turn, 1);
  check(atomic_load(&c->turn->nwaiting) == 1, "clearing twice counts once");
  int asked = 0;
  sm_watch w = {NULL, ask, &asked};
  check(sm_turnstile_enter(c->turn, 2, 15, &w) == SM_EINTR, "a waiter leaves when its interrupt check says so");
  atomic_store(&c->failed, 1);
  check(WEXITSTATUS(end_of(a)) == 2, "and when the group has failed");
  check(atomic_load(&c->turn->nwaiting) == 0, "who left does not wait any more");
}

/* Slot 0 goes through items 0, 3, 6, ... and is killed at one step; slots 1 and 2 do the others. */
typedef struct {
  _Atomic int64_t at; /* item of the doomed one; -1 before the first */
  _Atomic int done;
  _Atomic int64_t logged, log[16];
  sm_turnstile_shm *turn;
} kill_case;

enum { KILL_ITEMS = 12 };

static void doomed(void *arg, int k) {
  kill_case *c = arg;
  steps_left = k;
  for (int64_t i = 0; i < KILL_ITEMS; i += 3) {
    atomic_store_explicit(&c->at, i, SEQ);
    if (i != 6) {
      if (killable_enter(c->turn, 0, i, NULL) < 0) _exit(9);
      atomic_store_explicit(&c->log[atomic_fetch_add_explicit(&c->logged, 1, SEQ)], i, SEQ);
    }
    killable_pass(c->turn, i);
  }
  atomic_store_explicit(&c->done, 1, SEQ);
}

static void survivor(void *arg, int rank) {
  kill_case *c = arg;
  for (int64_t i = rank; i < KILL_ITEMS; i += 3) {
    if (sm_turnstile_enter(c->turn, rank, i, NULL) < 0) _exit(9);
    atomic_store_explicit(&c->log[atomic_fetch_add_explicit(&c->logged, 1, SEQ)], i, SEQ);
    sm_turnstile_pass(c->turn, i);
  }
}

static void killed_at_every_step(void) {
  int all = 1, ordered = 1, steps = 0;
  for (int k = 1; k < 2000; k++, steps++) {
    kill_case *c = shared_memory(sizeof *c);
    c->turn = shared_memory(sm_turnstile_nbytes(KILL_ITEMS, 3));
    sm_turnstile_init(c->turn, KILL_ITEMS, 3);
    atomic_store_explicit(&c->at, -1, SEQ);
    pid_t d = start_child(doomed, c, k), a = start_child(survivor, c, 1), b = start_child(survivor, c, 2);
    end_of(d);
    /* the parent's part: what the dead one had not done passes */
    sm_turnstile_clear(c->turn, 0);
    if (!atomic_load_explicit(&c->done, SEQ))
      for (int64_t i = atomic_load_explicit(&c->at, SEQ) < 0 ? 0 : atomic_load_explicit(&c->at, SEQ); i < KILL_ITEMS; i += 3)
        sm_turnstile_pass(c->turn, i);
    all &= end_of(a) == 0 && end_of(b) == 0 && atomic_load_explicit(&c->turn->turn, SEQ) == KILL_ITEMS;
    int64_t n = atomic_load_explicit(&c->logged, SEQ), last = -1;
    for (int64_t i = 0; i < n; i++) {
      int64_t item = atomic_load_explicit(&c->log[i], SEQ);
      ordered &= item > last;
      last = item;
    }
    int ended = atomic_load_explicit(&c->done, SEQ);
    munmap(c->turn, sm_turnstile_nbytes(KILL_ITEMS, 3));
    munmap(c, sizeof *c);
    if (ended) break;
  }
  check(steps > 30, "the doomed one was killed at every step of its way");
  check(all, "wherever it dies, the others go through");
  check(ordered, "and in order");
}

int main(void) {
  order(0);
  order(1);
  never_entered();
  watched();
  killed_at_every_step();
  return report();
}
