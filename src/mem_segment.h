/* mem_segment.h: segments, the unit of shared memory.
 *
 * A segment is one anonymous file (memfd on Linux, shm_open unlinked at once elsewhere) mapped
 * MAP_SHARED: a header page, then `nbytes` of payload, zero-filled, backed when it is made.
 *
 * Ownership: a sm_segment is process-local and counted by refs; the last unref unmaps and closes. A
 * forked child inherits the table of segments and its counts as they stood; what it unrefs is its own
 * mapping only. The memory goes back to the system with the last mapping of the last process.
 */
#ifndef MEM_SEGMENT_H
#define MEM_SEGMENT_H

#include <sys/types.h>

#include "sm_base.h"

/* What stands at offset 0 of every segment. */
typedef struct {
  char magic[8];     /*  0 "SHRDMEM" */
  uint32_t version;  /*  8 */
  uint32_t header;   /* 12 bytes before the payload */
  uint64_t id[2];    /* 16 random */
  uint64_t nbytes;   /* 32 payload */
} sm_segment_shm;

typedef struct sm_segment {
  uint8_t *payload;  /* first byte after the header page */
  size_t nbytes;     /* payload bytes */
  size_t mapped;     /* bytes of the mapping, header included */
  int fd;            /* -1 where none is kept */
  pid_t creator;     /* process that made the memory; of a received one: the process that received it */
  bool received;     /* came in by descriptor */
  uint64_t id[2];
  int64_t refs;
  struct sm_segment *next; /* table of this process */
} sm_segment;

/* Make a segment with refs == 1. SM_ENOROOM where the machine cannot back it. */
int sm_segment_new(size_t nbytes, sm_segment **out);

/* Take a descriptor from another process: checks that it is a segment of ours (size sealed, header true), maps it, refs == 1.
 * If a segment with that id is already mapped here, that one is given with one more ref and fd is closed.
 * On success fd belongs to the segment; on failure it stays the caller's. SM_EFORMAT if it is no segment. */
int sm_segment_adopt(int fd, sm_segment **out);

/* The mapped segment with this id, or NULL; adds no ref. */
sm_segment *sm_segment_find(const uint64_t id[2]);

void sm_segment_ref(sm_segment *s);
void sm_segment_unref(sm_segment *s);

/* Live segments and their payload bytes in this process. */
void sm_segment_usage(size_t *count, size_t *nbytes);

/* MAP_SHARED memory without a descriptor, zero-filled and populated, for the control structures that
 * workers inherit by the fork. */
int sm_anon_map(size_t nbytes, void **out);
void sm_anon_unmap(void *p, size_t nbytes);

#endif
