/* mem_limit.c: see mem_limit.h.
 *
 * Purpose: refuse what the machine or a control group cannot back, before the kernel kills for it.
 * Ownership: nothing is kept but the figures of the last look.
 * Fork and signals: none; a child starts with its parent's figures, which age with use.
 * Errors: a file that is missing or unreadable sets no limit.
 */
#include "mem_limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "mem_file.h"

#define PATH_SIZE 1200
#define UNLIMITED ((uint64_t)1 << 62) /* v1 writes LONG_MAX rounded down to a page */

/* The number after a line's first word `key`. */
static bool field(const char *text, const char *key, uint64_t *out) {
  size_t n = strlen(key);
  for (const char *line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (strncmp(line, key, n) != 0 || (line[n] != ' ' && line[n] != ':')) continue;
    *out = strtoull(line + n + 1, NULL, 10);
    return true;
  }
  return false;
}

static bool number(const char *folder, const char *name, uint64_t *out) {
  char path[PATH_SIZE + 64], text[64];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  if (!sm_read_text(path, text, sizeof text) || text[0] < '0' || text[0] > '9') return false;
  *out = strtoull(text, NULL, 10);
  return true;
}

/* What one group leaves: its limit less its use, page cache that can be dropped not counted as use. */
static uint64_t group_room(const char *folder, bool v2) {
  uint64_t limit, used, cache = 0;
  char path[PATH_SIZE + 64], stat[8192];
  if (!number(folder, v2 ? "memory.max" : "memory.limit_in_bytes", &limit) || limit >= UNLIMITED) return UINT64_MAX;
  if (!number(folder, v2 ? "memory.current" : "memory.usage_in_bytes", &used)) return limit;
  snprintf(path, sizeof path, "%s/memory.stat", folder);
  if (sm_read_text(path, stat, sizeof stat)) {
    uint64_t active = 0;
    field(stat, v2 ? "inactive_file" : "total_inactive_file", &cache);
    field(stat, v2 ? "active_file" : "total_active_file", &active);
    cache += active;
  }
  used = used > cache ? used - cache : 0;
  return limit > used ? limit - used : 0;
}

/* The least room of a group and all that it lies in. Inside a container the path may name a folder of the
 * host's tree; the mount's root is then the container's own group. */
static uint64_t groups_room(const char *root, const char *below, bool v2) {
  char folder[PATH_SIZE];
  uint64_t room = group_room(root, v2);
  snprintf(folder, sizeof folder, "%s%s", root, below);
  size_t stop = strlen(root);
  while (strlen(folder) > stop + 1) {
    uint64_t r = group_room(folder, v2);
    if (r < room) room = r;
    *strrchr(folder, '/') = 0;
  }
  return room;
}

/* The path in a line "id:controllers:path" for memory (v1) or of the unified hierarchy (v2). */
static bool group_path(const char *text, bool v2, char *out, size_t size) {
  for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
    const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
    if (!path) return false;
    bool hit = v2 ? path == names + 1 : false;
    for (const char *p = names + 1; !v2 && p < path; p++)
      if (strncmp(p, "memory", 6) == 0 && (p[6] == ',' || p[6] == ':') && (p[-1] == ',' || p[-1] == ':')) hit = true;
    if (!hit) continue;
    size_t n = strcspn(path + 1, "\n");
    if (n >= size || path[1] != '/') return false;
    memcpy(out, path + 1, n);
    out[n] = 0;
    return true;
  }
  return false;
}

uint64_t sm_limit_available_in(const char *meminfo, const char *cgroup, const char *mount) {
  char text[8192], below[PATH_SIZE / 2], root[PATH_SIZE / 2];
  uint64_t room = UINT64_MAX, kib, swap = 0;
  if (sm_read_text(meminfo, text, sizeof text) && field(text, "MemAvailable", &kib)) {
    field(text, "SwapFree", &swap);
    room = (kib + swap) * 1024;
  }
  if (!sm_read_text(cgroup, text, sizeof text)) return room;
  for (int v2 = 0; v2 < 2; v2++) {
    if (!group_path(text, v2, below, sizeof below)) continue;
    snprintf(root, sizeof root, v2 ? "%s" : "%s/memory", mount);
    uint64_t r = groups_room(root, below, v2);
    if (r < room) room = r;
  }
  return room;
}

uint64_t sm_limit_available(void) { return sm_limit_available_in("/proc/meminfo", "/proc/self/cgroup", "/sys/fs/cgroup"); }

static uint64_t seen = 0, unchecked = 0; /* room at the last look; bytes granted since */

int sm_limit_check(uint64_t nbytes, uint64_t *available) {
  if (seen > 0 && nbytes <= seen / 16 && unchecked <= seen / 16 - nbytes) {
    unchecked += nbytes;
    *available = seen - unchecked;
    return 0;
  }
  seen = sm_limit_available();
  unchecked = 0;
  *available = seen;
  if (seen == UINT64_MAX) return 0;
  uint64_t margin = seen / 64 < ((uint64_t)256 << 20) ? seen / 64 : (uint64_t)256 << 20;
  if (nbytes > seen - margin) return SM_ENOROOM;
  unchecked = nbytes;
  return 0;
}

uint64_t sm_limit_share(uint64_t parts, uint64_t most) {
  uint64_t available = 0;
  sm_limit_check(0, &available);
  available /= parts;
  return available < most ? available : most;
}

bool sm_limit_space_is_free(void) {
  static int known = 0; /* 1: yes, -1: no */
  if (known) return known > 0;
  struct rlimit limit;
  char text[16];
  bool counted = !sm_read_text("/proc/sys/vm/overcommit_memory", text, sizeof text) || strtol(text, NULL, 10) == 2;
  bool limited = getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur != RLIM_INFINITY || getrlimit(RLIMIT_DATA, &limit) < 0 ||
                 limit.rlim_cur != RLIM_INFINITY;
  known = counted || limited ? -1 : 1;
  return known > 0;
}
