/* r_team.h: processes that one process (the owner) has forked to work together: the workers of a map, the members of a region.
 *
 * Rank r is member[r]; member[n] is the template (r_team_template.h) where there is one, which sends no frames. A member is a forked
 * process, the channel by which it sends, and the streams to which it prints.
 *
 * States of a member, as the owner sees it: RUNNING -> DONE (it has closed its ring, and all frames have been read) or DEAD
 * (it ended without closing it). The ring decides, not the wait status.
 * A team is made in memory that outlives it; the owner alone spawns, reads, kills and reaps. A child inherits the record and the
 * descriptors of all teams of its parent, which it closes by one call.
 */
#ifndef R_TEAM_H
#define R_TEAM_H

#define R_NO_REMAP
#include <Rinternals.h>

#include <poll.h>

#include "proc_worker.h"
#include "r_here.h"
#include "mem_segment.h"
#include "r_team_output.h"
#include "r_wire_frame.h"

typedef enum { R_MEMBER_NONE = 0, R_MEMBER_RUNNING, R_MEMBER_DONE, R_MEMBER_DEAD } r_member_state;

typedef struct {
  sm_proc proc;
  r_channel chan;
  r_stream out[2];
  int state;          /* r_member_state */
  bool ended;         /* its pidfd, socket or parent has reported its end */
  bool quit;          /* it announced R's exit path */
  int quit_code;      /* the exit status that its q() was told; -1: none */
  bool remote;        /* a child of the template, not of the owner */
  int64_t doomed;     /* item for which it was killed, -1 */
  uint64_t forked_ns; /* the clock before its fork */
} r_member;

/* The start of a team's shared memory. */
typedef struct {
  _Atomic uint32_t failed;     /* 0, or 1 + the rank that failed first; every wait checks it */
  _Atomic uint32_t sleeping;   /* the owner sleeps in poll */
  _Atomic uint32_t all_forked; /* futex: the owner forks no further member */
  uint8_t pad[SM_CACHELINE - 12];
} r_team_shm;

_Static_assert(sizeof(r_team_shm) == SM_CACHELINE, "r_team_shm layout");

/* What a template (r_team_template.h) is asked for and answers, one a rank. */
typedef struct {
  _Atomic int32_t command; /* r_template_command, taken by the template */
  _Atomic int32_t pid;     /* of the member spawned; negative code if that failed */
  _Atomic int32_t status;  /* wait status once dead */
  _Atomic int32_t dead;
} r_desk_shm;

typedef struct r_team {
  void *of; /* the map, region or cluster whose team it is */
  pid_t owner;
  int n;
  r_member *member;       /* n + 1; NULL for a team of none */
  r_desk_shm *desks;      /* n; where there may be a template */
  sm_segment *seg, *more; /* behind its shared memory where its members are no forks of the owner's (r_server.h); else NULL */
  void (*run)(void *of, int rank, SEXP main, SEXP jumped); /* what a member does that a template has forked */
  r_output_mode output;
  r_team_shm *shm;
  uint64_t began_ns; /* the clock when it was made */
  int at, in_a_row;  /* the member whose frames are being read, and the number of frames read from it in a row */
  struct r_team *next;
  bool begun; /* owner: its first members have been forked */
} r_team;

/* ---- the owner's side ---- */

/* Make n members without processes, and enter the team into the list by which forks close its descriptors. 0 or a negative code. */
int r_team_open(r_team *t, void *of, int n, r_output_mode output);

/* The open team of what is behind an external pointer. Raises an argument error. */
r_team *r_team_get(SEXP ptr);

/* Bytes of n rings one after the other, each on cache lines of its own, and the rings in `mem`, whose headers are zeroed here. */
size_t r_team_align(size_t nbytes);
size_t r_team_rings_nbytes(int n, uint64_t capacity);
void r_team_set_rings(r_team *t, void *mem, uint64_t capacity, r_team_shm *shm);

/* Before the first fork: open the members' streams. After the last fork: close their write ends, unless the
 * owner is to fork successors (more), and let ending members go on. */
int r_team_begin_forks(r_team *t);
void r_team_end_forks(r_team *t, bool more);

/* Fork a rank. 0 in the owner: the member is RUNNING; 1 in the child: the descriptors of all other members are closed; or a negative
 * code. */
int r_team_spawn(r_team *t, int rank);

/* In a process that is to be member `rank`, whichever process has forked it: set its socket and its streams. */
void r_team_take_place(r_team *t, int rank, int sock);

/* Read the next complete frame of any running member, and release it. False where there is none; a member whose ring is closed
 * is DONE then. *value is not protected. Withdrawn frames and announcements of R's exit path are dealt with here. */
bool r_team_next_frame(r_team *t, int *rank, sm_frame *f, SEXP *value);

/* Sleep until a member sends, prints or ends, at most timeout_ms; then print what members have printed. May raise an R error (from a
 * sink). */
void r_team_sleep(r_team *t, int timeout_ms);
void r_team_relay_output(r_team *t, bool all);

int r_team_running(const r_team *t);

/* Others than members who speak to an owner while it waits (a fork server's workers that ask for values): their descriptors, and what is
 * done when they may have spoken. NULL where there are none. The room that has them sets it. */
typedef struct {
  int (*count)(void);
  void (*list)(struct pollfd *polls);
  void (*serve)(void);
} r_team_guests;
extern const r_team_guests *r_team_guest;

/* list(type, rank, value, item, pid) as R sees a frame or an event; item 0-based, -1: NA. */
SEXP r_team_frame(const r_team *t, const char *type, int rank, SEXP value, int64_t item);

/* Kill, reap, close. Where all members are DONE, a thread waits for their ends. Idempotent, never raises. */
void r_team_end(r_team *t);
/* The same, and free the members' records. */
void r_team_close(r_team *t);

/* ---- in a child ---- */

/* Forget all members of all teams, but member `keep` of `mine` (NULL for none). */
void r_team_forget_all(const r_team *mine, int keep);

/* Evaluate main(rank), or jumped() after a jump to top level, then end the process. `of` and `slot` go to r_here; `last` is called
 * before the end, however it comes. Does not return. */
typedef struct {
  const void *of;
  sm_queue_slot_shm *slot;
  bool awaited; /* the owner goes on with its own work when the team has ended */
  SEXP main, jumped;
  void (*last)(void);
} r_team_work;
void r_team_work_as(r_team *t, int rank, const r_team_work *w);

/* The watch of a member that sends although its team has failed: it ends the member when its parent has died. */
extern const sm_watch r_team_orphans;

/* End this member: flush its streams and close its ring, or with quit announce R's exit path instead. Does not return. */
void r_team_leave(bool quit);

#endif
