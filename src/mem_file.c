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

bool sm_read_text(const char *path, char *buf, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  size_t have = 0;
  ssize_t got;
  while (have < size - 1 && (got = read(fd, buf + have, size - 1 - have)) > 0) have += (size_t)got;
  close(fd);
  buf[have] = 0;
  return have > 0;
}
