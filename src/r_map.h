/* r_map.h: one map: its control memory, its team, and what the owner knows of its items.
 *
 * Control memory (MAP_SHARED, inherited by the fork), each part on its own cache line:
 *   r_control_shm | queue | turnstile | np desks of the template | np rings
 * Everything else in r_map is process-local. The external pointer's protected slot holds the list of results, which outlives a drive
 * that times out. A DEAD worker of a map that goes on (retries, collect) has a successor in the same rank, forked by the
 * template (r_team_template.h), which is the team's member np. In a served map (r_server.h) the template is a process that the owner
 * has not forked, and forks the first workers, too; the control memory then is a segment, and lies elsewhere in each of them.
 */
#ifndef R_MAP_H
#define R_MAP_H

#define R_NO_REMAP
#include <Rinternals.h>

#include "mem_segment.h"
#include "r_team.h"
#include "r_team_console.h"
#include "sync_turnstile.h"
#include "task_queue.h"
#include "task_trace.h"

typedef struct {
  r_team_shm team;
  sm_lock_shm critical;
  sm_lock_shm ordered; /* maps with successors: an item that runs again may have had its turn */
} r_control_shm;

#define R_MAP_MAGIC 0x534D4D50u

/* What this process holds of the map's sections; see r_map_sync.c. */
typedef struct {
  pid_t pid;
  bool critical, ordered;
  int64_t through;                  /* item that has used its turn, -1 */
  uint64_t critical_ns, ordered_ns; /* since when they are held; 0 unless traced */
} r_held;

typedef struct r_map {
  uint32_t magic;
  pid_t owner;
  int np; /* 0: everything runs in the owner */
  int64_t nitems;
  void *mem;
  bool served;   /* its workers are no forks of the owner's */
  size_t nbytes; /* used of it */
  size_t mapped;
  uint64_t spawned_ns; /* when its workers were; 0 before, and after their end */
  size_t reserve;      /* address space for each worker's heap */
  r_control_shm *ctl;
  sm_queue_shm *queue;
  sm_turnstile_shm *turn;
  r_team team;
  uint64_t ring_capacity;
  uint8_t *delivered;        /* owner: items that have a result or have failed */
  int64_t first_undelivered; /* owner: all items below have been delivered */
  int64_t done;              /* owner: items delivered */
  int retries;
  bool respawn;        /* a dead worker gets a successor, and results are published one by one; */
  bool from_owner;     /* the owner, whose state the map does not change, forks it itself: there is no template */
  SEXP main, jumped;   /* what its workers run; see ffi_map_spawn() */
  double timeout_s;    /* of an item; Inf for none */
  bool progress;       /* the owner's loop reports how far it is */
  sm_trace_shm *trace; /* a mapping of its own, or in a served map the team's second segment; NULL unless traced */
  size_t trace_nbytes;
  sm_trace_shm *trace_outer; /* what this process recorded for before this map ran in it */
  int trace_outer_rank;
  int64_t here_next;            /* maps without workers: the item after the one that began last, */
  uint64_t here_ns;             /* when that began; 0 once it has returned, */
  r_console_reader here_reader; /* and who read the console before */
  r_held held;
  sm_lock_shm *critical, *ordered; /* of its sections: ctl's, or those of the map of which this one is a part */
  int64_t turn_item;               /* what item 0 and rank 0 are to the turnstile: */
  int turn_slot;                   /* more than 0 where that is the one of that map */
  bool spread;                     /* it is a part of a map that is spread over processes, */
  bool apart;                      /* on another machine than the rest: it has no sections */
} r_map;

/* The map behind its external pointer; raises an argument error for anything else. */
r_map *r_map_get(SEXP ptr);

/* Give back its control memory, the last step of its end. */
void r_map_unmap(r_map *m);

/* Lay out its control memory for np workers and nitems items. 0 or a negative code. */
int r_map_lay_out(r_map *m);

/* The same over memory that its owner, another process, has laid out: the team's segment. */
int r_map_lay_over(r_map *m);

#endif
