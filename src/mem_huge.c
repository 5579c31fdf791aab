/* mem_huge.c: see mem_huge.h.
 *
 * Errors: what cannot be found out counts as cheap.
 */
#include "mem_huge.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "mem_file.h"

#define REPORTING 5 /* VIRTIO_BALLOON_F_REPORTING */

static bool attribute(const char *folder, const char *device, const char *name, char *text, size_t size) {
  char path[512];
  int n = snprintf(path, sizeof path, "%s/%s/%s", folder, device, name);
  return n > 0 && n < (int)sizeof path && sm_read_text(path, text, size);
}

bool sm_huge_reported_in(const char *folder) {
  bool reported = false;
  char text[128];
  DIR *d = opendir(folder);
  for (struct dirent *e; d && !reported && (e = readdir(d));)
    reported = e->d_name[0] != '.' && attribute(folder, e->d_name, "device", text, sizeof text) && strncmp(text, "0x0005", 6) == 0 &&
               attribute(folder, e->d_name, "features", text, sizeof text) && strlen(text) > REPORTING && text[REPORTING] == '1';
  if (d) closedir(d);
  return reported;
}

bool sm_huge_is_cheap(void) {
  static int reported = -1;
  if (reported < 0) reported = sm_huge_reported_in("/sys/bus/virtio/devices");
  return !reported;
}
