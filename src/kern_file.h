/* kern_file.h: read and write arrays as plain binary files, in parallel.
 *
 * Files are handed in as open descriptors of regular files; sizes are checked by the caller.
 */
#ifndef KERN_FILE_H
#define KERN_FILE_H

#include <sys/stat.h>

#include "kern_threads.h"

/* What is read. */
typedef struct {
  int fd;
  int64_t offset; /* in the file */
  size_t nbytes;
  int swap;        /* bytes of a number whose order is turned round (1: none, 2, 4, 8) */
  sm_back_fn back; /* or NULL for memory that is there */
  void *ctx;
} sm_file_part;

/* Read the part into `to`. SM_ESHORT if the file ends first, SM_ECHANGED if its size or time of change is not after what it
 * was before, -errno, or the stop's code. */
int sm_file_read(const sm_file_part *part, void *to, const sm_work *work);

/* True if size and time of change are the same. */
bool sm_file_same(const struct stat *a, const struct stat *b);

/* Write nbytes to fd from `offset` on, in parallel. Pages of `from` that are no longer there give SM_ECHANGED. */
int sm_file_write(int fd, int64_t offset, const void *from, size_t nbytes, const sm_work *work);

#endif
