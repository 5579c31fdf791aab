/* mem_descriptor.h: what a serialized handle says about its memory.
 *
 * Bytes from outside: sm_descriptor_read() checks all that can be checked without the memory; what is left (does the
 * segment exist, do offset and size lie inside it, is the block still that block) is checked on attaching.
 */
#ifndef MEM_DESCRIPTOR_H
#define MEM_DESCRIPTOR_H

#include "mem_arena.h"

#define SM_DESCRIPTOR_NDIM 64

typedef struct {
  char magic[8];       /*  0 "SHRDARR" */
  uint32_t version;    /*  8 */
  uint32_t size;       /* 12 bytes in all: this struct and ndim extents */
  uint64_t check;      /* 16 over all other bytes */
  uint64_t segment[2]; /* 24 its id */
  uint64_t block;      /* 40 id of the block, 0 for a segment of its own */
  uint64_t offset;     /* 48 of the first byte in the segment's payload */
  uint64_t started;    /* 56 start of the process, in the system's ticks; 0 if not known */
  int32_t pid;         /* 64 of the process whose descriptor fd is */
  int32_t fd;          /* 68 */
  uint32_t itemsize;   /* 72 */
  uint8_t code;        /* 76 dtype */
  uint8_t raw;         /* 77 */
  uint8_t vector;      /* 78 */
  uint8_t readonly;    /* 79 */
  uint32_t ndim;       /* 80 */
  uint32_t kind;       /* 84 sm_segment_kind */
} sm_descriptor;       /* then int64_t dim[ndim]; of a named file its start and nbytes, and its path with zeros up to a multiple of 8 */

/* The part of a file that a segment maps. */
typedef struct {
  uint64_t start, nbytes;
  const char *path; /* NULL for none */
} sm_descriptor_file;

/* Bytes of a descriptor of ndim extents; path: of a file, or NULL. */
size_t sm_descriptor_size(int ndim, const char *path);

/* Complete *d (magic, version, size, pid, started, check; the caller has set the rest) and write it,
 * the extents and the file to buf of sm_descriptor_size(d->ndim, file->path) bytes. */
void sm_descriptor_write(sm_descriptor *d, const int64_t *dim, const sm_descriptor_file *file, void *buf);

/* Put the check of n bytes into them, where they are enough for the struct, and give it: the last step of writing. */
uint64_t sm_descriptor_seal(void *buf, size_t n);

/* Read n bytes into *d, dim[SM_DESCRIPTOR_NDIM] and *file, whose path lies in buf; *nbytes: the array's size. SM_EFORMAT if they are no
 * descriptor. */
int sm_descriptor_read(const void *buf, size_t n, sm_descriptor *d, int64_t *dim, sm_descriptor_file *file, size_t *nbytes);

/* Find or open the memory that *d and *file speak of, nbytes of it: *seg with one ref, or *block with one ref and *seg
 * without one. On failure *reason says why, in words for the user. */
int sm_descriptor_attach(const sm_descriptor *d, const sm_descriptor_file *file, size_t nbytes, sm_segment **seg, sm_small **block,
                         const char **reason);

#endif
