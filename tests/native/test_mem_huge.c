/* Whether a device reports free memory. */
#define _GNU_SOURCE
#include <sys/stat.h>

#include "mem_huge.h"

#include "check.h"

static void put(const char *folder, const char *name, const char *text) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "w");
  check(f && fputs(text, f) >= 0 && fclose(f) == 0, "a file is written");
}

static void device(const char *folder, const char *name, const char *id, const char *features) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  check(mkdir(path, 0700) == 0, "a folder is made");
  put(path, "device", id);
  if (features) put(path, "features", features);
}

static void drop(const char *folder) {
  char command[300];
  snprintf(command, sizeof command, "rm -r '%s'", folder);
  check(system(command) == 0, "the folder is removed");
}

static void devices(void) {
  char folder[] = "/tmp/test_mem_huge.XXXXXX";
  check(mkdtemp(folder) != NULL, "a folder is made");
  check(!sm_huge_reported_in(folder), "no device, no reports");
  device(folder, "virtio0", "0x0002\n", "1111111111\n");
  device(folder, "virtio1", "0x0005\n", "1111101111\n");
  device(folder, "virtio2", "0x0005\n", "111\n");
  device(folder, "virtio3", "0x0005\n", NULL);
  check(!sm_huge_reported_in(folder), "a disk and a balloon without the feature report nothing");
  device(folder, "virtio4", "0x0005\n", "0000010000\n");
  check(sm_huge_reported_in(folder), "a balloon with the feature reports");
  drop(folder);
  check(!sm_huge_reported_in(folder), "no such folder, no reports");
}

int main(void) {
  devices();
  check(sm_huge_is_cheap() == !sm_huge_reported_in("/sys/bus/virtio/devices"), "here");
  return report();
}
