/* arr_dtype.c: see arr_dtype.h. */
#include "arr_dtype.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  sm_dtype d;
} table[] = {
    {"f8", {SM_F8, 0, 8}},
    {"f4", {SM_F4, 0, 4}},
    {"i1", {SM_I1, 0, 1}},
    {"i2", {SM_I2, 0, 2}},
    {"i4", {SM_I4, 0, 4}},
    {"i8", {SM_I8, 0, 8}},
    {"u1", {SM_U1, 0, 1}},
    {"u2", {SM_U2, 0, 2}},
    {"u4", {SM_U4, 0, 4}},
    {"c16", {SM_C16, 0, 16}},
    {"b1", {SM_B1, 0, 1}},
    {"raw", {SM_U1, 1, 1}},
    /* R type names; the NumPy code stands first and is what is printed */
    {"double", {SM_F8, 0, 8}},
    {"numeric", {SM_F8, 0, 8}},
    {"integer", {SM_I4, 0, 4}},
    {"logical", {SM_B1, 0, 1}},
    {"complex", {SM_C16, 0, 16}},
    {"integer64", {SM_I8, 0, 8}},
    /* NumPy's names */
    {"float64", {SM_F8, 0, 8}},
    {"float32", {SM_F4, 0, 4}},
    {"float", {SM_F8, 0, 8}},
    {"single", {SM_F4, 0, 4}},
    {"int8", {SM_I1, 0, 1}},
    {"int16", {SM_I2, 0, 2}},
    {"int32", {SM_I4, 0, 4}},
    {"int64", {SM_I8, 0, 8}},
    {"int", {SM_I8, 0, 8}},
    {"uint8", {SM_U1, 0, 1}},
    {"uint16", {SM_U2, 0, 2}},
    {"uint32", {SM_U4, 0, 4}},
    {"complex128", {SM_C16, 0, 16}},
    {"bool", {SM_B1, 0, 1}},
};

/* Past the mark of this machine's byte order that NumPy's typestrings begin with; they end in a digit. */
static const char *skip_order(const char *text) {
  const uint16_t one = 1;
  char native = *(const uint8_t *)&one ? '<' : '>';
  size_t n = strlen(text);
  bool marked = text[0] == '=' || text[0] == '|' || text[0] == native;
  return marked && n > 1 && text[n - 1] >= '0' && text[n - 1] <= '9' && strcspn(text, "0123456789") == 2 ? text + 1 : text;
}

int sm_dtype_parse(const char *text, sm_dtype *out) {
  text = skip_order(text);
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    if (strcmp(text, table[i].name) == 0) {
      *out = table[i].d;
      return 0;
    }
  if (text[0] == 'S' && text[1] >= '1' && text[1] <= '9') {
    char *end;
    unsigned long n = strtoul(text + 1, &end, 10);
    if (*end == 0 && n <= INT32_MAX) {
      *out = (sm_dtype){SM_STR, 0, (uint32_t)n};
      return 0;
    }
  }
  return SM_EFORMAT;
}

void sm_dtype_format(sm_dtype d, char *buf) {
  if (d.code == SM_STR) {
    snprintf(buf, 16, "S%u", (unsigned)d.itemsize);
    return;
  }
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    if (table[i].d.code == d.code && table[i].d.raw == d.raw) {
      snprintf(buf, 16, "%s", table[i].name);
      return;
    }
  snprintf(buf, 16, "?");
}

bool sm_dtype_valid(sm_dtype d) {
  if (d.code == SM_STR) return d.raw <= 3 && d.itemsize >= 1 && d.itemsize <= INT32_MAX;
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    if (table[i].d.code == d.code && table[i].d.raw == d.raw && table[i].d.itemsize == d.itemsize) return true;
  return false;
}
