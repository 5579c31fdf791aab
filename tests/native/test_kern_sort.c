/* Stable argsort against a plain merge of comparisons, for every type, shape of data and number of threads. */
#include <math.h>

#include "kern_sort.h"

#include "check.h"

static int is_missing(const sm_keys *k, int64_t i) {
  switch (k->type) {
  case SM_KEY_F8: return isnan(((const double *)k->data)[i]);
  case SM_KEY_F4: return isnan(((const float *)k->data)[i]);
  case SM_KEY_I4: return ((const int32_t *)k->data)[i] == INT32_MIN;
  case SM_KEY_I8NA: return ((const int64_t *)k->data)[i] == INT64_MIN;
  case SM_KEY_B1: return ((const uint8_t *)k->data)[i] == 0x80;
  case SM_KEY_STR: return ((const uint8_t *)k->data)[(size_t)i * k->width] == 0xFF;
  case SM_KEY_PTR: return ((const char *const *)k->data)[i] == NULL;
  default: return 0;
  }
}

static int order_of(const sm_keys *k, int64_t i, int64_t j) {
#define ORDER(code, T) \
  case code: c = (((const T *)k->data)[i] > ((const T *)k->data)[j]) - (((const T *)k->data)[i] < ((const T *)k->data)[j]); break
  int c = 0;
  switch (k->type) {
    ORDER(SM_KEY_F8, double);
    ORDER(SM_KEY_F4, float);
    ORDER(SM_KEY_I1, int8_t);
    ORDER(SM_KEY_I2, int16_t);
    ORDER(SM_KEY_I4, int32_t);
    ORDER(SM_KEY_I8, int64_t);
    ORDER(SM_KEY_I8NA, int64_t);
    ORDER(SM_KEY_U1, uint8_t);
    ORDER(SM_KEY_U2, uint16_t);
    ORDER(SM_KEY_U4, uint32_t);
    ORDER(SM_KEY_U8, uint64_t);
  case SM_KEY_B1: c = (((const uint8_t *)k->data)[i] != 0) - (((const uint8_t *)k->data)[j] != 0); break;
  case SM_KEY_STR: c = strncmp((const char *)k->data + (size_t)i * k->width, (const char *)k->data + (size_t)j * k->width, k->width); break;
  case SM_KEY_NONE: break;
  case SM_KEY_PTR: c = strcmp(((const char *const *)k->data)[i], ((const char *const *)k->data)[j]); break;
  }
  return k->decreasing ? -c : c;
}

/* The result must hold each index once, in order, ties by index, missing ones together where they belong. */
static int right(const sm_keys *k, const int64_t *place, int64_t length, sm_missing missing, int64_t gone) {
  char *seen = calloc((size_t)k->n + 1, 1);
  int ok = length == k->n - (missing == SM_MISSING_DROP ? gone : 0);
  int64_t present = k->n - gone;
  for (int64_t p = 0; ok && p < length; p++) {
    int64_t i = place[p] - 1;
    ok = i >= 0 && i < k->n && !seen[i];
    if (!ok) break;
    seen[i] = 1;
    int should = missing == SM_MISSING_LAST ? p >= present : missing == SM_MISSING_FIRST ? p < gone : 0;
    ok = is_missing(k, i) == should;
    if (ok && p > 0 && is_missing(k, place[p - 1] - 1) == should) {
      int c = should ? 0 : order_of(k, place[p - 1] - 1, i);
      ok = c < 0 || (c == 0 && place[p - 1] - 1 < i);
    }
  }
  free(seen);
  return ok;
}

static void sort_and_check(sm_keys k, const char *what, int detail) {
  for (int variant = 0; variant < 6; variant++) {
    if (k.n > 10000 && variant % 3 != detail % 3) continue; /* the large ones take long under a sanitizer */
    int np = 1 + variant % 3;
    sm_missing missing = (sm_missing)(variant % 3);
    sm_place_type type = (sm_place_type)((variant + detail) % 3);
    k.decreasing = variant >= 3;
    sm_stop stop;
    sm_argsort_plan plan;
    sm_stop_init(&stop, NULL, NULL);
    sm_work work = {np, &stop, NULL};
    int rc = sm_argsort_look(&k, &work, &plan);
    int64_t gone = 0;
    for (int64_t i = 0; i < k.n; i++) gone += is_missing(&k, i);
    check_case(rc == 0 && plan.stats.missing == gone, "count of missing values", k.n, detail);
    if (rc < 0) continue;
    int64_t length = k.n - (missing == SM_MISSING_DROP ? gone : 0);
    void *out = malloc((size_t)length * 8 + 8);
    int64_t *place = malloc((size_t)length * 8 + 8);
    rc = sm_argsort_run(&plan, missing, (sm_places){type, out});
    for (int64_t p = 0; p < length; p++)
      place[p] = type == SM_PLACE_I4 ? ((int32_t *)out)[p] : type == SM_PLACE_I8 ? ((int64_t *)out)[p] : (int64_t)((double *)out)[p];
    check_case(rc == 0 && right(&k, place, length, missing, gone), what, k.n, detail);
    sm_argsort_free(&plan);
    free(out);
    free(place);
  }
}

static double shape_of(int shape, int64_t i, int64_t n) {
  double u = draw_unit(), v = draw_unit();
  switch (shape) {
  case 0: return u;
  case 1: return sqrt(-2 * log(u + 1e-300)) * cos(6.283185307179586 * v);
  case 2: return tan(3.141592653589793 * (u - 0.5));
  case 3: return exp(40 * (u - 0.5)) * (v < 0.5 ? -1 : 1);
  case 4: return floor(u * 7);
  case 5: return (double)i;
  case 6: return -(double)i;
  case 7: return -(double)(i / 5);
  case 8: return v < 0.01 ? u * (double)n : (double)i;
  case 9: return 3.25;
  case 10: return v < 0.1 ? NAN : v < 0.2 ? INFINITY : v < 0.3 ? -INFINITY : v < 0.4 ? -0.0 : v < 0.5 ? 0.0 : u - 0.5;
  case 11: return NAN;
  case 12: return v < 0.5 ? 1e300 * u : 1e-300 * u;
  case 13: return v < 0.3 ? 1.7e308 : v < 0.6 ? -1.7e308 : u * 5e-324;
  case 14: return 1 + floor(u * 50) * 0x1p-52 + (v < 0.001 ? 1e6 : 0);
  case 15: return floor(u * 1e15) - 5e14;
  default: return v < 0.9999 ? 0.1 : u;
  }
}

static const int64_t sizes[] = {0, 1, 2, 3, 24, 25, 100, 1000, 20000, 135001};
#define NSIZES (sizeof sizes / sizeof *sizes)

static void numbers(void) {
  for (size_t s = 0; s < NSIZES; s++)
    for (int shape = 0; shape <= 16; shape++) {
      int64_t n = sizes[s];
      double *d = malloc((size_t)n * 8 + 8);
      float *f = malloc((size_t)n * 4 + 8);
      for (int64_t i = 0; i < n; i++) {
        d[i] = shape_of(shape, i, n);
        f[i] = (float)d[i];
      }
      sort_and_check((sm_keys){SM_KEY_F8, d, n, 0, false}, "doubles", shape);
      sort_and_check((sm_keys){SM_KEY_F4, f, n, 0, false}, "floats", shape);
      free(d);
      free(f);
    }
}

static void integers(void) {
  static const sm_key_type types[] = {SM_KEY_I1, SM_KEY_I2, SM_KEY_I4, SM_KEY_I8, SM_KEY_I8NA,
                                      SM_KEY_U1, SM_KEY_U2, SM_KEY_U4, SM_KEY_U8, SM_KEY_B1};
  static const int width[] = {1, 2, 4, 8, 8, 1, 2, 4, 8, 1};
  for (size_t s = 0; s < NSIZES; s++)
    for (int t = 0; t < 10; t++)
      for (int shape = 0; shape < 5; shape++) {
        int64_t n = sizes[s];
        uint8_t *x = malloc((size_t)n * 8 + 8);
        for (int64_t i = 0; i < n; i++) {
          uint64_t v = shape == 0   ? draw()
                       : shape == 1 ? draw() % 3
                       : shape == 2 ? (uint64_t)i
                       : shape == 3 ? (uint64_t)(n - i)
                                    : draw() % 100000;
          if (shape == 4 && draw() % 10 == 0) v = width[t] == 8 ? (uint64_t)1 << 63 : width[t] == 4 ? 0x80000000u : 0x80;
          memcpy(x + (size_t)i * (size_t)width[t], &v, (size_t)width[t]); /* little-endian machines; else other values */
        }
        sort_and_check((sm_keys){types[t], x, n, 0, false}, "integers", t * 10 + shape);
        free(x);
      }
}

/* One key at a time, as sorts of a few elements ask for them, in the order of the values; which ones are missing. */
static void keys(void) {
  static const sm_key_type types[] = {SM_KEY_F8, SM_KEY_F4, SM_KEY_I1, SM_KEY_I2,   SM_KEY_I4, SM_KEY_I8, SM_KEY_U1,
                                      SM_KEY_U2, SM_KEY_U4, SM_KEY_U8, SM_KEY_I8NA, SM_KEY_B1, SM_KEY_STR};
  static const size_t width[] = {8, 4, 1, 2, 4, 8, 1, 2, 4, 8, 8, 1, 8};
  for (int t = 0; t < 13; t++)
    for (int down = 0; down < 2; down++) {
      enum { N = 80 };
      uint8_t x[N * 8];
      int gone = 1, order = 1;
      for (size_t i = 0; i < sizeof x; i++) x[i] = (uint8_t)draw();
      if (types[t] == SM_KEY_B1)
        for (size_t i = 0; i < sizeof x; i++) x[i] &= 1;
      uint64_t na = types[t] == SM_KEY_STR ? 0xFF : (uint64_t)1 << (8 * width[t] - 1);
      double nan8 = (double)NAN;
      float nan4 = (float)NAN;
      const void *missing = types[t] == SM_KEY_F8 ? (void *)&nan8 : types[t] == SM_KEY_F4 ? (void *)&nan4 : (void *)&na;
      memcpy(x + 7 * width[t], missing, width[t]);
      memcpy(x + 40 * width[t], x + 3 * width[t], width[t]);
      sm_keys k = {types[t], x, N, width[t], down};
      for (int64_t i = 0; i < N; i++) {
        gone &= sm_keys_missing(&k, i) == is_missing(&k, i);
        for (int64_t j = 0; j < N; j++) {
          if (is_missing(&k, i) || is_missing(&k, j)) continue;
          uint64_t a = sm_keys_at(&k, i, 0), b = sm_keys_at(&k, j, 0);
          int c = order_of(&k, i, j);
          order &= (a > b) - (a < b) == (c > 0) - (c < 0);
        }
      }
      check_case(gone, "missing ones are told", N, t);
      check_case(order, "keys one by one have the order of their values", N, t);
    }
}

static void texts(void) {
  for (size_t s = 0; s < NSIZES; s++)
    for (int shape = 0; shape < 9; shape++) {
      int64_t n = sizes[s];
      size_t width = 48;
      char *all = calloc((size_t)n + 1, width);
      const char **p = malloc((size_t)n * sizeof *p + 8);
      for (int64_t i = 0; i < n; i++) {
        char *t = all + (size_t)i * width;
        uint64_t r = draw();
        switch (shape) {
        case 0: snprintf(t, width, "id_%07d", (int)(r % 10000000)); break;
        case 1:
          for (int c = 0; c < 47; c++) t[c] = (char)('a' + draw() % 2);
          break;
        case 2: snprintf(t, width, "%s", r % 3 == 0 ? "" : r % 3 == 1 ? "b" : "ab"); break;
        case 3:
          for (int c = 0; c < (int)(r % 12); c++) t[c] = (char)(1 + draw() % 254);
          break;
        case 4: memset(t, 'a', r % 48); break;
        case 5: snprintf(t, width, "a common beginning of everything, then %d", (int)(r % 1000)); break;
        case 6: snprintf(t, width, "%09d", (int)i); break;
        case 7:
          memset(t, 'a', 40);
          snprintf(t + 40, 8, "%d", (int)(r % 5));
          break;
        default: snprintf(t, width, r % 50 == 0 ? "other" : "prefix%d", (int)(r % 90)); break;
        }
        p[i] = t;
      }
      sort_and_check((sm_keys){SM_KEY_STR, all, n, width, false}, "strings of fixed width", shape);
      sort_and_check((sm_keys){SM_KEY_PTR, p, n, 0, false}, "strings", shape);
      for (int64_t i = 0; i < n; i++) {
        if (draw() % 8 == 0) all[(size_t)i * width] = (char)0xFF;
        if (all[(size_t)i * width] == (char)0xFF) p[i] = NULL;
        else if (shape == 2) p[i] = p[i][0] == 0 ? "" : p[i][0] == 'a' ? "ab" : "b";
      }
      sort_and_check((sm_keys){SM_KEY_STR, all, n, width, false}, "strings of fixed width with NA", shape);
      sort_and_check((sm_keys){SM_KEY_PTR, p, n, 0, false}, "strings with NA", shape);
      free(all);
      free(p);
    }
}

/* Few distinct values of wide range, also where a sample says so and it is not true, and around the dictionary's limit. */
static void few_values(void) {
  static const sm_key_type types[] = {SM_KEY_F8, SM_KEY_F4, SM_KEY_I4, SM_KEY_U4, SM_KEY_I8, SM_KEY_I8NA, SM_KEY_U8};
  static const int64_t lengths[] = {2047, 2048, 9000, 135001};
  for (int s = 0; s < 4; s++)
    for (int t = 0; t < 7; t++)
      for (int shape = 0; shape < 6; shape++) {
        int64_t n = lengths[s], most = shape < 3 ? SM_DICT_NUMBERS - 1 + shape : shape == 3 ? 1000 : 7, step = n / 512;
        uint8_t *x = malloc((size_t)n * 8);
        for (int64_t i = 0; i < n; i++) {
          uint64_t v = i < most ? (uint64_t)i : draw() % (uint64_t)most;
          if (shape == 5) v = i % step < 2 ? (uint64_t)(i / step) % 5 : (uint64_t)i; /* the sample's places */
          double d = v % 100 == 99 && shape == 3 ? (double)NAN : v % 3 == 0 && v < 9 ? -0.0 * (double)v : ((double)v - 500) / 8;
          float f = (float)d;
          uint64_t w = v % 100 == 98 && shape == 3 ? (uint64_t)1 << 63 : v * 0x9E3779B97F4A7C15u;
          uint32_t u = v % 100 == 98 && shape == 3 ? 0x80000000u : (uint32_t)v * 0x9E3779B9u;
          switch (types[t]) {
          case SM_KEY_F8: memcpy(x + i * 8, &d, 8); break;
          case SM_KEY_F4: memcpy(x + i * 4, &f, 4); break;
          case SM_KEY_I4:
          case SM_KEY_U4: memcpy(x + i * 4, &u, 4); break;
          default: memcpy(x + i * 8, &w, 8); break;
          }
        }
        sort_and_check((sm_keys){types[t], x, n, 0, false}, "few distinct values", t * 10 + shape);
        free(x);
      }
}

/* The same for texts, which their addresses tell, around their own limit. */
static void few_texts(void) {
  int64_t n = 70000;
  char(*all)[12] = malloc((size_t)n * sizeof *all);
  const char **p = malloc((size_t)n * sizeof *p);
  for (int most = SM_DICT_TEXTS; most <= SM_DICT_TEXTS + 1; most++) {
    for (int64_t i = 0; i < n; i++) {
      snprintf(all[i], sizeof *all, "%d", (int)(draw() % 100000));
      p[i] = i < most ? all[i] : all[draw() % (uint64_t)most];
      if (i >= most && draw() % 1000 == 0 && most % 2) p[i] = NULL;
    }
    sort_and_check((sm_keys){SM_KEY_PTR, p, n, 0, false}, "few distinct texts", most);
  }
  free(all);
  free(p);
}

/* Prefixes of one another, longer and longer: the worst for recursion by bytes. */
static void nested_prefixes(void) {
  int64_t n = 3000;
  char *all = calloc((size_t)n * (size_t)(n + 1), 1);
  const char **p = malloc((size_t)n * sizeof *p);
  for (int64_t i = 0; i < n; i++) {
    p[i] = all + i * (n + 1);
    memset(all + i * (n + 1), 'x', (size_t)((i * 7919) % n));
  }
  sort_and_check((sm_keys){SM_KEY_PTR, p, n, 0, false}, "nested prefixes", 0);
  free(all);
  free(p);
}

static bool always(void *arg) {
  ++*(int *)arg;
  return true;
}

static void interrupts(void) {
  int64_t n = 1000000;
  double *d = malloc((size_t)n * 8);
  int32_t *out = malloc((size_t)n * 4);
  for (int64_t i = 0; i < n; i++) d[i] = draw_unit();
  for (int np = 1; np <= 2; np++) {
    int asked = 0;
    sm_stop stop;
    sm_argsort_plan plan;
    sm_stop_init(&stop, always, &asked);
    sm_keys k = {SM_KEY_F8, d, n, 0, false};
    stop.next_ns = UINT64_MAX;
    sm_work work = {np, &stop, NULL};
    check_case(sm_argsort_look(&k, &work, &plan) == 0, "look before the interrupt", n, np);
    stop.next_ns = 0;
    check_case(sm_argsort_run(&plan, SM_MISSING_LAST, (sm_places){SM_PLACE_I4, out}) == SM_EINTR && asked == 1, "interrupt", n, np);
    sm_argsort_free(&plan);
  }
  free(d);
  free(out);
}

int main(void) {
  numbers();
  integers();
  keys();
  texts();
  few_values();
  few_texts();
  nested_prefixes();
  interrupts();
  return report();
}
