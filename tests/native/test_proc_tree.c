/* proc_tree: a process ends with what it has started, and nobody else does. */
#include "../../src/proc_tree.h"

#include <stdatomic.h>

#include "../../src/proc_worker.h"
#include "check.h"

#define MOST 64

typedef struct {
  _Atomic int n;
  _Atomic int pid[MOST];
} roll;

static void sign(roll *r) { atomic_store(&r->pid[atomic_fetch_add(&r->n, 1)], (int)getpid()); }

static void sleep_for_ever(void) {
  for (;;) pause_ms(1000);
}

/* A child of a child, `depth` deep and two wide, each in a session of its own if `leave`. */
static void grow(roll *r, int depth, bool leave) {
  for (int k = 0; k < 2 && depth > 0; k++)
    if (fork() == 0) {
      if (leave) setsid();
      sign(r);
      grow(r, depth - 1, leave);
      sleep_for_ever();
    }
}

static bool alive(int pid) { /* an orphan that has ended may stay a zombie where init is slow */
  char path[64], state = 'Z';
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *f = fopen(path, "r");
  if (!f) return false;
  if (fscanf(f, "%*d %*s %c", &state) != 1) state = 'Z';
  fclose(f);
  return state != 'Z';
}

static int survivors(roll *r) {
  int n = 0;
  for (int i = 0; i < atomic_load(&r->n); i++) n += alive(atomic_load(&r->pid[i]));
  return n;
}

static bool all_gone(roll *r) {
  for (int i = 0; i < 500 && survivors(r) > 0; i++) pause_ms(10);
  return survivors(r) == 0;
}

static void await(roll *r, int n) {
  for (int i = 0; i < 1000 && atomic_load(&r->n) < n; i++) pause_ms(10);
}

static pid_t plant(roll *r, sm_proc *p, int depth, bool leave) {
  int sock;
  atomic_store(&r->n, 0);
  sm_proc_init(p);
  if (sm_proc_spawn(p, &sock) == 1) {
    grow(r, depth, leave);
    sign(r);
    sleep_for_ever();
  }
  return p->pid;
}

int main(void) {
  roll *r = shared_memory(sizeof *r), *other = shared_memory(sizeof *other);
  sm_proc p, q;
  plant(other, &q, 1, false);
  await(other, 3);
  if (alive((int)getpid())) { /* there is a /proc */
    plant(r, &p, 3, true);
    await(r, 15);
    sm_proc_kill(&p);
    check(atomic_load(&r->n) == 15 && all_gone(r), "a killed process takes its descendants with it, sessions of their own or not");
    sm_proc_close(&p);
  }
  plant(r, &p, 2, false);
  await(r, 7);
  kill(p.pid, SIGKILL);
  check(sm_proc_wait(&p, 30000) && all_gone(r), "after another death its process group ends when it is reaped");
  sm_proc_close(&p);
  plant(r, &p, 1, false);
  await(r, 3);
  p.peaceful = true;
  sm_proc_close(&p);
  pause_ms(50);
  check(survivors(r) == 2, "one that has done its work leaves what it has started alone");
  for (int i = 0; i < 3; i++) kill(atomic_load(&r->pid[i]), SIGKILL);
  check(survivors(other) == 3, "others are not touched");
  sm_proc_close(&q);
  check(all_gone(other), "until they are closed");
  return report();
}
