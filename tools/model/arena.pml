/* arena.pml: one small block of mem_arena.c, given out again and again while processes that may use it come and go.
 *
 * The owner gives the block out, forks, frees it and sweeps; a child uses the block that it has inherited, forks a child of its own, names
 * the block in a result, and ends or is killed at any time; a process of another session attaches by an id that it once got from
 * a child. A generation is one life of the block: gen is its number and the id in its header; mem is the
 * generation for which the memory was last filled with zeros.
 *
 * Left out: chunks and classes (a block that is not free is simply not given out), blocks that were kept (never given out again).
 *
 * -DFORKS=2 forks of the owner, -DLIVES=3 generations. -DM_...: a mutation, which must be caught.
 */
#ifndef FORKS
#define FORKS 2
#endif
#ifndef LIVES
#define LIVES 3
#endif

mtype = { UNUSED, LIVE, FREE, QUARANTINED };
mtype state = UNUSED;
byte gen = 0, id = 0, mem = 0, birth = 0, death = 0;
/* mem_forks.c: forks watched; processes that hold the lock of each; the one that ran at the last look */
byte count = 0, holders[FORKS + 1] = 0, alive = 0;
byte forks = 0;
bit hold = 0;          /* sm_small_hold() */
bit flag = 0, pin = 0; /* sm_segment_shm.pinned; the record lock on the block's first byte */
byte sent = 0, sent_hold = 0; /* the generation that an unread result names; it was sent by a child of the time of the hold */
byte children = 0;
bit grandchild = 0; /* there was one: one is enough */
bit outside = 0; /* the other session's process has a handle */

/* ---- invariants (ARCHITECTURE.md, "What the queue keeps") ---- */
/* KEEP_MEMORY: who has a handle of generation g finds the memory of generation g */
#define KEEP_MEMORY(g) assert(mem == g)
/* KEEP_RESULT: a block that a child of this map names is there when the result is read */
#define KEEP_RESULT assert((state == LIVE || state == QUARANTINED) && id == sent)

/* ---- a child ---- */
proctype child(byte number; byte mine; bit of_hold) {
  do
  :: mine -> KEEP_MEMORY(mine)
  :: mine -> mine = 0 /* release_other() */
  :: atomic { mine && of_hold && !sent -> sent = mine; sent_hold = 1 }
  :: atomic { /* its own child inherits the handle and the description that has the lock */
      number && !grandchild ->
      children++;
      grandchild = 1;
#ifndef M_CHILD_ONLY
      holders[number]++;
#endif
      run child(number, mine, 0)
    }
  :: break /* it ends, or is killed */
  od;
  atomic {
#ifdef M_CHILD_ONLY
    /* the lock goes with the first process of the fork */
    if
    :: number && holders[number] -> holders[number]--
    :: else
    fi;
#else
    if
    :: number -> holders[number]--
    :: else
    fi;
#endif
    children--
  }
}

/* ---- a process of another session: sm_small_attach() ---- */
active proctype stranger() {
  byte g;
end:
  do
  :: atomic { id != 0 -> g = id } /* it read the id, and where the block lies */
#ifndef M_NO_PIN
    flag = 1;
    pin = 1;
#endif
    if
    :: id == g -> /* sm_small_valid() */
      outside = 1;
      do
      :: KEEP_MEMORY(g)
      :: break
      od;
      outside = 0
    :: else
    fi;
    pin = 0
  od
}

/* ---- the owner ---- */

/* sm_forks_alive(birth, death), with the answer of the last look */
inline forks_alive(from, upto) {
  yes = 0;
  if
  :: alive > from && alive <= upto -> yes = 1
  :: else ->
    for (n : 1 .. FORKS) {
      if
      :: !yes && n > from && n <= upto && holders[n] -> yes = 1; alive = n
      :: else
      fi
    }
    n = 0
  fi
}

/* retire() */
inline retire() {
  ok = 1;
  if
  :: flag ->
    if
    :: pin -> ok = 0
    :: else
    fi
  :: else
  fi;
  if
  :: ok ->
    id = 0;
#ifndef M_NO_SECOND_LOOK
    if
    :: flag ->
      if
      :: pin -> ok = 0; id = gen
      :: else
      fi
    :: else
    fi
#endif
  :: else
  fi
}

/* reusable(), and what release_owned() or sweep() make of it */
inline free_or_wait() {
  ok = 0;
  atomic {
#ifdef M_NO_WINDOW
    yes = 0
#elif defined(M_DEATH_SHORT)
    forks_alive(birth, (death > 0 -> death - 1 : 0))
#else
    forks_alive(birth, death)
#endif
  }
  if
#ifdef M_NO_HOLD
  :: !yes -> retire()
  :: else
#else
  :: !yes && !(hold && death > birth) -> retire()
  :: else
#endif
  fi;
  atomic { state = (ok -> FREE : QUARANTINED); yes = 0; ok = 0 }
}

active proctype owner() {
  byte n = 0;
  bit yes = 0, ok = 0;
  do
  /* sm_small_new() */
  :: (state == UNUSED || state == FREE) && gen < LIVES ->
    mem = gen + 1;
    atomic { gen++; birth = count; id = gen; state = LIVE }
  /* release_owned() */
  :: state == LIVE ->
    death = count;
    free_or_wait()
  /* sweep() */
  :: state == QUARANTINED -> alive = 0; free_or_wait()
  /* a map begins */
  :: !hold && !sent -> hold = 1
  /* before_fork() to after_fork_child(): a fork without live blocks is not watched */
  :: atomic {
      forks < FORKS ->
      forks++; children++;
      if
      :: state == LIVE -> count++; holders[count] = 1; run child(count, gen, hold)
      :: else -> run child(0, 0, hold)
      fi
    }
  /* a result that names the block: known_handle(), attach_known() */
  :: atomic {
      sent ->
      if
      :: hold && sent_hold -> KEEP_RESULT
      :: else
      fi;
      if
      :: state == QUARANTINED && id == sent -> state = LIVE
      :: else
      fi;
      sent = 0; sent_hold = 0
    }
  /* a map ends once its children have, and all that they sent has been read */
  :: hold && !sent && children == 0 -> hold = 0
  /* nothing more is given out; the block is freed for good */
  :: gen == LIVES && state == FREE && forks == FORKS -> break
  od
}

/* A freed block is given out again: once nobody else is left, it does not wait in quarantine for ever. */
#ifdef ENDS
ltl freed { [] ((state == QUARANTINED && children == 0 && !hold && forks == FORKS) -> <> (state != QUARANTINED || hold || outside || pin)) }
#endif
