/* mem_huge.c: see mem_huge.h.
 *
 * Errors: what cannot be found out counts as cheap.
 */
#include "mem_huge.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define REPORTING 5 /* VIRTIO_BALLOON_F_REPORTING */

static bool first_line(const char *folder, const char *device, const char *name, char *line, int n) {
  char path[512];
  if (snprintf(path, sizeof path, "%s/%s/%s", folder, device, name) >= (int)sizeof path) return false;
  FILE *f = fopen(path, "r");
  bool ok = f && fgets(line, n, f);
  if (f) fclose(f);
  return ok;
}

bool sm_huge_reported_in(const char *folder) {
  bool reported = false;
  char line[128];
  DIR *d = opendir(folder);
  for (struct dirent *e; d && !reported && (e = readdir(d));)
    reported = e->d_name[0] != '.' && first_line(folder, e->d_name, "device", line, sizeof line) &&
               strncmp(line, "0x0005", 6) == 0 && first_line(folder, e->d_name, "features", line, sizeof line) &&
               strlen(line) > REPORTING && line[REPORTING] == '1';
  if (d) closedir(d);
  return reported;
}

bool sm_huge_pays(void) {
  static int reported = -1;
  if (reported < 0) reported = sm_huge_reported_in("/sys/bus/virtio/devices");
  return !reported;
}
