/* mem_replace.h: a file written beside its name, and given the name once it is complete.
 *
 * Until sm_replace_commit() the old file is whole, and afterwards the new one. Where the system can, the new file has no name until
 * then, so that nothing is left of it however the process ends; it gets one for a moment only if it replaces another file.
 *
 * The name is followed through symbolic links, which stay. The new file has the permissions, and as far as the system allows
 * the owner, of the old one; those of a new name follow the umask. Other hard links keep the old file.
 */
#ifndef MEM_REPLACE_H
#define MEM_REPLACE_H

#include "sm_base.h"

#define SM_REPLACE_PATH 4096

typedef struct {
  int fd;      /* write here; -1: nothing is open */
  bool exists; /* there is an old file */
  mode_t mode; /* its permissions, owner and group */
  uid_t uid;
  gid_t gid;
  uint64_t links;               /* its names */
  uint64_t file[2];             /* its device and inode */
  char path[SM_REPLACE_PATH];   /* the name, links resolved */
  char beside[SM_REPLACE_PATH]; /* a temporary name that is to be removed; "" for none */
} sm_replace;

/* Open a new file for what `path` names. -EISDIR for a folder, SM_EFORMAT for any other thing that is no regular file, -EROFS for a file
 * that nobody may write, else -errno. On failure nothing is open. */
int sm_replace_open(const char *path, sm_replace *r);

/* Bring the new file to the disk and give it the name. On failure the old file stays and sm_replace_drop() is to follow. */
int sm_replace_commit(sm_replace *r);

/* Close, and remove what has not been committed. May be called again. */
void sm_replace_drop(sm_replace *r);

#endif
