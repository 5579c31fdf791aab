/* task_schedule.h: loops that the processes of a region share among themselves.
 *
 * Every process meets the same loops in the same order and numbers them 0, 1, …; loop k is kept in slot
 * k % SM_SCHEDULE_SLOTS, so that fast processes may be some loops ahead (nowait) of slow ones.
 *
 * Layout   sm_schedule_shm | sm_schedule_slot_shm[SM_SCHEDULE_SLOTS] | sm_schedule_rank_shm[slots][nproc] |
 *          uint32_t left[nproc]: 0, or one more than the loops that process had met when it left
 * Slot     free for loop k (turn == k, state EMPTY) -> SETUP by the first that comes -> READY with the plan;
 *          the last process to end the loop empties it and moves `turn` to k + SM_SCHEDULE_SLOTS.
 * Ordered  `low` of a process in a loop: no item below it is, or will be, this process's to run. Item i may
 *          enter its ordered section once every other process's low is at least i. Since items are claimed in
 *          rising order, one number a process replaces a mark for every item.
 * Death    this file does not notice deaths: the watcher of a dead process sets the failure flag, and no loop is finished after that.
 */
#ifndef TASK_SCHEDULE_H
#define TASK_SCHEDULE_H

#include "sync_futex.h"

#define SM_SCHEDULE_SLOTS 8

typedef enum { SM_SCHEDULE_STATIC = 0, SM_SCHEDULE_DYNAMIC, SM_SCHEDULE_GUIDED } sm_schedule_kind;

/* A loop. All processes must bring the same plan. */
typedef struct {
  int64_t n;       /* items, at most 2^53 */
  int64_t chunk;   /* items a claim (guided: at least); 0 for the default: even shares if static, else 1 */
  int32_t kind;    /* sm_schedule_kind */
  int32_t ordered; /* sm_schedule_order() may be called */
  uint64_t tag;    /* the caller's: a hash of whatever else must be the same */
} sm_schedule_plan;

typedef struct {
  _Atomic uint32_t turn;  /*  0 futex: the loop this slot is for */
  _Atomic uint32_t state; /*  4 futex: EMPTY, SETUP, READY */
  _Atomic uint32_t ended; /*  8 processes that are through */
  uint32_t pad;
  sm_schedule_plan plan; /* 16 */
  uint8_t line1[SM_CACHELINE - 48];
  _Atomic int64_t next;     /* 64 first item nobody has claimed */
  _Atomic uint32_t waiting; /* 72 processes that wait for their turn in an ordered loop */
  uint8_t line2[SM_CACHELINE - 12];
} sm_schedule_slot_shm;

typedef struct {
  _Atomic int64_t low;      /*  0 INT64_MAX: nothing more */
  _Atomic uint32_t word;    /*  8 futex */
  _Atomic uint32_t waiting; /* 12 sleeps on word, or is about to */
  uint8_t line[SM_CACHELINE - 16];
} sm_schedule_rank_shm;

typedef struct {
  int32_t nproc;
  int32_t pad;
  uint8_t line[SM_CACHELINE - 8];
} sm_schedule_shm;

_Static_assert(sizeof(sm_schedule_plan) == 32, "sm_schedule_plan layout");
_Static_assert(sizeof(sm_schedule_slot_shm) == 2 * SM_CACHELINE, "sm_schedule_slot_shm layout");
_Static_assert(sizeof(sm_schedule_rank_shm) == SM_CACHELINE, "sm_schedule_rank_shm layout");

/* The place of one process in the loops. Process-local. */
typedef struct {
  sm_schedule_shm *shm;
  int rank;
  uint32_t met;  /* loops begun: the number of the next one */
  uint32_t loop; /* the one being run */
  bool running;
  sm_schedule_slot_shm *slot;
  int64_t share; /* static: first item of the next chunk */
} sm_schedule;

/* The memory handed to init must be zero-filled. */
size_t sm_schedule_nbytes(int nproc);
void sm_schedule_init(sm_schedule_shm *s, int nproc);
void sm_schedule_open(sm_schedule *me, sm_schedule_shm *s, int rank);

/* Begin the next loop. 0; SM_EMISUSE where another process brought another plan, or a loop is being run;
 * SM_EGONE where the slot waits for a process that has left; SM_EFAILED, SM_EINTR as the watch says. May be
 * called again after SM_EINTR. */
int sm_schedule_begin(sm_schedule *me, const sm_schedule_plan *plan, const sm_watch *watch);

/* Items [*from, *to) are this process's: 1. Nothing is left for it: 0. */
int sm_schedule_claim(sm_schedule *me, int64_t *from, int64_t *to);

/* Ordered loops. order: wait until all items below `item`, which this process has claimed, have passed. pass: `item`
 * will not (again) be in its section; items of one process pass in rising order. */
int sm_schedule_order(sm_schedule *me, int64_t item, const sm_watch *watch);
void sm_schedule_pass(sm_schedule *me, int64_t item);

/* This process is through with the loop. */
void sm_schedule_end(sm_schedule *me);

/* This process meets no further loop; processes that wait for it in a loop get SM_EGONE. */
void sm_schedule_leave(sm_schedule *me);

/* Wake all processes that wait, for instance after a failure flag was set. */
void sm_schedule_wake_all(sm_schedule_shm *s);

#endif
