/* mem_limit: what the machine and nested control groups leave, read from a tree of files made here. */
#include "check.h"

#include <sys/stat.h>

#include "../../src/mem_limit.h"

#define MIB ((uint64_t)1 << 20)

static char root[64] = "/tmp/limitXXXXXX";

static void put(const char *name, const char *text) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", root, name);
  for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
    *p = 0;
    mkdir(path, 0700);
  }
  FILE *f = fopen(path, "w");
  if (!f) exit(2);
  fputs(text, f);
  fclose(f);
}

/* Available bytes by the files of the tree: meminfo, the process's list of groups, the mount `mount`. */
static uint64_t available(const char *mount) {
  char meminfo[128], cgroup[128], folder[128];
  snprintf(meminfo, sizeof meminfo, "%s/meminfo", root);
  snprintf(cgroup, sizeof cgroup, "%s/cgroup", root);
  snprintf(folder, sizeof folder, "%s/%s", root, mount);
  return sm_limit_available_in(meminfo, cgroup, folder);
}

static void machine(void) {
  check(available("none") == UINT64_MAX, "no file, no limit");
  put("meminfo", "MemTotal: 9999999 kB\nMemAvailable:   2048 kB\nSwapFree:  1024 kB\n");
  check(available("none") == 3 * MIB, "what is available and free swap");
  put("meminfo", "MemTotal: 9999999 kB\nMemFree: 1 kB\n");
  check(available("none") == UINT64_MAX, "a system that does not tell what is available sets no limit");
  put("meminfo", "MemAvailable: 1048576 kB\n");
  put("cgroup", "no colon here");
  check(available("none") == 1024 * MIB, "a list of groups that is none is passed over");
}

static void version_2(void) {
  put("cgroup", "1:name=systemd:/x\n0::/a/b\n");
  check(available("v2") == 1024 * MIB, "groups without files set no limit");
  put("v2/a/memory.max", "max\n");
  put("v2/a/memory.current", "1048576\n");
  check(available("v2") == 1024 * MIB, "the word max is no limit");
  put("v2/a/b/memory.max", "104857600\n"); /* 100 MiB */
  check(available("v2") == 100 * MIB, "a limit without a use counts whole");
  put("v2/a/b/memory.current", "73400320\n"); /* 70 MiB */
  check(available("v2") == 30 * MIB, "the limit less the use");
  put("v2/a/b/memory.stat", "anon 1\ninactive_file 10485760\nactive_file 5242880\ninactive_file_x 9\n");
  check(available("v2") == 45 * MIB, "page cache is no use");
  put("v2/a/memory.max", "20971520\n");
  check(available("v2") == 19 * MIB, "the group above leaves less");
  put("v2/a/memory.current", "99999999\n");
  check(available("v2") == 0, "use past the limit leaves nothing");
  put("v2/a/memory.max", "nonsense\n");
  check(available("v2") == 45 * MIB, "a file without a number sets no limit");
  put("v2/memory.max", "1048576\n");
  check(available("v2") == MIB, "the mount's root is a group too, as in a container");
}

static void version_1(void) {
  put("cgroup", "7:cpu,memoryless:/no\n5:cpu,memory:/job\n");
  put("v1/memory/job/memory.limit_in_bytes", "9223372036854771712\n");
  check(available("v1") == 1024 * MIB, "the largest number of version 1 is no limit");
  put("v1/memory/job/memory.limit_in_bytes", "52428800\n");
  put("v1/memory/job/memory.usage_in_bytes", "20971520\n");
  put("v1/memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 1048576\ntotal_active_file 1048576\n");
  check(available("v1") == 32 * MIB, "limit, use and cache of version 1");
  put("cgroup", "7:cpu,memoryless:/job\n");
  check(available("v1") == 1024 * MIB, "a controller whose name begins with memory is another one");
  put("cgroup", "5:memory:job\n");
  check(available("v1") == 1024 * MIB, "a path that does not begin with a slash is none");
}

static void requests(void) {
  uint64_t first = 0, then = 0;
  check(sm_limit_check(0, &first) == 0 && first > 0, "nothing can be had");
  check(sm_limit_check(4096, &then) == 0 && then == first - 4096, "a small request is taken off the last look");
  check(sm_limit_check(4096, &then) == 0 && then == first - 8192, "and the next one too");
  if (first != UINT64_MAX) check(sm_limit_check(UINT64_MAX - 1, &then) == SM_ENOROOM && then < UINT64_MAX, "more than there is");
  check(sm_limit_share(4, UINT64_MAX) <= first / 2, "a quarter is less than half");
  check(sm_limit_share(1, 17) == 17, "a share has an upper bound");
}

int main(void) {
  if (!mkdtemp(root)) return 2;
  machine();
  version_2();
  version_1();
  requests();
  char command[96];
  snprintf(command, sizeof command, "rm -r %s", root);
  if (system(command) != 0) return 2;
  return report();
}
