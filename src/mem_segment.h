/* mem_segment.h: segments, the unit of shared memory.
 *
 * A segment is one anonymous file (mem_file.h) mapped MAP_SHARED: a header page, then `nbytes` of payload, zero-filled, backed when it is
 * made. A file mapped by mem_filemap.h is a segment too, without the header.
 *
 * Ownership: a sm_segment is process-local and counted by refs; the last unref unmaps and closes. A
 * forked child inherits the table of segments and its counts as they stood; what it unrefs is its own
 * mapping only. The memory goes back to the system with the last mapping of the last process.
 */
#ifndef MEM_SEGMENT_H
#define MEM_SEGMENT_H

#include <stdatomic.h>
#include <sys/types.h>

#include "sm_base.h"

/* What stands at offset 0 of every segment. */
typedef struct {
  char magic[8];           /*  0 "SHRDMEM" */
  uint32_t version;        /*  8 */
  uint32_t header;         /* 12 bytes before the payload */
  uint64_t id[2];          /* 16 random */
  uint64_t nbytes;         /* 32 payload */
  _Atomic uint32_t pinned; /* 40 a process outside the family has attached (mem_arena.h) */
  uint32_t arena;          /* 44 1 if it holds blocks of mem_arena.h */
} sm_segment_shm;

typedef enum { SM_SEGMENT_MEMORY, SM_SEGMENT_FILE } sm_segment_kind;

typedef struct sm_segment {
  uint8_t *payload; /* first byte of the payload */
  size_t nbytes;    /* payload bytes */
  uint8_t *base;    /* the mapping */
  size_t mapped;    /* its bytes, header included */
  int fd;           /* its descriptor, parked (sm_fd_park()) */
  pid_t creator;    /* process that made the memory; of a received one: the process that received it */
  bool received;    /* came in by descriptor */
  bool opened;      /* and that descriptor was opened here: its record locks are this process's own */
  bool arena;       /* holds blocks of mem_arena.h, which counts them */
  bool readonly;    /* mapped without write permission */
  bool isolated;    /* what is written stays in this process (SM_FILEMAP_PRIVATE) */
  bool fragile;     /* its file may shrink: touched under the guard of mem_fault.h only */
  sm_segment_kind kind;
  uint64_t id[2];
  uint64_t file[2]; /* device and inode behind the mapping */
  uint64_t start;   /* of the payload in that file */
  char *path;       /* malloc'd: where other processes find that file, or NULL */
  int64_t refs;
  struct sm_segment *next, *prev; /* table of this process */
} sm_segment;

/* Asked between slices of long work: true to stop it. */
typedef bool (*sm_stop_fn)(void *ctx);

/* Make a segment with refs == 1. SM_ENOROOM where the machine cannot back it, -EFBIG past the limit of file sizes, -EMFILE
 * without a descriptor. */
int sm_segment_new(size_t nbytes, sm_segment **out);

/* The same, with `stop` (or NULL) asked about every 100 ms of work: SM_EINTR if it says so. */
int sm_segment_new_stoppable(size_t nbytes, sm_stop_fn stop, void *ctx, sm_segment **out);

/* The same, but not backed: each part must pass sm_segment_back() before it is touched. For who fills it at once and
 * has asked sm_limit_check(). */
int sm_segment_new_bare(size_t nbytes, sm_segment **out);

/* Back n payload bytes from offset on, and map them. Several threads may do so at a time. SM_ENOROOM where the
 * machine cannot. */
int sm_segment_back(sm_segment *s, size_t offset, size_t n);

/* Write n bytes at `offset` of the payload of such a segment through its file, which backs them in the same go: the
 * cheapest way to fill what one thread fills. SM_ENOROOM where the machine cannot back them. */
int sm_segment_put(sm_segment *s, size_t offset, const void *from, size_t n);

/* Take a descriptor from another process: checks that it is a segment of ours (an anonymous file, header true), maps it, refs == 1.
 * If a segment with that id is already mapped here, that one is given with one more ref and fd is closed.
 * On success fd belongs to the segment; on failure it stays the caller's. SM_EFORMAT if it is no segment. */
int sm_segment_adopt(int fd, sm_segment **out);

/* The same for the descriptor `fd` of process `pid`, opened through /proc: never blocks, opens nothing but
 * an anonymous file of this user, and gives it only if its id is `id`. SM_EGONE if there is none. */
int sm_segment_open(pid_t pid, int fd, const uint64_t id[2], sm_segment **out);

/* The mapped segment with this id, or NULL; adds no ref. */
sm_segment *sm_segment_find(const uint64_t id[2]);

/* Does what is written to a segment of this process reach the file with that device and inode? */
bool sm_segment_writes(const uint64_t file[2]);

/* A stretch of a segment's payload. */
typedef struct {
  const sm_segment *seg;
  const uint8_t *at;
  size_t nbytes;
} sm_stretch;

/* True if two stretches are in part the same bytes, whatever mappings they are seen by. */
bool sm_segment_overlap(sm_stretch a, sm_stretch b);

void sm_segment_ref(sm_segment *s);
void sm_segment_unref(sm_segment *s);

/* Map the pages of a new segment into this process, with several threads: for who fills it at once. Never fails. */
void sm_segment_touch(sm_segment *s);

/* Enter a mapping made elsewhere (mem_filemap.h) into the table: a copy of *from with refs == 1 and a new id. */
int sm_segment_enlist(const sm_segment *from, sm_segment **out);

/* Segments of this process and their bytes; blocks' segments and files not counted. */
void sm_segment_usage(size_t *count, size_t *nbytes);

/* Say that s holds blocks of mem_arena.h, which counts them itself. */
void sm_segment_mark_arena(sm_segment *s);

/* n random bytes of the system. */
int sm_segment_random(void *p, size_t n);

/* MAP_SHARED memory without a descriptor, zero-filled and populated, for the control structures that
 * workers inherit by the fork. */
int sm_anon_map(size_t nbytes, void **out);
/* The same, but pages come with their first touch: for what is sized generously and used in part. */
int sm_anon_map_lazy(size_t nbytes, void **out);
void sm_anon_unmap(void *p, size_t nbytes);

#endif
