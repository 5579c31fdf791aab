/* r_memory.c: see r_memory.h. */
#include "r_memory.h"

#include <R.h>
#include <stdio.h>
#include <unistd.h>

#include "mem_arena.h"
#include "mem_limit.h"
#include "mem_pool.h"
#include "mem_segment.h"
#include "r_util.h"

#define COLLECT_MIN ((size_t)256 << 20)
#define FRESH_NS 400u /* a quarter of what a fresh page costs */

static size_t collect_at = COLLECT_MIN; /* live bytes at which R's collector runs first */

void r_abort_memory(double asked, double available, const char *reason) {
  SEXP n = PROTECT(Rf_ScalarReal(asked)), have = PROTECT(Rf_ScalarReal(available));
  SEXP why = PROTECT(Rf_mkString(reason));
  r_abort_call(Rf_lang4(Rf_install("abort_memory"), n, have, why));
}

static size_t live_nbytes(void) {
  size_t count, segments, blocks;
  sm_segment_usage(&count, &segments);
  sm_small_usage(&count, &blocks);
  return segments + blocks + sm_pool_live();
}

/* The next time is when what is live now has doubled, or when as much has come as costs about four times the collection that has just
 * been, but not later than half of what the machine still has; when most of that has gone by itself, it is earlier again. */
void r_memory_collect_before(size_t nbytes) {
  size_t live = live_nbytes() + nbytes;
  if (live < collect_at / 4 && collect_at > COLLECT_MIN) collect_at = live > COLLECT_MIN / 2 ? 2 * live : COLLECT_MIN;
  if (live <= collect_at) return;
  uint64_t available, start = sm_clock_ns();
  R_gc();
  size_t room = (size_t)((sm_clock_ns() - start) / FRESH_NS) * SM_PAGE;
  live = live_nbytes() + nbytes;
  if (room < live) room = live;
  sm_limit_check(0, &available);
  if (room > available / 2) room = (size_t)(available / 2);
  collect_at = live + room > COLLECT_MIN ? live + room : COLLECT_MIN;
}

/* Bytes of shared memory that this process holds, files not counted. */
SEXP ffi_array_live(void) { return Rf_ScalarReal((double)live_nbytes()); }

/* Bytes resident in this process alone or with its forks, shared mappings not counted; 0 where the system does not say. */
SEXP ffi_private_bytes(void) {
  double size = 0, resident = 0, shared = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f) {
    if (fscanf(f, "%lf %lf %lf", &size, &resident, &shared) != 3) resident = shared = 0;
    fclose(f);
  }
  return Rf_ScalarReal((resident - shared) * (double)sysconf(_SC_PAGESIZE));
}
