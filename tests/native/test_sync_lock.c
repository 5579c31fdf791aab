/* sync_lock: one holder at a time, whoever dies. */
#include "../../src/sync_lock.h"

#include <stdatomic.h>

#include "check.h"

enum { WORKERS = 4, ROUNDS = 5000 };

typedef struct {
  sm_lock_shm lock;
  _Atomic uint32_t failed;
  _Atomic int inside, most, ready;
  long a, b; /* equal whenever nobody is inside */
  _Atomic long recovered;
} lock_case;

static lock_case *new_case(void) {
  lock_case *c = shared_memory(sizeof *c);
  check(sm_lock_init(&c->lock) == 0, "a lock can be made");
  return c;
}

static void count_up(void *arg, int rank) {
  lock_case *c = arg;
  (void)rank;
  for (int i = 0; i < ROUNDS; i++) {
    if (sm_lock_lock(&c->lock, NULL) != 0) return;
    int n = atomic_fetch_add(&c->inside, 1) + 1;
    if (n > atomic_load(&c->most)) atomic_store(&c->most, n);
    c->a++;
    c->b++;
    atomic_fetch_sub(&c->inside, 1);
    sm_lock_unlock(&c->lock);
  }
}

static void contention(int threads) {
  lock_case *c = new_case();
  check(run_group(WORKERS, threads, count_up, c) == 0, "all who contend come to their end");
  check(c->a == (long)WORKERS * ROUNDS && c->b == c->a, "no increment under the lock is lost");
  check(atomic_load(&c->most) == 1, "there were never two holders");
}

static void hold_and_die(void *arg, int rank) {
  lock_case *c = arg;
  (void)rank;
  sm_lock_lock(&c->lock, NULL);
  c->a++;
  raise(SIGKILL);
}

static void holder_killed(void) {
  lock_case *c = new_case();
  int status = end_of(start_child(hold_and_die, c, 0));
  check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the holder was killed inside");
  check(sm_lock_lock(&c->lock, NULL) == SM_LOCK_RECOVERED, "the next to lock hears that the holder died");
  check(sm_lock_unlock(&c->lock) == 0, "a recovered lock can be given back");
  check(sm_lock_lock(&c->lock, NULL) == 0, "and taken again as if nothing had been");
  sm_lock_unlock(&c->lock);
  end_of(start_child(hold_and_die, c, 0));
  check(sm_lock_trylock(&c->lock) == SM_LOCK_RECOVERED, "trylock hears of a death too");
  sm_lock_unlock(&c->lock);
}

static void hold_for_long(void *arg, int rank) {
  lock_case *c = arg;
  (void)rank;
  sm_lock_lock(&c->lock, NULL);
  atomic_store(&c->ready, 1);
  while (!atomic_load(&c->failed)) pause_ms(1);
  sm_lock_unlock(&c->lock);
}

static void wait_for_lock(void *arg, int rank) {
  lock_case *c = arg;
  (void)rank;
  atomic_fetch_add(&c->ready, 1);
  if (sm_lock_lock(&c->lock, NULL) >= 0) {
    c->b++;
    sm_lock_unlock(&c->lock);
  }
}

static void waiter_killed(void) {
  lock_case *c = new_case();
  pid_t holder = start_child(hold_for_long, c, 0);
  while (!atomic_load(&c->ready)) pause_ms(1);
  pid_t doomed = start_child(wait_for_lock, c, 1), other = start_child(wait_for_lock, c, 2);
  while (atomic_load(&c->ready) < 3) pause_ms(1);
  pause_ms(20);
  kill(doomed, SIGKILL);
  end_of(doomed);
  atomic_store(&c->failed, 1);
  check(end_of(holder) == 0 && end_of(other) == 0 && c->b == 1, "a waiter's death does not keep the others from the lock");
  check(sm_lock_lock(&c->lock, NULL) == 0, "nor does it look like a holder's");
  sm_lock_unlock(&c->lock);
}

static int ask(void *arg) { return ++*(int *)arg >= 2; }

static void watched(void) {
  lock_case *c = new_case();
  pid_t holder = start_child(hold_for_long, c, 0);
  while (!atomic_load(&c->ready)) pause_ms(1);
  check(sm_lock_trylock(&c->lock) == SM_EAGAIN, "trylock does not wait for a holder");
  _Atomic uint32_t flag;
  atomic_init(&flag, 1);
  sm_watch w = {&flag, NULL, NULL};
  check(sm_lock_lock(&c->lock, &w) == SM_EFAILED, "a waiter leaves when the group has failed");
  int asked = 0;
  w = (sm_watch){NULL, ask, &asked};
  check(sm_lock_lock(&c->lock, &w) == SM_EINTR && asked == 2, "and when its interrupt check says so");
  atomic_store(&c->failed, 1);
  check(end_of(holder) == 0, "the holder ends");
  check(sm_lock_trylock(&c->lock) == 0, "who left a wait does not hold the lock");
  w = (sm_watch){&flag, NULL, NULL};
  sm_lock_unlock(&c->lock);
  check(sm_lock_lock(&c->lock, &w) == 0, "a free lock is had without a look at the watch");
  sm_lock_unlock(&c->lock);
}

/* a and b rise together; whoever inherits the lock puts the half done right. */
static void work_until_killed(void *arg, int rank) {
  lock_case *c = arg;
  (void)rank;
  for (;;) {
    int rc = sm_lock_lock(&c->lock, NULL);
    if (rc < 0) return;
    if (rc == SM_LOCK_RECOVERED) {
      atomic_fetch_add(&c->recovered, 1);
      *(volatile long *)&c->b = c->a;
    }
    *(volatile long *)&c->a = c->a + 1;
    for (int i = 0; i < 50; i++) sm_spin_pause();
    *(volatile long *)&c->b = c->b + 1;
    sm_lock_unlock(&c->lock);
  }
}

static void killed_at_random(void) {
  lock_case *c = new_case();
  pid_t pid[3];
  for (int i = 0; i < 3; i++) pid[i] = start_child(work_until_killed, c, i);
  for (int round = 0; round < 150; round++) {
    usleep((useconds_t)(500 + round * 37 % 1500));
    int i = round % 3;
    kill(pid[i], SIGKILL);
    end_of(pid[i]);
    pid[i] = start_child(work_until_killed, c, i);
  }
  long before = *(volatile long *)&c->a;
  for (int i = 0; i < 2000 && *(volatile long *)&c->a <= before; i++) pause_ms(1);
  check(*(volatile long *)&c->a > before, "after 150 deaths at any point the work goes on");
  for (int i = 0; i < 3; i++) kill(pid[i], SIGKILL);
  for (int i = 0; i < 3; i++) end_of(pid[i]);
  int rc = sm_lock_lock(&c->lock, NULL);
  if (rc == SM_LOCK_RECOVERED) c->b = c->a;
  check(rc >= 0 && c->a == c->b, "and every holder who died inside was noticed by the next");
  sm_lock_unlock(&c->lock);
}

int main(void) {
  contention(0);
  contention(1);
  holder_killed();
  waiter_killed();
  watched();
  killed_at_random();
  return report();
}
