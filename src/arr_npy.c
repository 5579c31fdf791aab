/* arr_npy.c: see arr_npy.h.
 *
 * A cursor walks over the dictionary and never passes its end. Only what NumPy writes is taken: a dictionary with
 * exactly three keys, in any order, strings without escapes, integers with or without Python 2's L (but not in version 3).
 */
#include "arr_npy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MOST_BYTES ((int64_t)1 << 52) /* as for every shared array: exact as a double */

typedef struct {
  const char *at, *end;
  char *why;
  bool longs; /* may integers end in L? */
} cursor;

static int refuse(char *why, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  vsnprintf(why, SM_NPY_WHY, fmt, args);
  va_end(args);
  return SM_EFORMAT;
}

/* ---- dtypes ---- */

/* What shared arrays have no dtype for, and what may be done about it in Python. */
static int refuse_dtype(const char *text, size_t n, char *why) {
  static const struct {
    const char *code, *name, *hint;
  } known[] = {
      {"O", "Python objects, which only Python can read (a pickle)", ""},
      {"U", "Unicode text", "; save numpy.char.encode(a, \"utf-8\") instead"},
      {"V", "records or void bytes", "; save its fields one by one"},
      {"M", "dates (datetime64)", "; save a.astype(\"i8\") instead"},
      {"m", "time differences (timedelta64)", "; save a.astype(\"i8\") instead"},
      {"u8", "64-bit integers without sign", "; save a.astype(\"i8\") or a.astype(\"f8\") instead"},
      {"f2", "half-precision numbers", "; save a.astype(\"f4\") instead"},
      {"f", "numbers of extended precision", "; save a.astype(\"f8\") instead"},
      {"c", "complex numbers of another precision", "; save a.astype(\"c16\") instead"},
      {"S0", "strings of no bytes", ""},
  };
  char shown[24] = "";
  for (size_t i = 0; i < n && i < sizeof shown - 1; i++) shown[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
  const char *kind = shown + (shown[0] == '<' || shown[0] == '>' || shown[0] == '|' || shown[0] == '=');
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strncmp(kind, known[i].code, strlen(known[i].code)) == 0)
      return refuse(why, "holds %s (dtype '%s'), for which shared arrays have no dtype%s", known[i].name, shown, known[i].hint);
  return refuse(why, "holds elements of dtype '%s', which shared arrays do not have", shown);
}

int sm_npy_dtype(const char *text, size_t n, sm_dtype *dtype, int *swap, char *why) {
  char code[16];
  const uint16_t probe = 1;
  bool little = *(const uint8_t *)&probe == 1;
  size_t skip = n > 0 && memchr("<>|=", text[0], 4) != NULL;
  size_t m = n - skip;
  if (m < 2 || m >= sizeof code || !memchr("fiucbS", text[skip], 6)) return refuse_dtype(text, n, why);
  memcpy(code, text + skip, m);
  code[m] = 0;
  for (size_t i = 1; i < m; i++)
    if (code[i] < '0' || code[i] > '9') return refuse_dtype(text, n, why);
  if (sm_dtype_parse(code, dtype) < 0) return refuse_dtype(text, n, why);
  *swap = skip && text[0] == (little ? '>' : '<') ? sm_dtype_info_of(*dtype)->swap : 1;
  return 0;
}

/* ---- the dictionary ---- */

static int damaged(cursor *c, const char *what) { return refuse(c->why, "its header is damaged: %s", what); }

static void blanks(cursor *c) {
  while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r')) c->at++;
}

static bool take(cursor *c, char what) {
  blanks(c);
  if (c->at == c->end || *c->at != what) return false;
  c->at++;
  return true;
}

static bool take_word(cursor *c, const char *word) {
  size_t n = strlen(word);
  blanks(c);
  if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0) return false;
  c->at += n;
  return true;
}

static bool take_string(cursor *c, const char **text, size_t *n) {
  blanks(c);
  if (c->at == c->end || (*c->at != '\'' && *c->at != '"')) return false;
  const char *close = memchr(c->at + 1, *c->at, (size_t)(c->end - c->at) - 1);
  if (!close || memchr(c->at, '\\', (size_t)(close - c->at))) return false;
  *text = c->at + 1;
  *n = (size_t)(close - c->at) - 1;
  c->at = close + 1;
  return true;
}

static bool take_extent(cursor *c, int64_t *v) {
  blanks(c);
  const char *first = c->at;
  int64_t n = 0;
  while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && n <= MOST_BYTES) n = n * 10 + (*c->at++ - '0');
  if (c->at == first || n > MOST_BYTES || (*first == '0' && c->at > first + 1)) return false;
  if (c->longs && c->at < c->end && *c->at == 'L') c->at++;
  *v = n;
  return true;
}

static int shape_value(cursor *c, sm_npy *h) {
  h->ndim = 0;
  if (!take(c, '(')) return damaged(c, "the shape is no tuple");
  if (take(c, ')')) return 0;
  for (;;) {
    if (h->ndim == SM_NPY_NDIM) return refuse(c->why, "has more than %d extents", SM_NPY_NDIM);
    if (!take_extent(c, &h->dim[h->ndim])) return damaged(c, "an extent is no whole number from 0 to 2^52");
    h->ndim++;
    bool comma = take(c, ',');
    if (take(c, ')')) return comma || h->ndim > 1 ? 0 : damaged(c, "the shape is no tuple"); /* (3) is a number to Python */
    if (!comma) return damaged(c, "the shape is no tuple");
  }
}

static int descr_value(cursor *c, sm_npy *h) {
  const char *text;
  size_t n;
  blanks(c);
  if (c->at < c->end && (*c->at == '[' || *c->at == '('))
    return refuse(c->why, "holds records (a structured dtype), for which shared arrays have no dtype; save its fields one by one");
  if (!take_string(c, &text, &n)) return damaged(c, "the dtype is no string");
  return sm_npy_dtype(text, n, &h->dtype, &h->swap, c->why);
}

static int order_value(cursor *c, sm_npy *h) {
  h->fortran = take_word(c, "True");
  return h->fortran || take_word(c, "False") ? 0 : damaged(c, "fortran_order is neither True nor False");
}

static int dictionary(cursor *c, sm_npy *h) {
  static const char *const key[] = {"descr", "fortran_order", "shape"};
  static int (*const value[])(cursor *, sm_npy *) = {descr_value, order_value, shape_value};
  unsigned seen = 0;
  while (c->at < c->end && (*c->at == ' ' || *c->at == '\t')) c->at++;
  if (c->at == c->end || *c->at != '{') return damaged(c, "it is no dictionary");
  c->at++;
  while (!take(c, '}')) {
    const char *text;
    size_t n, k = 0;
    if (seen && !take(c, ',')) return damaged(c, "it is no dictionary");
    if (seen && take(c, '}')) break;
    if (!take_string(c, &text, &n)) return damaged(c, "a key is no string");
    while (k < 3 && (strlen(key[k]) != n || memcmp(key[k], text, n) != 0)) k++;
    if (k == 3 || seen & 1u << k) return damaged(c, "a key is unknown or stands there twice");
    if (!take(c, ':')) return damaged(c, "it is no dictionary");
    seen |= 1u << k;
    int rc = value[k](c, h);
    if (rc < 0) return rc;
  }
  while (c->at < c->end && (*c->at == ' ' || *c->at == '\t')) c->at++;
  while (c->at < c->end && *c->at == '\n') c->at++; /* to Python, blanks after the line's end are an indented line */
  if (seen != 7) return damaged(c, "descr, fortran_order or shape is missing");
  return c->at == c->end ? 0 : damaged(c, "something follows the dictionary");
}

/* ---- the whole ---- */

/* Extents against the bytes that are there. */
static int measure(sm_npy *h, uint64_t rest, char *why) {
  int64_t most = MOST_BYTES / h->dtype.itemsize, product = 1;
  bool none = false;
  for (int i = 0; i < h->ndim; i++) {
    if (h->dim[i] == 0) none = true;
    else if (product > most / h->dim[i]) return refuse(why, "its extents are those of more than 2^52 bytes");
    else product *= h->dim[i];
  }
  h->length = none ? 0 : product;
  uint64_t nbytes = (uint64_t)h->length * h->dtype.itemsize;
  if (nbytes > rest)
    return refuse(why, "is too short: its header promises %.0f bytes of elements, and there are %.0f", (double)nbytes, (double)rest);
  return 0;
}

int sm_npy_read(const void *bytes, size_t n, uint64_t size, sm_npy *out, char *why) {
  const uint8_t *p = bytes;
  if (n < 6 || memcmp(p, "\x93NUMPY", 6) != 0) {
    if (n >= 2 && p[0] == 0x80 && p[1] <= 5) return refuse(why, "is a Python pickle, which only Python can read");
    return refuse(why, "is no .npy file: it does not begin with NumPy's magic string");
  }
  if (n < 10) return refuse(why, "ends within its header");
  if (p[6] < 1 || p[6] > 3 || p[7] != 0) return refuse(why, "is of format version %d.%d; 1.0, 2.0 and 3.0 are known", p[6], p[7]);
  size_t before = p[6] == 1 ? 10 : 12;
  if (n < before) return refuse(why, "ends within its header");
  size_t length = p[8] | (size_t)p[9] << 8;
  if (before == 12) length |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
  if (length > n - before) {
    if ((uint64_t)length <= size - before)
      return refuse(why, "has a header of %.0f bytes, more than that of any array of numbers", (double)length);
    return refuse(why, "ends within its header");
  }
  *out = (sm_npy){.offset = before + length, .swap = 1};
  cursor c = {(const char *)p + before, (const char *)p + before + length, why, p[6] < 3};
  int rc = dictionary(&c, out);
  return rc < 0 ? rc : measure(out, size - out->offset, why);
}
