/* chan_spill: a stream of any size through an anonymous file. */
#define _GNU_SOURCE
#include "../../src/chan_spill.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "../../src/mem_file.h"
#include "check.h"

static uint8_t byte_of(uint64_t at) { return (uint8_t)(at * 31 + (at >> 9) + (at >> 17)); }

static int count_fds(void) {
  int n = 0;
  DIR *d = opendir("/dev/fd");
  while (d && readdir(d)) n++;
  if (d) closedir(d);
  return n;
}

/* Written in pieces of sizes 1, step, 2 * step, ... and read back. */
static int through(size_t nbytes, size_t step) {
  sm_spill s;
  if (sm_spill_open(&s) < 0) return 0;
  uint8_t *buf = malloc(nbytes + 1);
  for (size_t i = 0; i < nbytes; i++) buf[i] = byte_of(i);
  int ok = 1;
  for (size_t at = 0, piece = 1; at < nbytes; at += piece, piece += step) {
    if (piece > nbytes - at) piece = nbytes - at;
    ok &= sm_spill_write(&s, buf + at, piece) == 0;
  }
  ok &= s.nbytes == nbytes && sm_spill_finish(&s) == 0;
  const uint8_t *back = NULL;
  ok &= sm_spill_map(s.fd, nbytes, &back) == 0;
  if (ok) {
    ok = memcmp(back, buf, nbytes) == 0;
    sm_spill_unmap(back, nbytes);
  }
  const uint8_t *none = NULL;
  ok &= sm_spill_map(s.fd, nbytes + 1, &none) == SM_EFORMAT && sm_spill_map(s.fd, nbytes - 1, &none) == SM_EFORMAT;
  ok &= none == NULL;
  sm_spill_close(&s);
  free(buf);
  return ok;
}

static void sizes(void) {
  size_t odd[] = {
      1,      2, 7, 4095, 4096, 4097, SM_SPILL_STAGE - 1, SM_SPILL_STAGE, SM_SPILL_STAGE + 1, 2 * SM_SPILL_STAGE, 3 * SM_SPILL_STAGE + 17,
      5000011};
  int ok = 1;
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
    for (size_t step = 0; step <= odd[i] * 2; step = step ? step * 101 : (odd[i] > 100000 ? 4099 : 1)) ok &= through(odd[i], step);
  check(ok, "streams of odd sizes in odd pieces come back byte for byte, and under no other size");
}

static void refused(void) {
  const uint8_t *p = NULL;
  int pipes[2];
  if (pipe(pipes)) exit(2);
  check(sm_spill_map(pipes[0], 1, &p) == SM_EFORMAT, "a pipe is no spill");
  check(sm_spill_map(-1, 1, &p) == -EBADF, "a closed descriptor is no spill");
  close(pipes[0]);
  close(pipes[1]);
  sm_spill s;
  check(sm_spill_open(&s) == 0 && sm_spill_finish(&s) == 0 && sm_spill_map(s.fd, 0, &p) == SM_EFORMAT, "an empty file is no spill");
#if defined(F_ADD_SEALS) && !defined(SM_NO_MEMFD)
  check(ftruncate(s.fd, 0) == 0 && sm_spill_write(&s, "abc", 3) == 0 && sm_spill_finish(&s) == 0 && ftruncate(s.fd, 1) < 0,
        "a finished spill cannot shrink under its reader");
  int fd = sm_anon_file();
  check(fd >= 0 && write(fd, "abc", 3) == 3 && sm_spill_map(fd, 3, &p) == SM_EFORMAT, "a file that could shrink is no spill");
  close(fd);
#endif
  sm_spill_close(&s);
  check(p == NULL, "nothing is mapped where it is refused");
}

/* The hard limit too, or it would be raised. */
static void open_without_descriptors(void *arg, int rank) {
  struct rlimit none = {3, 3};
  sm_spill s;
  (void)arg, (void)rank;
  setrlimit(RLIMIT_NOFILE, &none);
  if (sm_spill_open(&s) != -EMFILE || s.fd != -1) _exit(1);
}

static void closing(void) {
  int before = count_fds();
  sm_spill s;
  for (int i = 0; i < 50; i++) {
    sm_spill_open(&s);
    sm_spill_write(&s, "x", 1);
    sm_spill_close(&s);
    sm_spill_close(&s);
  }
  check(count_fds() == before && s.fd == -1, "closing at any time, twice too, leaves no descriptor");

  check(end_of(start_child(open_without_descriptors, NULL, 0)) == 0, "where there is no descriptor to be had the code says so");
  sm_spill_close(&s);
  check(s.fd == -1, "and closing what was never open does nothing");
}

static void full_disk(void) {
  sm_spill s;
  struct rlimit old, small;
  getrlimit(RLIMIT_FSIZE, &old);
  small = old;
  small.rlim_cur = 1 << 20;
  sm_spill_open(&s);
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  static uint8_t block[65536];
  int rc = 0;
  for (int i = 0; i < 64 && rc == 0; i++) rc = sm_spill_write(&s, block, sizeof block);
  setrlimit(RLIMIT_FSIZE, &old);
  check(rc < 0, "a write that fails is told");
  sm_spill_close(&s);
}

int main(void) {
  sizes();
  refused();
  closing();
  full_disk();
  return report();
}
