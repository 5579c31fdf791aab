/* fuzz.h: what the fuzz targets share. Include once, in the target's only file.
 *
 * A target is LLVMFuzzerTestOneInput(): it reads its input as a program or as bytes from outside, and aborts where the core does not
 * keep its contract. It runs under libFuzzer (tools/fuzz.sh), and without it over a committed corpus (replay.c, tools/native.sh).
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(ok, what)                                                           \
  do {                                                                            \
    if (!(ok)) {                                                                  \
      fprintf(stderr, "contract broken (%s:%d): %s\n", __FILE__, __LINE__, what); \
      abort();                                                                    \
    }                                                                             \
  } while (0)

/* What is left of the input. Past its end there are zeros. */
typedef struct {
  const uint8_t *at;
  size_t left;
} fuzz_in;

static inline void take(fuzz_in *in, void *to, size_t n) {
  size_t have = n < in->left ? n : in->left;
  memset(to, 0, n);
  if (have > 0) memcpy(to, in->at, have);
  in->at += have;
  in->left -= have;
}

static inline uint8_t take_u8(fuzz_in *in) {
  uint8_t v;
  take(in, &v, 1);
  return v;
}

static inline uint64_t take_u64(fuzz_in *in) {
  uint64_t v;
  take(in, &v, 8);
  return v;
}

/* A number below n > 0. */
static inline uint64_t take_below(fuzz_in *in, uint64_t n) { return n <= 256 ? take_u8(in) % n : take_u64(in) % n; }

/* A number that is small as a rule, and sometimes any at all. */
static inline int64_t take_number(fuzz_in *in) {
  uint8_t kind = take_u8(in);
  if (kind < 160) return (int64_t)(kind % 40) - 8;
  if (kind < 224) return (int64_t)(int16_t)(take_u8(in) | take_u8(in) << 8);
  if (kind < 240) {
    uint64_t power = UINT64_C(1) << (take_u8(in) & 63);
    return (int64_t)(power + (uint64_t)(int64_t)(int8_t)take_u8(in));
  }
  return (int64_t)take_u64(in);
}

/* A block of exactly n bytes, so that a sanitizer sees each byte beyond it. */
static inline void *exactly(size_t n) {
  void *p = malloc(n > 0 ? n : 1);
  if (!p) exit(2);
  return p;
}

#endif
