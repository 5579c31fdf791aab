/* folder.h: a folder of the test's own. Include once, in the test's only file. */
#ifndef FOLDER_H
#define FOLDER_H

#include "check.h"

static char folder[64];

/* The path of a name in it: valid until the fourth call after this one. */
static const char *in_folder(const char *name) {
  static char path[4][256];
  static int k = 0;
  k = (k + 1) % 4;
  snprintf(path[k], sizeof path[k], "%s/%s", folder, name);
  return path[k];
}

static int make_folder(void) {
  snprintf(folder, sizeof folder, "/tmp/sharedmemXXXXXX");
  return mkdtemp(folder) != NULL;
}

static void remove_folder(void) {
  char command[96];
  snprintf(command, sizeof command, "rm -r %s", folder);
  if (system(command) != 0) n_failed++;
}

#endif
