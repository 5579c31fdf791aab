/* r_kernel_file.h: what reading and writing files have in common. */
#ifndef R_KERNEL_FILE_H
#define R_KERNEL_FILE_H

#include <sys/stat.h>

#include "r_kernel.h"

/* Raise sharedmem_file_error with the field `path`; of a negative code, or an interrupt or what memory lacks. */
void r_file_abort(const char *path, const char *why);
void r_file_abort_code(const char *path, int rc);

/* Open a regular file for reading, without blocking, into *fd, which the caller's clean-up closes; raises for anything else. */
void r_file_open(const char *path, int *fd, struct stat *st);

/* What backs the parts of a new bare array, with its segment as context; NULL where its memory is there. */
sm_back_fn r_file_backing(const r_array *a);

#endif
