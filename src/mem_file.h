/* mem_file.h: anonymous files (memfd on Linux, shm_open unlinked at once elsewhere), and small files of the system's. */
#ifndef MEM_FILE_H
#define MEM_FILE_H

#include "sm_base.h"

/* A descriptor (close-on-exec, size 0, can be sealed where the system has seals) or a negative code. */
int sm_anon_file(void);

/* A file's text, cut at size - 1 bytes; false if it cannot be read or is empty. */
bool sm_read_text(const char *path, char *buf, size_t size);

#endif
