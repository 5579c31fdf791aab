/* mem_replace: a file is replaced as a whole, or stays as it is and nothing is left beside it. */
#include "../../src/mem_replace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "check.h"
#include "folder.h"

static int files(void) {
  int n = -2;
  DIR *d = opendir(folder);
  while (d && readdir(d)) n++;
  if (d) closedir(d);
  return n;
}

static int holds(const char *path, const char *text) {
  char got[32] = "";
  int fd = open(path, O_RDONLY);
  ssize_t n = read(fd, got, sizeof got - 1);
  close(fd);
  return n == (ssize_t)strlen(text) && strcmp(got, text) == 0;
}

static int write_to(sm_replace *r, const char *text) { return write(r->fd, text, strlen(text)) == (ssize_t)strlen(text); }

static void replaces(void) {
  sm_replace r;
  struct stat st;
  check(sm_replace_open(in_folder("a"), &r) == 0 && write_to(&r, "new") && access(in_folder("a"), F_OK) < 0, "nothing is seen half way");
  check(sm_replace_commit(&r) == 0 && holds(in_folder("a"), "new"), "a new file");
  sm_replace_drop(&r);
  chmod(in_folder("a"), 0640);
  check(sm_replace_open(in_folder("a"), &r) == 0 && write_to(&r, "other") && holds(in_folder("a"), "new"), "an old one stays");
  check(sm_replace_commit(&r) == 0 && holds(in_folder("a"), "other"), "until the new one is whole");
  sm_replace_drop(&r);
  check(stat(in_folder("a"), &st) == 0 && (st.st_mode & 07777) == 0640, "its permissions stay");
  check(symlink("a", in_folder("link")) == 0 && sm_replace_open(in_folder("link"), &r) == 0 && write_to(&r, "by link"), "a link");
  check(sm_replace_commit(&r) == 0 && holds(in_folder("a"), "by link"), "is followed");
  check(lstat(in_folder("link"), &st) == 0 && S_ISLNK(st.st_mode), "and stays one");
  check(sm_replace_open(in_folder("a"), &r) == 0 && write_to(&r, "dropped"), "one that is given up");
  sm_replace_drop(&r);
  check(holds(in_folder("a"), "by link") && files() == 2, "leaves the file and nothing beside it");
  check(sm_replace_open(in_folder("b"), &r) == 0 && write_to(&r, "mine"), "a name that is free");
  int fd = open(in_folder("b"), O_CREAT | O_WRONLY, 0600);
  close(fd);
  check(sm_replace_commit(&r) == 0 && holds(in_folder("b"), "mine") && files() == 3, "is taken also if another has come to it meanwhile");
  sm_replace_drop(&r);
}

static void refuses(void) {
  sm_replace r;
  check(sm_replace_open(folder, &r) == -EISDIR, "a folder is no file");
  check(sm_replace_open(in_folder("no/such"), &r) == -ENOENT, "a folder that is not there is an error");
  check(symlink("loop", in_folder("loop")) == 0 && sm_replace_open(in_folder("loop"), &r) == -ELOOP, "so are links in a circle");
  char sub[300];
  snprintf(sub, sizeof sub, "%s", in_folder("gone"));
  mkdir(sub, 0700);
  int fd = open(in_folder("gone/x"), O_CREAT | O_WRONLY, 0600);
  close(fd);
  check(sm_replace_open(in_folder("gone/x"), &r) == 0 && write_to(&r, "late"), "a file");
  unlink(in_folder("gone/x"));
  if (r.beside[0]) unlink(r.beside);
  check(rmdir(sub) == 0, "whose folder goes away");
  check(sm_replace_commit(&r) == -ENOENT, "cannot be put there");
  sm_replace_drop(&r);
  check(r.fd == -1 && !r.beside[0], "and is let go");
}

int main(void) {
  if (!make_folder()) return 1;
  replaces();
  refuses();
  remove_folder();
  return report();
}
