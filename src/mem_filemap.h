/* mem_filemap.h: files mapped as segments.
 *
 * The segment's payload begins at the asked offset, at any alignment. The file is shared with everybody who
 * has it open: it may shrink at any time, so its bytes are touched only through mem_fault.h.
 */
#ifndef MEM_FILEMAP_H
#define MEM_FILEMAP_H

#include "mem_segment.h"

typedef enum {
  SM_FILEMAP_READ,   /* "r"  */
  SM_FILEMAP_UPDATE, /* "r+" */
  SM_FILEMAP_CREATE, /* "w+" made, or emptied, and filled with zeros to the size asked for */
  SM_FILEMAP_PRIVATE /* "c"  writes stay in this process's memory */
} sm_filemap_mode;

/* Open path, a regular file, into *fd, its bytes into *size (before SM_FILEMAP_CREATE's extension). Never blocks.
 * -EISDIR for a folder, SM_EFORMAT for any other thing that is no regular file. */
int sm_filemap_open(const char *path, sm_filemap_mode mode, int *fd, uint64_t *size);

/* Map nbytes from offset, refs == 1. SM_FILEMAP_CREATE extends the file to that first; else SM_ESHORT if it ends before.
 * On success fd belongs to the segment; on failure it stays the caller's. */
int sm_filemap_map(int fd, sm_filemap_mode mode, uint64_t offset, size_t nbytes, sm_segment **out);

/* Why an access to a mapped file met SIGBUS: SM_ESHORT where the file ends before, -ENOSPC where its disk has no room for what
 * it leaves out, else -EIO. */
int sm_filemap_why(const sm_segment *s);

/* Write changed pages to the file and wait until they are there. */
int sm_filemap_flush(sm_segment *s);

#endif
