/* mem_file.h: an empty anonymous file: memfd on Linux, shm_open unlinked at once elsewhere. */
#ifndef MEM_FILE_H
#define MEM_FILE_H

#include "sm_base.h"

/* A descriptor (close-on-exec, size 0, can be sealed where the system has seals) or a negative code. */
int sm_anon_file(void);

#endif
