/* mem_file.c: see mem_file.h. */
#define _GNU_SOURCE
#include "mem_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int sm_anon_file(void) {
#ifdef __linux__
  int fd = memfd_create("sharedmem", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  return fd < 0 ? -errno : fd;
#else
  char name[64];
  for (int i = 0; i < 16; i++) {
    snprintf(name, sizeof name, "/sm%ld.%llx", (long)getpid(), (unsigned long long)sm_clock_ns());
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd >= 0) {
      shm_unlink(name);
      fcntl(fd, F_SETFD, FD_CLOEXEC);
      return fd;
    }
    if (errno != EEXIST) break;
  }
  return -errno;
#endif
}
