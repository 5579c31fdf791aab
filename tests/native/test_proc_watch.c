/* proc_watch: a process is told, once, that its group has failed, and not by its own failure. */
#include "../../src/proc_watch.h"

#include "../../src/proc_worker.h"
#include "check.h"

static _Atomic int told;

static void on_interrupt(int sig) {
  (void)sig;
  atomic_fetch_add(&told, 1);
}

static _Atomic uint32_t failed;

static bool member_ended(void *arg, int i) {
  uint32_t none = 0;
  if (!*(bool *)arg) atomic_compare_exchange_strong(&failed, &none, (uint32_t)i + 2);
  return true;
}

static bool await_told(int ms) {
  for (int i = 0; i < ms && !atomic_load(&told); i++) pause_ms(1);
  return atomic_load(&told) > 0;
}

static void flag_alone(void) {
  bool well = false;
  sm_watched none[2] = {{0, -1}, {0, -1}};
  atomic_store(&failed, 0);
  atomic_store(&told, 0);
  sm_sentinel *s = sm_watch_start(&failed, none, 2, member_ended, &well);
  atomic_store(&failed, 1);
  check(s && !await_told(200) && !sm_watch_told(s), "its own failure is not told to a process");
  check(!sm_watch_stop(s) && !atomic_load(&told), "nor when the watch ends");
  atomic_store(&failed, 0);
  s = sm_watch_start(&failed, none, 2, member_ended, &well);
  atomic_store(&failed, 3);
  check(s && await_told(5000) && sm_watch_told(s), "that of another is");
  pause_ms(150);
  check(sm_watch_stop(s) && atomic_load(&told) == 1, "once");
}

static void death(bool well, bool by_pid) {
  sm_proc p;
  int sock;
  sm_proc_init(&p);
  if (sm_proc_spawn(&p, &sock) == 1)
    for (;;) pause_ms(1000);
  sm_watched member = {p.pid, by_pid ? -1 : p.pidfd};
  atomic_store(&failed, 0);
  atomic_store(&told, 0);
  sm_sentinel *s = sm_watch_start(&failed, &member, 1, member_ended, &well);
  kill(p.pid, SIGKILL);
  check(well ? !await_told(200) : await_told(5000),
        well ? "a member that has done its work ends quietly" : "a member that dies is noticed");
  pid_t fork_of = fork(); /* holds the descriptors of the watch */
  if (fork_of == 0)
    for (;;) pause_ms(1000);
  check(sm_watch_stop(s) == !well, "the watch ends though a fork of this process lives");
  kill(fork_of, SIGKILL);
  waitpid(fork_of, NULL, 0);
  sm_proc_close(&p);
}

int main(void) {
  signal(SIGINT, on_interrupt);
  flag_alone();
  for (int by_pid = 0; by_pid < 2; by_pid++) {
    death(false, by_pid);
    death(true, by_pid);
  }
  return report();
}
