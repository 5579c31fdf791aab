/* queue.pml: a map's items from the queue to the owner: batches, thefts, publication, deaths, retries, time limits, ordered turns.
 *
 * One step here is one access of the C code to shared memory, or several of which only the last can be seen by others; above each
 * stands the function that it is a step of. A worker may be killed between any two steps. Waits that the code does in slices
 * (futex, poll) are guards here, since a sliced wait sees the condition sooner or later, whoever wakes it.
 *
 * Left out: seq of a range (without it a compare-and-swap succeeds more often, so the model allows more); the size of a batch,
 * which adapt() takes from clocks, is any from 1 to BATCH; a victim of a theft is any that has items; when an item is late is any time;
 * which ring the owner reads next is any. A failed item's frame goes the way of a result's.
 *
 * -DW=3 workers, -DN=4 items, -DDEATHS=2, -DTIMEOUTS=1, -DRETRIES=1, -DORDERED: items have ordered sections, all but item 1 (-DSECTIONS=a bit for each),
 * -DSTOP: on_error = "stop" without retries: results go in batches, and a death ends the map. -DEAGER: the owner reads each frame
 * at once, which it always may (what it knows matters to nobody before a death, and then it has read all). -DENDS: every item ends,
 * if processes are scheduled fairly. -DM_...: a mutation, which must be caught.
 */
#ifndef W
#define W 3
#endif
#ifndef N
#define N 4
#endif
#ifndef DEATHS
#define DEATHS 2
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 1
#endif
#ifndef RETRIES
#define RETRIES 1
#endif
#ifndef SECTIONS
#define SECTIONS (ALL & ~2) /* an item that runs again has one again, or none again */
#endif
#ifndef BATCH
#define BATCH 2
#endif
#ifndef ROOM
#define ROOM 2 /* frames that a ring holds */
#endif

#define NONE 15   /* no item, no slot, no victim */
#define FREE 15   /* the lock */
#define DEAD 14   /* its holder died */
#define OWNER 13
#define RUNS 0
#define DOOMED 1
#define RETURNED 2
#define ALL ((1 << N) - 1)
#define BIT(set, i) ((set >> (i)) & 1)

/* sm_queue_shm */
byte next = 0, lock = FREE;
bit single = 0, parked = 0;
byte move_slot = NONE, move_victim = NONE, move_lo = 0, move_hi = 0;
/* sm_queue_slot_shm; slots from W on are the parking places */
byte lo[2 * W] = 0, hi[2 * W] = 0, base[2 * W] = 0;
byte unsent[W] = 0, item[W] = NONE, how[W] = RUNS; /* item, how: the word `item` */
bit waiting[W] = 0;
/* sm_turnstile_shm, r_control_shm.ordered */
byte turn = 0, passed = 0, ordered = FREE;
bit used = 0;
/* sm_ring */
chan ring[W] = [ROOM] of { byte, byte }; /* first item, count */
bit closed[W] = 0;
/* the system: which workers run, and which are to be killed */
bit alive[W] = 0, killed[W] = 0;
byte deaths = 0, timeouts = 0;
/* the owner's */
bit running[W] = 1; /* R_MEMBER_RUNNING */
byte delivered = 0, attempts[N] = 0;
bit failed = 0, finished = 0;
/* ghosts: what no process reads */
byte published = 0, runs = 0, entered = 0, begun[N] = 0;
bit inside = 0;
bit hit = 0; /* a worker of a map with STOP has died */

/* ---- invariants (ARCHITECTURE.md, "What the queue keeps") ---- */
#define KEEP_ONE_RUNNER assert(!BIT(runs, i))
#define KEEP_FINISHED assert(!BIT(published, i) && !BIT(delivered, i))
#define KEEP_COUNTED assert(begun[i] <= attempts[i])
#define KEEP_ONCE(i) assert(!BIT(delivered, i))
#define KEEP_SLOT assert(first <= end && (at == NONE || (first <= at && at < end)))
#define KEEP_ORDER assert(BIT(entered, i) || (entered >> i) == 0)
#define KEEP_LATE assert(!alive[w] || (item[w] == late && how[w] != RETURNED))
#define KEEP_ALL assert(delivered == ALL)

/* ---- deaths ---- */

/* What any step of a worker may be replaced by: its end, by anybody's kill or by the owner's, which takes its time to arrive. */
#define MORTAL                                                                       \
  :: atomic {                                                                        \
    killed[me] || deaths < DEATHS ->                                                 \
    if                                                                               \
    :: killed[me] -> killed[me] = 0                                                  \
    :: !killed[me] -> deaths++; hit = 1                                              \
    fi;                                                                              \
    goto dying                                                                       \
  }
#define STEP(...) if :: __VA_ARGS__ MORTAL fi
/* The same between two steps of an atomic sequence: what is done under the queue's lock is seen by others after a death only. */
#define MAYDIE if :: skip :: me != OWNER && deaths < DEATHS -> deaths++; hit = 1; goto dying fi

/* ---- task_queue.c ---- */

/* set_batch() */
#define SET_BATCH(s, from, to)                                            \
  lo[s] = 0; hi[s] = 0; MAYDIE;                                           \
  item[s] = NONE; how[s] = RUNS; base[s] = from; MAYDIE;                  \
  unsent[s] = from; MAYDIE;                                               \
  hi[s] = (to) - (from); MAYDIE

/* complete_move() */
inline complete_move() {
  if
  :: move_slot != NONE ->
#ifndef M_NO_JOURNAL
    s = move_slot; has = (base[s] == move_lo && hi[s] > 0);
    if
    :: move_victim == NONE && !has && next == move_lo ->
      if
      :: hi[s] == 0 -> base[s] = move_lo; MAYDIE; unsent[s] = move_lo; MAYDIE
      :: else
      fi
    :: move_victim == NONE && !(!has && next == move_lo) ->
      if
      :: !has -> SET_BATCH(s, move_lo, move_hi)
      :: else
      fi;
      if
      :: next < move_hi -> next = move_hi; MAYDIE
      :: else
      fi
    :: move_victim != NONE ->
      if
      :: !has && base[move_victim] + hi[move_victim] == move_lo -> SET_BATCH(s, move_lo, move_hi)
      :: else
      fi
    fi;
#endif
    move_slot = NONE; s = 0; has = 0; MAYDIE
  :: else
  fi
}

/* begin_move(): no process looks at the other fields while move.slot is -1 */
#ifdef M_SLOT_FIRST
#define BEGIN_MOVE(victim, from, to) move_slot = me; MAYDIE; move_victim = victim; move_lo = from; move_hi = to; MAYDIE
#elif defined(M_NO_BEGIN)
#define BEGIN_MOVE(victim, from, to) skip
#else
#define BEGIN_MOVE(victim, from, to) move_victim = victim; move_lo = from; move_hi = to; MAYDIE; move_slot = me; MAYDIE
#endif

#define LEFT(k) (hi[k] > lo[k])

/* ENDS assumes that a thief takes an item of its booty before that is stolen from it. Without this two workers could hand one item to and
 * fro for ever, each asleep between its theft and its first compare-and-swap whenever the other one looks for work. */
#ifdef ENDS
bit fresh[2 * W] = 0;
#define FRESH(k) fresh[k]
#define SET_FRESH(k, to) fresh[k] = to
#else
#define FRESH(k) false
#define SET_FRESH(k, to) skip
#endif

/* steal(), the choice: the victim and its word are read in one step; that all slots are empty stays true under the lock */
inline pick(from, to) {
  v = NONE;
  for (k : from .. (to - 1)) {
    if
    :: k != me && LEFT(k) && !FRESH(k) ->
      if
      :: v = k
      :: v != NONE -> skip
      fi
    :: else
    fi
  }
  k = 0;
  if
  :: v != NONE ->
    a = lo[v]; b = hi[v];
    m = (v < W -> a + (b - a) / 2 : a)
  :: else
  fi
}

/* steal(): between its two steps the victim takes items */
inline steal(from, to) {
  atomic { pick(from, to) }
  do
  :: v == NONE -> break
  :: else ->
    atomic { BEGIN_MOVE(v, base[v] + m, base[v] + b) }
    if
    :: atomic {
        lo[v] == a && hi[v] == b -> hi[v] = m;
        a = base[v] + m; b = base[v] + b; v = NONE; found = 1; SET_FRESH(me, 1)
      }
      atomic { MAYDIE; SET_BATCH(me, a, b); move_slot = NONE; MAYDIE }
    :: else ->
#ifdef M_STALE_WORD
      move_slot = NONE
#else
      atomic { move_slot = NONE; MAYDIE; pick(from, to) }
#endif
    MORTAL
    fi
  od
}

/* sm_queue_refill(), with the robust mutex of sync_lock.c */
inline refill() {
  if
  :: atomic {
      lock == FREE || lock == DEAD;
      has = (lock == DEAD);
      lock = me;
      if
      :: has -> has = 0; complete_move()
      :: else
      fi
    }
  MORTAL
  fi;
  if
  :: parked -> steal(W, 2 * W)
  :: else
  fi;
  if
  :: found
  :: atomic {
      !found && next < N ->
      if
      :: m = 1
      :: !single && BATCH >= 2 && next + 2 <= N -> m = 2
      :: !single && BATCH >= 3 && next + 3 <= N -> m = 3
      fi;
      a = next;
      BEGIN_MOVE(NONE, a, a + m);
      SET_BATCH(me, a, a + m);
      next = a + m; MAYDIE;
      move_slot = NONE; found = 1
    }
  :: !found && next >= N -> steal(0, W)
  fi;
  STEP(atomic { lock = FREE; a = 0; b = 0; m = 0; v = NONE })
}

/* ---- sync_turnstile.c ---- */

#ifdef M_OWN_TURN
/* each process moves the turn over its own item alone */
#define MOVE_TURN(i) (turn == i)
#else
/* advance(): turn, mark and compare-and-swap in one, since marks stay and the turn only rises */
#define MOVE_TURN(i) (turn < N && BIT(passed, turn))
#endif

/* sm_turnstile_pass() */
inline pass() {
#ifndef ORDERED
  skip
#else
  STEP(passed = passed | (1 << i));
  if
  :: used ->
    do
    :: atomic { MOVE_TURN(i) -> turn++ }
    MORTAL
    :: else -> break
    od
  :: else
  fi
#endif
}

/* ---- r_map_worker.c, r_map_sync.c ---- */

/* ffi_ordered(), ordered_leave() */
inline ordered_section() {
  STEP(single = 1);
  STEP(waiting[me] = 1); /* sm_queue_pause() */
  STEP(used = 1);        /* sm_turnstile_enter() */
  do
  :: turn >= i -> break
#ifndef M_OWN_TURN
  :: atomic { turn < i && MOVE_TURN(i) -> turn++ }
#endif
  MORTAL
  od;
  STEP(waiting[me] = 0); /* sm_queue_resume() */
  if
  :: atomic { ordered == FREE || ordered == DEAD; ordered = me; assert(!inside); KEEP_ORDER; inside = 1; entered = entered | (1 << i) }
  MORTAL
  fi;
  STEP(atomic { inside = 0; ordered = FREE });
  pass()
}

/* The head of a ring moves over a complete frame. EAGER: the owner reads the frame in the same step, which it may always do. */
#ifdef EAGER
#define PUBLISH(i) KEEP_ONCE(i); published = published | (1 << i); delivered = delivered | (1 << i)
#else
#define PUBLISH(i) ring[me]!i,1; published = published | (1 << i)
#endif

/* flush_results() */
inline flush() {
#ifdef STOP
  if
  :: buffered > 0 ->
    STEP(atomic { ring[me]!first,buffered; published = published | (((1 << buffered) - 1) << first) });
    STEP(atomic { unsent[me] = first + buffered; buffered = 0; first = 0 }) /* results_sent() */
  :: else
  fi
#elif defined(M_PUBLISH_LATE)
  if
  :: last != NONE ->
    STEP(atomic { PUBLISH(last) });
    STEP(atomic { unsent[me] = last + 1; last = NONE })
  :: else
  fi
#else
  skip
#endif
}

proctype worker(byte me) {
  byte i = NONE, s = 0, v = NONE, a = 0, b = 0, m = 0, k = 0;
#ifdef STOP
  byte buffered = 0, first = 0;
#endif
#ifdef M_PUBLISH_LATE
  byte last = NONE;
#endif
  bit has = 0, found = 0;
end_unborn:
  alive[me];
  do
  /* sm_queue_take(): the compare-and-swap, then the word of the item, with which func begins in ffi_worker_loop() */
  :: atomic { LEFT(me) -> i = base[me] + lo[me]; lo[me]++; SET_FRESH(me, 0) }
    STEP(atomic {
      item[me] = i; how[me] = RUNS; waiting[me] = 0;
      KEEP_ONE_RUNNER; KEEP_FINISHED; KEEP_COUNTED;
      runs = runs | (1 << i); begun[i]++
    });
#ifdef M_PUBLISH_LATE
    flush();
#endif
#ifdef ORDERED
    if
    :: BIT(SECTIONS, i) -> ordered_section()
    :: else
    fi;
#endif
    /* sm_queue_return(), by return_item() */
    if
    :: atomic { how[me] != DOOMED -> how[me] = RETURNED; runs = runs & ~(1 << i) }
    :: atomic { how[me] == DOOMED -> killed[me] = 0; goto dying } /* sm_proc_end_self() */
    MORTAL
    fi;
    pass();
#ifdef STOP
    /* buffer_result(), leave_item() */
    STEP(atomic { if :: buffered == 0 -> first = i :: else fi; buffered++; unsent[me] = first });
    STEP(atomic { item[me] = NONE; how[me] = RUNS; i = NONE });
    if
    :: skip
    :: flush()
    fi
#elif defined(M_PUBLISH_LATE)
    STEP(atomic { last = i; item[me] = NONE; how[me] = RUNS; i = NONE })
#else
    /* publish_result(), sm_queue_leave() */
    STEP(atomic { PUBLISH(i) });
    STEP(unsent[me] = i + 1);
    STEP(atomic { item[me] = NONE; how[me] = RUNS; i = NONE })
#endif
  /* refill() of the worker */
  :: !LEFT(me) ->
    flush();
    refill();
    if
    :: found -> found = 0
    :: !found -> closed[me] = 1; break /* r_team_leave() */
    MORTAL
    fi
  MORTAL
  od;
dying:
  /* the kernel: the locks of the dead go to whoever locks next */
  atomic {
    if :: lock == me -> lock = DEAD :: else fi;
    if :: ordered == me -> ordered = DEAD; inside = 0 :: else fi;
    if :: i != NONE -> runs = runs & ~(1 << i) :: else fi;
    i = NONE; s = 0; v = NONE; a = 0; b = 0; m = 0; k = 0; has = 0; found = 0;
#ifdef STOP
    buffered = 0; first = 0;
#endif
#ifdef M_PUBLISH_LATE
    last = NONE;
#endif
    alive[me] = 0
  }
  goto end_unborn
}

/* ---- r_map_drive.c, r_map_deliver.c, r_map_supervise.c ---- */

/* sm_queue_inspect(), examine(): under the lock, where nobody else looks at this slot */
inline inspect() {
  atomic {
    lock == FREE || lock == DEAD;
    if
    :: lock == DEAD -> lock = OWNER; complete_move()
    :: else -> lock = OWNER
    fi;
    first = unsent[w]; end = base[w] + hi[w]; at = item[w];
#ifndef M_NOT_EMPTIED
    lo[w] = hi[w];
#endif
    lock = FREE;
#ifndef M_LEAVE_TORN
    if /* killed between the two stores of sm_queue_leave() */
    :: at != NONE && at < first -> at = NONE
    :: else
    fi;
#endif
#ifndef STOP
    KEEP_SLOT;
#endif
#ifndef M_UNCHECKED
    if
    :: at != NONE && BIT(delivered, at) -> first = at + 1; at = NONE
    :: else
    fi
#endif
  }
}

/* settle_death(): sm_turnstile_clear(), an attempt less, the failure */
inline count_attempt() {
  atomic {
    fails = 0;
    if
    :: at != NONE -> attempts[at]++; fails = (attempts[at] > RETRIES)
    :: else
    fi;
    if
    :: fails -> KEEP_ONCE(at); delivered = delivered | (1 << at)
    :: else
    fi
  }
#ifndef M_NOT_PASSED
#ifdef ORDERED
  if
  :: fails ->
    passed = passed | (1 << at);
    do
    :: atomic { used && MOVE_TURN(at) -> turn++ }
    :: else -> break
    od
  :: else
  fi
#endif
#endif
}

/* hand_on(), sm_queue_assign() and sm_queue_left() */
inline hand_on() {
  atomic {
    lock == FREE || lock == DEAD;
    if
    :: lock == DEAD -> lock = OWNER; complete_move()
    :: else -> lock = OWNER
    fi;
    to = (fails -> at : end); then = (fails -> at + 1 : end);
#ifndef M_UNCHECKED
    do
    :: first < to && BIT(delivered, first) -> first++
    :: else -> break
    od;
#endif
    if
    :: first > to -> first = to
    :: else
    fi;
    SET_FRESH(w, 0);
    item[w] = NONE; how[w] = RUNS; base[w] = first; unsent[w] = first; lo[w] = 0; hi[w] = to - first;
    if
    :: then < end ->
      s = W;
      do
      :: s < 2 * W && LEFT(s) -> s++
      :: else -> break
      od;
      assert(s < 2 * W); /* KEEP_PLACE */
      base[s] = then; lo[s] = 0; hi[s] = end - then; parked = 1; s = 0
    :: else
    fi;
    lock = FREE
  }
#ifdef M_FORGET_PARKED
  left = to - first;
#else
  left = to - first + N - next;
  for (s : 0 .. (2 * W - 1)) {
    if
    :: left = left + (LEFT(s) -> hi[s] - lo[s] : 0)
    fi
  }
#endif
  atomic {
    if
    :: left > 0 -> alive[w] = 1; killed[w] = 0 /* r_map_successor() */
    :: else -> running[w] = 0
    fi;
    first = 0; end = 0; to = 0; then = 0; at = NONE; fails = 0; left = 0; s = 0
  }
}

#ifdef M_PEEK_FIRST
/* r_team_has_died() the wrong way round: the ring is looked at before the process */
#define DIED(w) (running[w] && seen_empty == w && !alive[w] && !closed[w])
#else
#define DIED(w) (running[w] && !alive[w] && empty(ring[w]) && !closed[w])
#endif
#ifdef M_PEEK_BEFORE_CLOSED
#define ENDED(w) (running[w] && seen_empty == w && closed[w])
#else
#define ENDED(w) (running[w] && closed[w] && empty(ring[w]))
#endif
#define SOME(w) (running[w] && nempty(ring[w]))
#define LATE(w) (running[w] && timeouts < TIMEOUTS && item[w] != NONE && how[w] == RUNS)
#if W == 1
#define ANY(what) (what(0))
#define CHOOSE(what) w = 0
#elif W == 2
#define ANY(what) (what(0) || what(1))
#define CHOOSE(what) if :: what(0) -> w = 0 :: what(1) -> w = 1 fi
#else
#define ANY(what) (what(0) || what(1) || what(2))
#define CHOOSE(what) if :: what(0) -> w = 0 :: what(1) -> w = 1 :: what(2) -> w = 2 fi
#endif
#define EMPTY(w) (running[w] && empty(ring[w]))
#define RUNNING(w) (running[w])

active proctype owner() {
  byte me = OWNER, w = 0, first = 0, end = 0, to = 0, then = 0, at = NONE, late = NONE, s = 0, left = 0, count = 0;
  bit has = 0, fails = 0;
#if defined(M_PEEK_FIRST) || defined(M_PEEK_BEFORE_CLOSED)
  byte seen_empty = NONE;
#endif
  /* ffi_map_spawn() */
  atomic { for (w : 0 .. (W - 1)) { alive[w] = 1; run worker(w) } w = 0 }
  do
  :: !failed && ANY(RUNNING) ->
    if
    /* read_member(), r_deliver_results() */
#ifndef EAGER
    :: atomic {
        ANY(SOME) ->
        CHOOSE(SOME);
        ring[w]?first,count;
        do
        :: count > 0 -> KEEP_ONCE(first); delivered = delivered | (1 << first); first++; count--
        :: else -> break
        od;
        first = 0; w = 0
      }
#endif
    :: atomic { ANY(ENDED) -> CHOOSE(ENDED); running[w] = 0; w = 0 }
#if defined(M_PEEK_FIRST) || defined(M_PEEK_BEFORE_CLOSED)
    :: atomic { ANY(EMPTY) && seen_empty == NONE -> CHOOSE(EMPTY); seen_empty = w; w = 0 }
    :: atomic { seen_empty != NONE -> seen_empty = NONE }
#endif
    :: atomic { ANY(DIED) -> CHOOSE(DIED) }
#ifdef STOP
      failed = 1 /* WorkerException */
#else
      inspect();
      count_attempt();
      hand_on();
      w = 0
#endif
    /* r_supervise_timeouts(), sm_queue_late() */
    :: atomic { ANY(LATE) -> CHOOSE(LATE); late = item[w] }
      if
      :: waiting[w] /* the clock stands still */
      :: else ->
#ifdef M_NOT_DOOMED
        atomic { timeouts++; KEEP_LATE; killed[w] = alive[w]; hit = 1 }
#else
        if
        :: atomic { item[w] == late && how[w] == RUNS -> how[w] = DOOMED; timeouts++ }
          atomic { KEEP_LATE; killed[w] = alive[w]; hit = 1 } /* sm_proc_kill() */
        :: else
        fi
#endif
      fi;
      atomic { late = NONE; w = 0 }
    fi
  :: else -> break
  od;
  if
  :: failed -> assert(hit)
  :: else -> KEEP_ALL
  fi;
  /* r_map_end() */
  atomic { for (w : 0 .. (W - 1)) { killed[w] = alive[w] } w = 0 }
  finished = 1;
  if
  :: false -> dying: assert(false) /* the owner's death ends the map */
  :: true
  fi
}

/* Every item ends. */
#ifdef ENDS
ltl ends { <> (finished && (failed || delivered == ALL)) }
#endif
