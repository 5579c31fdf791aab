/* mem_private.c: see mem_private.h. */
#include "mem_private.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int sm_private_map(const sm_segment *s, const void *from, size_t n, sm_private *out, void **at) {
  if (s->fd < 0 || s->kind != SM_SEGMENT_MEMORY) return SM_EMISUSE;
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t offset = (size_t)((const uint8_t *)from - s->base), inner = offset % page;
  void *p = mmap(NULL, n + inner, PROT_READ | PROT_WRITE, MAP_PRIVATE, s->fd, (off_t)(offset - inner));
  if (p == MAP_FAILED) return -errno;
  out->base = p;
  out->mapped = n + inner;
  *at = (uint8_t *)p + inner;
  return 0;
}

void sm_private_unmap(sm_private *p) {
  if (p->base) munmap(p->base, p->mapped);
  p->base = NULL;
}
