/* chan_move.h: large vectors that travel beside a frame's bytes.
 *
 * The frame holds a sm_move_head_shm, then the serialized rest of the value. The head names a table of
 * sm_moved_shm, one a vector, and the table names the pieces of memory that are the vector's contents.
 * Both are addressed in the writer's own memory, from which the reader copies while the writer waits (one copy, no file, no fresh page
 * but the reader's), or, where the system does not allow that, by offsets in a memory file.
 *
 * Everything here is input to the reader: a wrong address is an error of the read, never a fault.
 */
#ifndef CHAN_MOVE_H
#define CHAN_MOVE_H

#include <sys/types.h>

#include "sm_base.h"

typedef struct {
  uint64_t table; /* 0 where the table begins */
  uint64_t count; /* 8 entries */
} sm_move_head_shm;

#define SM_MOVE_PIECES 3

typedef struct {
  uint32_t type;                   /*  0 the glue's */
  uint32_t reserved;               /* 4 */
  int64_t length;                  /*  8 elements */
  uint64_t at[SM_MOVE_PIECES];     /* 16 */
  uint64_t nbytes[SM_MOVE_PIECES]; /* 40 0: no such piece */
} sm_moved_shm;

_Static_assert(sizeof(sm_move_head_shm) == 16, "sm_move_head_shm layout");
_Static_assert(sizeof(sm_moved_shm) == 64, "sm_moved_shm layout");

/* ---- writer: the table of one frame. Zeroed is empty. ---- */
typedef struct {
  sm_moved_shm *entry;
  size_t count, size;
  void **owned; /* blocks that live as long as the table */
  size_t nowned, owned_size;
  uint64_t nbytes; /* of all pieces */
} sm_move_table;

/* A new zeroed entry, its index in *index. -ENOMEM. */
int sm_move_add(sm_move_table *t, size_t *index);
/* The table frees p (from malloc) from now on, also if this gives -ENOMEM. */
int sm_move_own(sm_move_table *t, void *p);
void sm_move_clear(sm_move_table *t);

/* Write all pieces into a new memory file and the table behind them; *fd: the file's descriptor, which is the caller's; *head: the head
 * for it. SM_ENOROOM. `t` itself is left as it was. */
int sm_move_to_file(const sm_move_table *t, int *fd, sm_move_head_shm *head);

/* ---- reader ---- */
typedef struct {
  pid_t pid; /* read from this process if fd < 0 */
  int fd;
  uint64_t size; /* of the file */
} sm_move_source;

/* A source over a file that sm_move_to_file() made; SM_EFORMAT for any other. fd stays the caller's. */
int sm_move_open(int fd, sm_move_source *out);

/* Copy n bytes from `at`. SM_EFORMAT: not all of it is there; SM_EGONE: the writer has ended; another
 * code: the system does not allow it. Safe in any thread. */
int sm_move_read(const sm_move_source *s, uint64_t at, void *to, size_t n);

#endif
