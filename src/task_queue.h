/* task_queue.h: which item next. Workers take items themselves; nothing is sent to them.
 *
 * Layout   sm_queue_shm | sm_queue_slot_shm[2 * nslots]
 * next     first item that nobody has taken; moved under the queue's robust lock, a batch at a time
 * slot     a worker's batch [lo, hi): the owner takes from the low end by one compare-and-swap an item,
 *          without the lock; a worker that finds nothing left takes the upper half of another's batch,
 *          under the lock. So every worker goes through its items in rising order, and the lowest
 *          unfinished item is always the next or the running one of some slot: ordered() cannot deadlock.
 * unsent   first item of the batch whose result has not been published
 * item     the state of the worker, one word that worker and owner change by compare-and-swap:
 *            -1                    between items
 *            item << 2             the item runs
 *            item << 2 | DOOMED    the owner has found the item late and kills its worker, which begins no other item
 *            item << 2 | RETURNED  the item is over, its result is on its way
 *          Either RETURNED or DOOMED comes first, so a kill never meets another item.
 * clock    a running item's time is now - since_ns; while waiting_ns is set the clock stands still there
 *
 * parked   np more slots without a worker stand behind the np slots: they hold the rest of a batch after an item of it failed; refill
 *          looks there first
 *
 * Deaths   a slot outlives its worker: its successor has to do [unsent, hi). A worker killed under the lock leaves a journal of the one
 *          move that it was making; the next process to lock completes the move.
 */
#ifndef TASK_QUEUE_H
#define TASK_QUEUE_H

#include "sync_lock.h"

typedef struct {
  _Atomic uint64_t range;         /*  0 seq:16 | lo:24 | hi:24, counted from base */
  _Atomic int64_t base;           /*  8 changes only while the range is empty */
  _Atomic int64_t item;           /* 16 see above */
  _Atomic int64_t unsent;         /* 24 */
  _Atomic uint64_t since_ns;      /* 32 when the running item began */
  _Atomic uint32_t suppressed[2]; /* 40 warnings and messages over the limit: the glue's */
  _Atomic uint64_t waiting_ns;    /* 48 since when the item waits for others; 0 while it does not */
  uint64_t pad;                   /* 56 */
} sm_queue_slot_shm;

typedef struct {
  _Atomic int64_t next;    /* 0 */
  int64_t nitems;          /* 8 */
  int32_t nslots;          /* 16 */
  _Atomic uint32_t stop;   /* 20 no further item starts */
  _Atomic uint32_t single; /* 24 batches of one from now on */
  _Atomic uint32_t parked; /* 28 something was parked */
  struct {                 /* 32 journal of the move under way; slot -1 when there is none */
    _Atomic int32_t slot;
    _Atomic int32_t victim;
    _Atomic int64_t lo, hi;
  } move;
  uint64_t pad2;    /* 56 */
  sm_lock_shm lock; /* 64 */
} sm_queue_shm;

_Static_assert(sizeof(sm_queue_slot_shm) == 64, "sm_queue_slot_shm layout");
_Static_assert(offsetof(sm_queue_shm, lock) == 64, "sm_queue_shm layout");

#define SM_BATCH_MAX ((int64_t)1 << 22)

/* The pace of the items, as one worker knows it. */
typedef struct {
  int64_t wanted; /* size of the next batch */
  int64_t got;    /* items of the last batch */
  uint64_t began_ns;
} sm_pace;

size_t sm_queue_nbytes(int nslots);
int sm_queue_init(sm_queue_shm *q, int64_t nitems, int nslots);
sm_queue_slot_shm *sm_queue_slot(sm_queue_shm *q, int slot);

/* The next item of this slot's batch, which runs from now_ns on, or -1 when it is used up or the queue has been stopped. */
int64_t sm_queue_take(sm_queue_shm *q, int slot, uint64_t now_ns);

/* Worker: the running item has returned. False where the owner has found it late: the worker has to end. */
bool sm_queue_return(sm_queue_slot_shm *s);

/* Worker: results and failures are published up to and without item `unsent`. */
void sm_queue_leave(sm_queue_slot_shm *s, int64_t unsent);

/* Worker: the running item waits for others from now on, or no longer. */
void sm_queue_pause(sm_queue_slot_shm *s);
void sm_queue_resume(sm_queue_slot_shm *s);

/* Owner: the item that the slot's worker runs, -1 for none; *returned (or NULL): that item is over. */
int64_t sm_queue_at(const sm_queue_slot_shm *s, bool *returned);

/* Owner: is the running item late? 0: the item *item is doomed now; else the milliseconds until an item may be late. */
int sm_queue_late(sm_queue_slot_shm *s, uint64_t limit_ns, int most_ms, int64_t *item);

/* Worker: take a new batch for a slot that is used up and all of whose results are published. now_ns: the clock. 1: there is a batch;
 * 0: no item is left, or the queue has been stopped. SM_EFAILED and SM_EINTR as the watch says. */
int sm_queue_refill(sm_queue_shm *q, int slot, sm_pace *pace, uint64_t now_ns, const sm_watch *watch);

/* No further item starts anywhere. */
void sm_queue_stop(sm_queue_shm *q);

/* Owner, after the death of the slot's worker and after its published results were read: complete the move that the worker left half
 * done, and give its batch. Items [*first, *hi) are unsent or not started; *running is the item that ran, or whose result was on its
 * way (-1 for none). The batch is the owner's from then on: no worker steals from it. */
int sm_queue_inspect(sm_queue_shm *q, int slot, int64_t *first, int64_t *hi, int64_t *running);

/* Give a slot without a living worker the batch [first, hi); park [then, end) (then == end: nothing).
 * SM_EAGAIN where all parking slots are taken: nothing was done. */
int sm_queue_assign(sm_queue_shm *q, int slot, int64_t first, int64_t hi, int64_t then, int64_t end);

/* Items that have not begun, roughly: other processes go on meanwhile. */
int64_t sm_queue_left(sm_queue_shm *q);

#endif
