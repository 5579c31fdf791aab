/* arr_npy: headers of .npy files, good, bad, and changed at random by the hundred thousand. */
#include <time.h>

#include "../../src/arr_npy.h"
#include "check.h"

/* A header of version 1.0 in front of `data` bytes; its size. */
static size_t make(uint8_t *out, const char *dict, int version) {
  size_t n = strlen(dict), before = version == 1 ? 10 : 12;
  memcpy(out, "\x93NUMPY", 6);
  out[6] = (uint8_t)version;
  out[7] = 0;
  for (size_t i = 8; i < before; i++) out[i] = (uint8_t)(n >> 8 * (i - 8));
  memcpy(out + before, dict, n);
  return before + n;
}

/* The parser over a copy of exactly n bytes, so that a sanitizer sees any read past them. */
static int parse(const uint8_t *bytes, size_t n, uint64_t size, sm_npy *h) {
  char why[SM_NPY_WHY];
  uint8_t *own = malloc(n > 0 ? n : 1);
  memcpy(own, bytes, n);
  memset(why, 'x', sizeof why);
  int rc = sm_npy_read(own, n, size, h, why);
  free(own);
  if (rc < 0) check(rc == SM_EFORMAT && memchr(why, 0, sizeof why) && strlen(why) > 0, "a refusal says why");
  return rc;
}

static void good_headers(void) {
  uint8_t b[512];
  sm_npy h;
  for (int version = 1; version <= 3; version++) {
    size_t n = make(b, "{'descr': '>f4', 'fortran_order': True, 'shape': (3, 4), }    \n", version);
    check(parse(b, n, n + 48, &h) == 0 && h.ndim == 2 && h.dim[0] == 3 && h.dim[1] == 4 && h.length == 12 && h.fortran && h.offset == n &&
              h.dtype.code == SM_F4 && h.dtype.itemsize == 4,
          "a matrix");
    check(parse(b, n, n + 47, &h) == SM_EFORMAT, "a byte too few");
    check(parse(b, n - 1, n - 1, &h) == SM_EFORMAT, "cut off");
  }
  size_t n = make(b, "{'shape': (), 'descr': '|S7', 'fortran_order': False}", 1);
  check(parse(b, n, n + 7, &h) == 0 && h.ndim == 0 && h.length == 1 && h.swap == 1 && h.dtype.itemsize == 7, "a scalar");
  n = make(b, "{'shape': (0, 9L,), 'descr': '|u1', 'fortran_order': False}", 1);
  check(parse(b, n, n, &h) == 0 && h.ndim == 2 && h.length == 0, "no element");
}

static void bad_headers(void) {
  static const char *const bad[] = {"",
                                    "{",
                                    "{}",
                                    "[1]",
                                    "{'descr': '<f8', 'fortran_order': False, 'shape': (4503599627370496, 4503599627370496)}",
                                    "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 4503599627370496, 4503599627370496)}",
                                    "{'descr': '<f8', 'fortran_order': False, 'shape': (18446744073709551617,)}",
                                    "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)} x",
                                    "{'descr': '<f8', 'fortran_order': False, 'shape': (1",
                                    "{'descr': '<f8', 'fortran_order': False, 'shape'",
                                    "{'descr': '",
                                    "{'descr': '<f8', 'fortran_order': Fals",
                                    "{'descr': '|S99999999999999999999', 'fortran_order': False, 'shape': (1,)}"};
  uint8_t b[512];
  sm_npy h;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    size_t n = make(b, bad[i], 1);
    check_at(parse(b, n, n + 64, &h) == SM_EFORMAT, "a bad header", (int64_t)i);
  }
}

static void random_headers(uint64_t seed) {
  static const char letters[] = "0123456789()[]{},:'\"<>|LTrueFalsfortran_order descr shape-iucbSUOVMm8\\\n";
  uint8_t whole[512], b[520];
  sm_npy h;
  int read = 0, inside = 1;
  size_t full = make(whole, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }     \n", 1);
  for (uint64_t i = 0; i < seed % 1000; i++) draw();
  for (int i = 0; i < 200000; i++) {
    size_t n = full;
    memcpy(b, whole, n);
    for (uint64_t k = draw() % 3 + 1; k > 0 && n > 1; k--) {
      size_t at = draw() % n;
      switch (draw() % 5) {
      case 0: b[at] = (uint8_t)draw(); break;
      case 1: b[at] = (uint8_t)letters[draw() % (sizeof letters - 1)]; break;
      case 2: memmove(b + at, b + at + 1, --n - at); break;
      case 3:
        memmove(b + at + 1, b + at, n++ - at);
        b[at] = (uint8_t)letters[draw() % (sizeof letters - 1)];
        break;
      default: n = at;
      }
    }
    uint64_t size = n + draw() % 200;
    if (parse(b, n, size, &h) < 0) continue;
    read++;
    if (h.offset > n || h.length < 0 || (uint64_t)h.length * h.dtype.itemsize > size - h.offset || h.ndim > SM_NPY_NDIM) inside = 0;
  }
  check(inside, "what is accepted lies inside the file");
  check(read > 200, "some are accepted");
}

int main(void) {
  uint64_t seed = (uint64_t)time(NULL);
  printf("seed %llu\n", (unsigned long long)(seed % 1000));
  good_headers();
  bad_headers();
  random_headers(seed);
  return report();
}
