/* mem_replace.c: see mem_replace.h.
 *
 * Ownership: fd and the temporary name belong to the sm_replace until sm_replace_drop().
 * Fork and signals: none; the umask is not touched, for that would change it for other threads.
 * Errors: 0 or a negative code.
 */
#define _GNU_SOURCE
#include "mem_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MOST 40 /* as the kernel follows at most */

/* Length of the folder's part of a path, its slash included. */
static size_t folder_length(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Follow symbolic links in the last part of r->path, also to a name that does not exist. */
static int resolve(const char *path, sm_replace *r) {
  char target[SM_REPLACE_PATH];
  if (strlen(path) >= sizeof r->path) return -ENAMETOOLONG;
  strcpy(r->path, path);
  for (int i = 0; i <= LINKS_MOST; i++) {
    ssize_t n = readlink(r->path, target, sizeof target - 1);
    if (n < 0) return 0; /* no link: a file, or nothing */
    target[n] = 0;
    size_t folder = target[0] == '/' ? 0 : folder_length(r->path);
    if (folder + (size_t)n >= sizeof r->path) return -ENAMETOOLONG;
    memcpy(r->path + folder, target, (size_t)n + 1);
  }
  return -ELOOP;
}

/* What stands there now. */
static int look(sm_replace *r) {
  struct stat st;
  if (stat(r->path, &st) < 0) return errno == ENOENT ? 0 : -errno;
  if (S_ISDIR(st.st_mode)) return -EISDIR;
  if (!S_ISREG(st.st_mode)) return SM_EFORMAT;
  if ((st.st_mode & 0222) == 0 || access(r->path, W_OK) < 0) return -EROFS;
  r->exists = true;
  r->mode = st.st_mode & 07777;
  r->uid = st.st_uid;
  r->gid = st.st_gid;
  r->links = (uint64_t)st.st_nlink;
  r->file[0] = (uint64_t)st.st_dev;
  r->file[1] = (uint64_t)st.st_ino;
  return 0;
}

/* A name in the folder that nothing has; the next one at each call. */
static int name_beside(sm_replace *r) {
  static unsigned counter = 0;
  size_t folder = folder_length(r->path);
  int n = snprintf(r->beside, sizeof r->beside, "%.*s.sm%ld-%llx-%u", (int)folder, r->path, (long)getpid(),
                   (unsigned long long)sm_clock_ns(), counter++);
  return n < 0 || (size_t)n >= sizeof r->beside ? -ENAMETOOLONG : 0;
}

static int open_named(sm_replace *r) {
  for (int i = 0; i < 16; i++) {
    int rc = name_beside(r);
    if (rc < 0) return rc;
    r->fd = open(r->beside, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (r->fd >= 0) return 0;
    if (errno != EEXIST) break;
  }
  r->beside[0] = 0;
  return -errno;
}

static int open_unnamed(sm_replace *r) {
#ifdef O_TMPFILE
  char folder[SM_REPLACE_PATH];
  size_t n = folder_length(r->path);
  snprintf(folder, sizeof folder, "%.*s", n ? (int)n : 1, n ? r->path : ".");
  r->fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
#endif
  return r->fd;
}

int sm_replace_open(const char *path, sm_replace *r) {
  memset(r, 0, sizeof *r);
  r->fd = -1;
  int rc = resolve(path, r);
  if (rc == 0) rc = look(r);
  if (rc < 0) return rc;
  return open_unnamed(r) >= 0 ? 0 : open_named(r);
}

/* Give the unnamed file a name that nothing has yet. */
static int link_as(const sm_replace *r, const char *name) {
#ifdef __linux__
  char self[40];
  snprintf(self, sizeof self, "/proc/self/fd/%d", r->fd);
  return linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
#else
  (void)r, (void)name;
  return -ENOSYS;
#endif
}

static int take_name(sm_replace *r) {
  if (!r->beside[0]) {
    int rc = r->exists ? -EEXIST : link_as(r, r->path);
    if (rc != -EEXIST) return rc;
    rc = name_beside(r);
    if (rc == 0) rc = link_as(r, r->beside);
    if (rc < 0) {
      r->beside[0] = 0;
      return rc;
    }
  }
  if (rename(r->beside, r->path) < 0) return -errno;
  r->beside[0] = 0;
  return 0;
}

int sm_replace_commit(sm_replace *r) {
  if (r->exists) {
    /* the owner first, for changing it takes permissions away; who may not give files away keeps this one */
    int given = r->uid == geteuid() && r->gid == getegid() ? 0 : fchown(r->fd, r->uid, r->gid);
    if (given < 0) given = fchown(r->fd, (uid_t)-1, r->gid);
    if (fchmod(r->fd, given < 0 ? r->mode & 0777 : r->mode) < 0) return -errno;
  }
  if (fsync(r->fd) < 0 && errno != EINVAL) return -errno;
  int rc = take_name(r), fd = r->fd;
  if (rc < 0) return rc;
  r->fd = -1;
  return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

void sm_replace_drop(sm_replace *r) {
  if (r->fd >= 0) close(r->fd);
  r->fd = -1;
  if (r->beside[0]) unlink(r->beside);
  r->beside[0] = 0;
}
