/* sync_turnstile.h: the turnstile behind ordered(): items go through one at a time, in order.
 *
 * Layout   sm_turnstile_shm | sm_turn_slot_shm[nslots] | uint8_t passed[nitems]
 * turn     the lowest item that has not passed. Any process may move the turn over passed items, so no death at any line can stop it:
 *          when a process dies between marking its item and moving the turn, the next process that looks moves the turn.
 * An item passes when its section has ended, or when the item ends without a section.
 */
#ifndef SYNC_TURNSTILE_H
#define SYNC_TURNSTILE_H

#include "sync_futex.h"

typedef struct {
  _Atomic uint32_t word; /* futex of the process in this slot */
  uint32_t pad;
  _Atomic int64_t item; /* the item for which that process waits, -1 for none */
  uint8_t line[SM_CACHELINE - 16];
} sm_turn_slot_shm;

typedef struct {
  _Atomic int64_t turn;
  int64_t nitems;
  int32_t nslots;
  _Atomic uint32_t used; /* a process has entered */
  _Atomic uint32_t nwaiting;
  uint32_t pad;
  uint8_t line[SM_CACHELINE - 32];
} sm_turnstile_shm;

_Static_assert(sizeof(sm_turnstile_shm) == SM_CACHELINE, "sm_turnstile_shm layout");
_Static_assert(sizeof(sm_turn_slot_shm) == SM_CACHELINE, "sm_turn_slot_shm layout");

/* Bytes for nitems and nslots. The memory handed to init must be zero-filled. */
size_t sm_turnstile_nbytes(int64_t nitems, int nslots);
void sm_turnstile_init(sm_turnstile_shm *t, int64_t nitems, int nslots);

/* Wait for the item's turn. An item that has passed before and runs again does not wait. 0, SM_EFAILED or SM_EINTR. */
int sm_turnstile_enter(sm_turnstile_shm *t, int slot, int64_t item, const sm_watch *watch);

/* Mark the item as passed: its section has ended, or will not come. Idempotent. */
void sm_turnstile_pass(sm_turnstile_shm *t, int64_t item);

/* Call this after the death of the slot's process: its wait is struck off. */
void sm_turnstile_clear(sm_turnstile_shm *t, int slot);

#endif
