/* task_rng: NumPy's hash, valid states, no two alike. */
#include "check.h"

#include "../../src/task_rng.h"

/* Inputs and outputs of NumPy's own test of SeedSequence. */
static void words_are_numpys(void) {
  static const uint32_t in[3][4] = {{3735928559u, 195939070u, 229505742u, 305419896u},
                                    {3668361503u, 4165561550u, 1661411377u, 3634257570u},
                                    {164546577u, 4166754639u, 1765190214u, 1303880213u}};
  static const uint32_t want[3][4] = {{3914649087u, 576849849u, 3593928901u, 2229911004u},
                                      {2240804226u, 3691353228u, 1365957195u, 2654016646u},
                                      {3562296087u, 3191708229u, 1147942216u, 3726991905u}};
  for (int k = 0; k < 3; k++) {
    sm_rng_base b;
    uint32_t got[4];
    sm_rng_base_init(&b, in[k], 4);
    sm_rng_words(&b, got, 4);
    check_at(memcmp(got, want[k], sizeof got) == 0, "words are those of SeedSequence", k);
  }
}

static int valid(const sm_rng_state *s) {
  for (int i = 0; i < 6; i++)
    if (s->s[i] == 0 || s->s[i] >= (i < 3 ? 4294967087u : 4294944443u)) return 0;
  return 1;
}

static int by_bytes(const void *a, const void *b) { return memcmp(a, b, sizeof(sm_rng_state)); }

static void states_are_valid_and_differ(void) {
  enum { N = 200000 };
  sm_rng_state *s = malloc(N * sizeof *s);
  uint32_t zero[7] = {0};
  int bad = 0, twins = 0;
  for (int i = 0; i < N; i++) { /* four bases, one of nothing but zeros; numbers past 2^32 too */
    sm_rng_base b;
    zero[6] = (uint32_t)(i % 4);
    sm_rng_base_init(&b, zero, 7);
    sm_rng_item(&b, (uint64_t)(i / 4) << (i % 8 >= 4 ? 32 : 0), &s[i]);
    bad += !valid(&s[i]);
  }
  check(bad == 0, "every state is valid");
  qsort(s, N, sizeof *s, by_bytes);
  for (int i = 1; i < N; i++) twins += by_bytes(&s[i - 1], &s[i]) == 0;
  check(twins == 0, "no two states are alike");
  free(s);
}

/* Neighbouring items share about half of their bits. */
static void neighbours_have_nothing_in_common(void) {
  sm_rng_base b;
  uint32_t entropy[1] = {1};
  sm_rng_base_init(&b, entropy, 1);
  double differ = 0;
  for (uint64_t k = 0; k < 10000; k++) {
    sm_rng_state x, y;
    sm_rng_item(&b, k, &x);
    sm_rng_item(&b, k + 1, &y);
    for (int i = 0; i < 6; i++) differ += __builtin_popcount(x.s[i] ^ y.s[i]);
  }
  differ /= 10000 * 192.0;
  check(differ > 0.495 && differ < 0.505, "half of the bits differ");
}

int main(void) {
  words_are_numpys();
  states_are_valid_and_differ();
  neighbours_have_nothing_in_common();
  return report();
}
