/* mem_forks: which forks still run, whoever forked them and whatever they start. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>

#include "../../src/mem_file.h"
#include "../../src/mem_forks.h"

static bool wanted = true;
static int childs_calls;
static bool want(void) { return wanted; }
static void in_child(void) { childs_calls++; }

/* A child that runs until its pipe is closed. */
typedef struct {
  pid_t pid;
  int hold;
} held;

static held fork_held(bool grandchild) {
  int ends[2], ready[2];
  if (pipe(ends) < 0 || pipe(ready) < 0) exit(2);
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    close(ends[1]);
    if (grandchild && fork() != 0) _exit(0);
    char c;
    if (write(ready[1], "r", 1) != 1) _exit(1);
    _exit(read(ends[0], &c, 1) != 0);
  }
  char c;
  if (read(ready[0], &c, 1) != 1) exit(2);
  close(ends[0]);
  close(ready[0]);
  close(ready[1]);
  return (held){pid, ends[1]};
}

/* The process that holds the lock ends a moment after its pipe: the lock goes with it. */
static bool gone(uint64_t after, uint64_t upto) {
  for (int i = 0; i < 5000; i++) {
    sm_forks_look();
    if (!sm_forks_alive(after, upto)) return true;
    pause_ms(2);
  }
  return false;
}

static void one_child(void) {
  uint64_t before = sm_forks_count();
  held h = fork_held(false);
  check(sm_forks_count() == before + 1, "a fork is counted");
  check(sm_forks_alive(before, before + 1), "its child runs");
  check(!sm_forks_alive(before + 1, before + 1), "no fork lies between a number and itself");
  check(!sm_forks_alive(before + 1, before + 100), "later forks there are none");
  close(h.hold);
  check(end_of(h.pid) == 0, "the child ends");
  check(sm_forks_alive(before, before + 1), "the last look stands");
  check(gone(before, before + 1), "until the next one");
}

static void two_children(void) {
  uint64_t before = sm_forks_count();
  held a = fork_held(false), b = fork_held(false);
  kill(a.pid, SIGKILL); /* the second holds the end of its pipe, too */
  end_of(a.pid);
  close(a.hold);
  check(gone(before, before + 1), "the first has ended");
  check(sm_forks_alive(before + 1, before + 2) && sm_forks_alive(before, before + 2), "the second runs");
  close(b.hold);
  end_of(b.pid);
  check(gone(before, before + 2), "both have ended");
}

static void a_grandchild(void) {
  uint64_t before = sm_forks_count();
  held h = fork_held(true);
  check(end_of(h.pid) == 0 && sm_forks_alive(before, before + 1), "a fork lives as long as what it has forked");
  close(h.hold);
  check(gone(before, before + 1), "and no longer");
}

static void another_program(void) {
  uint64_t before = sm_forks_count();
  pid_t pid = fork();
  if (pid == 0) {
    execlp("sleep", "sleep", "30", (char *)NULL);
    _exit(1);
  }
  check(gone(before, before + 1), "exec() ends the fork: the program cannot see its memory");
  kill(pid, SIGKILL);
  end_of(pid);
}

static void unwanted(void) {
  uint64_t before = sm_forks_count();
  wanted = false;
  held h = fork_held(false);
  check(sm_forks_count() == before, "a fork that nobody wants to know of is not counted");
  close(h.hold);
  end_of(h.pid);
  wanted = true;
}

static void child_starts_anew(void *arg, int rank) {
  (void)arg;
  if (rank > 0) _exit(0);
  bool good = sm_forks_count() == 0 && childs_calls == 1 && !sm_forks_alive(0, 100);
  pid_t pid = fork();
  if (pid == 0) _exit(childs_calls == 2 ? 0 : 1);
  good = good && end_of(pid) == 0 && sm_forks_count() == 0; /* nothing is watched in a child until it asks to */
  _exit(good ? 0 : 1);
}

/* A fork that no lock could be taken for counts as running for ever. */
static void without_descriptors(int fd) {
  uint64_t before = sm_forks_count();
  if (sm_forks_watch(1 << 20, want, in_child) < 0) exit(2);
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  end_of(pid);
  sm_forks_watch(fd, want, in_child);
  sm_forks_look();
  check(sm_forks_count() == before + 1 && sm_forks_alive(before, before + 1), "a fork without a lock runs for ever");
  check(!sm_forks_alive(before + 1, before + 2), "and later ones do not");
}

static void bytes(int fd) {
  char path[40];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int a = open(path, O_RDWR | O_CLOEXEC), b = open(path, O_RDWR | O_CLOEXEC);
  if (a < 0 || b < 0) exit(2);
  check(sm_forks_byte_lock(a, 100, true) == 0 && sm_forks_byte_lock(b, 100, false) == -EAGAIN, "a byte that is locked is not shared");
  check(sm_forks_byte_locked(b, 0, 1000) == 100, "it is found");
  check(sm_forks_byte_locked(b, 101, 899) == -1 && sm_forks_byte_locked(b, 0, 100) == -1, "beside it there is none");
  check(sm_forks_byte_locked(a, 0, 1000) == -1, "one's own lock is none of another's");
  check(sm_forks_byte_unlock(a, 100) == 0 && sm_forks_byte_lock(b, 100, false) == 0 && sm_forks_byte_lock(a, 100, false) == 0,
        "two may share it");
  close(b);
  check(sm_forks_byte_locked(fd, 0, 1000) == 100, "one of them still has it");
  close(a);
  check(sm_forks_byte_locked(fd, 0, 1000) == -1, "the last to close gives it back");
  check(sm_forks_byte_lock(-1, 0, true) == -EBADF, "no descriptor, no lock");
}

int main(void) {
  check(sm_forks_count() == 0 && !sm_forks_alive(0, 1), "nothing is watched at first");
  int fd = sm_anon_file();
  if (fd < 0) return 2;
  if (sm_forks_byte_lock(fd, 0, true) == -ENOSYS) return report();
  sm_forks_byte_unlock(fd, 0);
  check(sm_forks_watch(fd, want, in_child) == 0, "forks are watched");
  one_child();
  two_children();
  a_grandchild();
  another_program();
  unwanted();
  check(run_group(2, 0, child_starts_anew, NULL) == 0, "a child starts anew");
  check(childs_calls == 0, "in_child() is for children");
  bytes(fd);
  without_descriptors(fd);
  return report();
}
