/* proc_tree.c: see proc_tree.h. No memory is allocated: past MOST processes the rest of a tree is left to its group. */
#define _GNU_SOURCE
#include "proc_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MOST 1024

typedef struct {
  pid_t pid[MOST];
  int n;
} tree;

static void add(tree *t, pid_t pid) {
  for (int i = 0; i < t->n; i++)
    if (t->pid[i] == pid) return;
  if (t->n == MOST || pid <= 1) return;
  t->pid[t->n++] = pid;
  kill(pid, SIGSTOP);
}

/* The pids in one file of /proc/<pid>/task/<tid>/children, which may be longer than the buffer. */
static void add_listed(tree *t, const char *path) {
  char text[4096];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  long pid = 0;
  ssize_t n;
  while ((n = read(fd, text, sizeof text)) > 0)
    for (ssize_t i = 0; i < n; i++) {
      if (text[i] >= '0' && text[i] <= '9') {
        pid = 10 * pid + (text[i] - '0');
      } else {
        add(t, (pid_t)pid);
        pid = 0;
      }
    }
  close(fd);
}

static void add_children(tree *t, pid_t pid) {
  char path[96];
  snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
  DIR *threads = opendir(path);
  const struct dirent *e;
  while (threads && (e = readdir(threads))) {
    if (e->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)pid, atol(e->d_name));
    add_listed(t, path);
  }
  if (threads) closedir(threads);
}

void sm_tree_kill(pid_t pid) {
  tree t = {.n = 0};
  add(&t, pid);
  /* A process that was in fork() when it was stopped has its child by the second round. */
  for (int before = 0; before < t.n;) {
    before = t.n;
    for (int i = 0; i < t.n; i++) add_children(&t, t.pid[i]);
  }
  kill(-pid, SIGKILL);
  for (int i = 0; i < t.n; i++) kill(t.pid[i], SIGKILL);
}

void sm_group_kill(pid_t pid) { kill(-pid, SIGKILL); }
