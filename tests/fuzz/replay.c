/* replay.c: runs a fuzz target over the files of the folders that are its arguments, without libFuzzer. They count as one test. */
#include <dirent.h>

#include "fuzz.h"

static int replay_file(const char *path) {
  FILE *f = fopen(path, "rb");
  uint8_t *data = NULL;
  long size = -1;
  if (f && fseek(f, 0, SEEK_END) == 0) size = ftell(f);
  if (size >= 0) {
    rewind(f);
    data = exactly((size_t)size);
    if (fread(data, 1, (size_t)size, f) != (size_t)size) size = -1;
  }
  if (size >= 0) LLVMFuzzerTestOneInput(data, (size_t)size);
  free(data);
  if (f) fclose(f);
  return size >= 0;
}

int main(int argc, char **argv) {
  int passed = 0, failed = 0;
  for (int i = 1; i < argc; i++) {
    DIR *dir = opendir(argv[i]);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
      char path[4096];
      if (e->d_name[0] == '.') continue;
      snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
      if (replay_file(path)) passed++;
      else failed++;
    }
    if (dir) closedir(dir);
    else failed++;
  }
  int good = passed > 0 && failed == 0;
  printf("%d inputs read, %d not\n%d passed, %d failed\n", passed, failed, good, !good);
  return !good;
}
