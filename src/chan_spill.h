/* chan_spill.h: a byte stream of any size in an anonymous file, for what does not fit into a ring.
 *
 * Written with write(): fresh pages cost several times less that way than through a fresh mapping.
 * The descriptor then travels over the socket, and the reader maps the file.
 */
#ifndef CHAN_SPILL_H
#define CHAN_SPILL_H

#include "sm_base.h"

typedef struct {
  int fd;          /* -1 when closed */
  uint64_t nbytes; /* written, staged bytes included */
  uint8_t *stage;  /* SM_SPILL_STAGE bytes */
  size_t staged;
} sm_spill;

#define SM_SPILL_STAGE ((size_t)256 * 1024)

/* Writer. close may be called at any time, also twice, also after a failed open. finish: everything
 * is in the file and its size can no longer shrink; fd stays open until close. */
int sm_spill_open(sm_spill *s);
int sm_spill_write(sm_spill *s, const void *p, size_t n);
int sm_spill_finish(sm_spill *s);
void sm_spill_close(sm_spill *s);

/* n bytes at p into fd, through short writes and signals. SM_ENOROOM. */
int sm_write_all(int fd, const uint8_t *p, size_t n);

/* Reader: map nbytes of fd for reading. SM_EFORMAT if it is no sealed file of that size. fd stays the caller's. */
int sm_spill_map(int fd, uint64_t nbytes, const uint8_t **out);
void sm_spill_unmap(const uint8_t *p, uint64_t nbytes);

#endif
