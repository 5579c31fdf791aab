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
  SM_FILEMAP_CREATE, /* "w+" made, or filled with zeros to the size asked for, once that can be had */
  SM_FILEMAP_PRIVATE /* "c"  writes stay in this process's memory */
} sm_filemap_mode;

typedef struct {
  int fd;
  uint64_t size;
  bool made; /* by this call: sm_filemap_drop() removes it */
} sm_filemap_file;

/* Open path, a regular file. Never blocks. -EISDIR for a folder, SM_EFORMAT for any other thing that is no regular file. */
int sm_filemap_open(const char *path, sm_filemap_mode mode, sm_filemap_file *f);

/* Map nbytes from offset, refs == 1; the descriptor then belongs to the segment. SM_FILEMAP_CREATE has the room made and mapped
 * first, and then the old contents wiped; other modes give SM_ESHORT if the file ends before. On failure the file is as it was. */
int sm_filemap_map(const sm_filemap_file *f, sm_filemap_mode mode, uint64_t offset, size_t nbytes, sm_segment **out);

/* Remember where the file lies, so that handles lead other processes there; not in mode SM_FILEMAP_PRIVATE, whose memory is this process's.
 */
void sm_filemap_name(sm_segment *s, const char *path);

/* Close a file that could not be mapped, and remove it if it was made. */
void sm_filemap_drop(const sm_filemap_file *f, const char *path);

/* Why an access to a mapped file met SIGBUS: SM_ESHORT where the file ends before, -ENOSPC where its disk has no room for what
 * it leaves out, else -EIO. */
int sm_filemap_why(const sm_segment *s);

/* Write changed pages to the file and wait until they are there. */
int sm_filemap_flush(sm_segment *s);

#endif
