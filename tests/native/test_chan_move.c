/* chan_move, and the offers of chan_ring: vectors read from another process's memory or a file. */
#include "check.h"

#include <errno.h>

#include "../../src/chan_move.h"
#include "../../src/chan_ring.h"
#include "../../src/mem_file.h"

static void test_table(void) {
  sm_move_table t = {0};
  size_t index = 99;
  int good = 1;
  for (size_t i = 0; i < 100; i++) {
    good &= sm_move_add(&t, &index) == 0 && index == i && t.entry[i].nbytes[2] == 0;
    good &= sm_move_own(&t, malloc(10)) == 0;
  }
  check(good && t.count == 100 && t.nowned == 100, "entries and blocks are added one by one");
  sm_move_clear(&t);
  check(!t.entry && t.count == 0 && !t.owned, "a cleared table is empty");
  sm_move_clear(&t);
  check(t.count == 0, "a table may be cleared twice");
}

static void test_file(void) {
  static uint8_t a[10000], b[5] = {1, 2, 3, 4, 5}, back[10000];
  for (size_t i = 0; i < sizeof a; i++) a[i] = (uint8_t)(i * 7);
  sm_move_table t = {0};
  size_t index;
  sm_move_add(&t, &index);
  t.entry[0].at[0] = (uint64_t)(uintptr_t)a;
  t.entry[0].nbytes[0] = sizeof a;
  sm_move_add(&t, &index);
  t.entry[1].at[2] = (uint64_t)(uintptr_t)b;
  t.entry[1].nbytes[2] = sizeof b;
  int fd = -1;
  sm_move_head_shm head;
  sm_move_source s;
  check(sm_move_to_file(&t, &fd, &head) == 0 && fd >= 0, "a table is written to a file");
  check(t.entry[0].at[0] == (uint64_t)(uintptr_t)a, "and stays as it was");
  check(sm_move_open(fd, &s) == 0, "the file is a source");
  sm_moved_shm e[2];
  check(head.count == 2 && sm_move_read(&s, head.table, e, sizeof e) == 0, "its table can be read");
  check(sm_move_read(&s, e[0].at[0], back, sizeof a) == 0 && memcmp(a, back, sizeof a) == 0, "and the first piece");
  check(sm_move_read(&s, e[1].at[2], back, sizeof b) == 0 && memcmp(b, back, sizeof b) == 0, "and the other entry's");
  check(sm_move_read(&s, head.table, back, sizeof e + 1) == SM_EFORMAT, "nothing behind the end");
  check(sm_move_read(&s, UINT64_MAX, back, 8) == SM_EFORMAT, "nor far away");
  check(sm_move_read(&s, 8, back, SIZE_MAX) == SM_EFORMAT, "nor more than there is");
  if (ftruncate(fd, 100) < 0) check(1, "the file cannot be made shorter");
  else check(sm_move_read(&s, 0, back, sizeof a) == SM_EFORMAT, "a file that became shorter is noticed");
  close(fd);
  sm_move_clear(&t);
  int ends[2];
  check(pipe(ends) == 0 && sm_move_open(ends[0], &s) == SM_EFORMAT, "a pipe is no source");
  close(ends[0]);
  close(ends[1]);
}

static uint8_t *there; /* the same address in the child */

static void hold(void *arg, int rank) {
  (void)rank;
  memset(there, 7, 100000);
  *(volatile int *)arg = 1;
  pause();
}

static void test_process(void) {
  there = malloc(100000);
  uint8_t *back = malloc(100000);
  memset(there, 1, 100000);
  volatile int *ready = shared_memory(4096);
  pid_t pid = start_child(hold, (void *)ready, 0);
  while (!*ready) pause_ms(1);
  sm_move_source s = {pid, -1, 0};
  int rc = sm_move_read(&s, (uint64_t)(uintptr_t)there, back, 100000);
  if (rc == -EPERM || rc == -ENOSYS || rc == -EACCES) check(there[0] == 1, "where it is not allowed nothing happens");
  else {
    check(rc == 0 && back[0] == 7 && back[99999] == 7 && there[0] == 1, "a child's memory is read");
    check(sm_move_read(&s, 8, back, 100) == SM_EFORMAT, "a wrong address is an error");
    check(sm_move_read(&s, UINT64_MAX - 50, back, 100) == SM_EFORMAT, "and one at the end of all memory");
  }
  kill(pid, SIGKILL);
  end_of(pid);
  rc = sm_move_read(&s, (uint64_t)(uintptr_t)there, back, 100);
  check(rc == SM_EGONE || rc == -EPERM || rc == -ENOSYS, "a child that is gone is gone");
  sm_move_source none = {0, -1, 0};
  check(sm_move_read(&none, (uint64_t)(uintptr_t)there, back, 1) == -EPERM, "no process may not be read");
  free(back);
  free(there);
}

static void test_offer(void) {
  sm_ring r, reader;
  void *mem = shared_memory(sm_ring_nbytes(4096));
  sm_ring_open(&r, mem, 4096);
  sm_ring_open(&reader, mem, 4096);
  sm_ring_begin(&r);
  sm_ring_offer_open(&r, 0);
  check(sm_ring_commit(&r, 1, 0, 0, 1) == 0, "a frame is published");
  uint64_t end = atomic_load(&r.shm->head);
  check(sm_ring_wait_released(&r, end, 5, NULL) == SM_EAGAIN, "nobody reads it in time");
  check(sm_ring_offer_move(&r, 0, SM_OFFER_OPEN, SM_OFFER_WITHDRAWN), "the offer is withdrawn");
  check(!sm_ring_offer_move(&reader, 0, SM_OFFER_OPEN, SM_OFFER_TAKEN), "and cannot be taken");
  sm_ring_begin(&r);
  sm_ring_offer_open(&r, end);
  check(!sm_ring_offer_move(&reader, 0, SM_OFFER_OPEN, SM_OFFER_TAKEN), "nor when the next one is open");
  check(sm_ring_offer_move(&reader, end, SM_OFFER_OPEN, SM_OFFER_TAKEN), "which can");
  check(!sm_ring_offer_move(&r, end, SM_OFFER_OPEN, SM_OFFER_WITHDRAWN), "one that is taken is not withdrawn");
  sm_frame f;
  check(sm_ring_peek(&reader, &f) == 1, "the frame is there");
  sm_ring_release(&reader, &f);
  check(sm_ring_wait_released(&r, end, 0, NULL) == 0, "its release is seen");
  _Atomic uint32_t failed = 1;
  sm_watch w = {&failed, NULL, NULL};
  check(sm_ring_wait_released(&r, end + 8, 60000, &w) == SM_EFAILED, "a failed group ends the wait");
}

int main(void) {
  test_table();
  test_file();
  test_process();
  test_offer();
  return report();
}
