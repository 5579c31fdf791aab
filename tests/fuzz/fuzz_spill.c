/* chan_spill, chan_move: files that carry large results. What was written is read; of what lies outside nothing is. */
#include "../../src/chan_move.h"
#include "../../src/chan_spill.h"

#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

#define BIG (SM_SPILL_STAGE + 5000)

static uint8_t pattern(uint64_t at) { return (uint8_t)(at * 31 + (at >> 8)); }

static void spilled(fuzz_in *in) {
  static uint8_t block[BIG];
  sm_spill s;
  if (sm_spill_open(&s) < 0) exit(2);
  uint64_t total = 0;
  for (int k = 0; k < 12 && in->left; k++) {
    size_t n = take_u8(in) < 220 ? take_u8(in) * (size_t)16 : (size_t)(take_u64(in) % BIG);
    for (size_t i = 0; i < n; i++) block[i] = pattern(total + i);
    CHECK(sm_spill_write(&s, block, n) == 0, "a file takes what is written");
    total += n;
    CHECK(s.nbytes == total, "and counts it");
  }
  const uint8_t *p;
  bool finished = take_u8(in) < 230;
  if (finished) CHECK(sm_spill_finish(&s) == 0, "a file is finished");
  uint64_t claimed = take_u8(in) < 200 ? total : take_u64(in);
  int rc = sm_spill_map(s.fd, claimed, &p);
  CHECK(rc == 0 || rc == SM_EFORMAT, "a reader gives one of its codes");
  if (rc == 0) {
    CHECK(finished && claimed == total && total > 0, "only a finished file of the size that is claimed is mapped");
    for (uint64_t i = 0; i < total; i++) CHECK(p[i] == pattern(i), "with the bytes that were written");
    sm_spill_unmap(p, total);
  } else CHECK(!finished || claimed != total || total == 0, "such a file is mapped");
  sm_spill_close(&s);
  sm_spill_close(&s);
}

static void moved(fuzz_in *in) {
  enum { PIECE = 300 };
  sm_move_table t;
  sm_move_head_shm head;
  sm_move_source source;
  int fd;
  memset(&t, 0, sizeof t);
  for (int k = (int)take_below(in, 20); k > 0; k--) {
    size_t index;
    if (sm_move_add(&t, &index) < 0) exit(2);
    for (int j = 0; j < SM_MOVE_PIECES; j++) {
      size_t n = take_u8(in) & 1 ? 0 : take_below(in, PIECE);
      uint8_t *p = exactly(n);
      for (size_t i = 0; i < n; i++) p[i] = pattern(i + index);
      if (sm_move_own(&t, p) < 0) exit(2);
      t.entry[index].at[j] = (uint64_t)(uintptr_t)p;
      t.entry[index].nbytes[j] = n;
      t.nbytes += n;
    }
  }
  if (sm_move_to_file(&t, &fd, &head) < 0) exit(2);
  CHECK(head.count == t.count && sm_move_open(fd, &source) == 0, "a table becomes a file");
  CHECK(source.size == t.nbytes + t.count * sizeof(sm_moved_shm), "of the pieces and the table");
  sm_moved_shm *entry = exactly(t.count * sizeof *entry);
  CHECK(sm_move_read(&source, head.table, entry, t.count * sizeof *entry) == 0, "whose entries are read");
  for (size_t k = 0; k < t.count; k++)
    for (int j = 0; j < SM_MOVE_PIECES; j++) {
      size_t n = (size_t)entry[k].nbytes[j];
      uint8_t *to = exactly(n);
      CHECK(n == t.entry[k].nbytes[j] && sm_move_read(&source, n ? entry[k].at[j] : 0, to, n) == 0, "and whose pieces are read");
      for (size_t i = 0; i < n; i++) CHECK(to[i] == pattern(i + k), "as they were");
      free(to);
    }
  uint64_t at = (uint64_t)take_number(in), n = take_below(in, 2000);
  uint8_t *to = exactly((size_t)n);
  bool inside = at <= source.size && n <= source.size - at;
  int rc = sm_move_read(&source, at, to, (size_t)n);
  CHECK(rc == (n == 0 || inside ? 0 : SM_EFORMAT), "a piece is read if it lies in the file");
  source.fd = -1;
  source.pid = getpid();
  rc = sm_move_read(&source, (uint64_t)(uintptr_t)(take_u8(in) & 1 ? NULL : entry), to, n < t.count * sizeof *entry ? (size_t)n : 0);
  CHECK(rc <= 0, "an address of the writer is read or refused");
  free(to);
  free(entry);
  close(fd);
  sm_move_clear(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_in in = {data, size};
  if (take_u8(&in) & 1) spilled(&in);
  else moved(&in);
  return 0;
}
