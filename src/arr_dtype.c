/* arr_dtype.c: see arr_dtype.h. */
#include "arr_dtype.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANY 1, 0 /* no limits of whole numbers */

/* In the order of the codes, so that a code finds its row at once; raw, and S<n> last. */
static const sm_dtype_info table[] = {{"f8", {SM_F8, 0, 8}, SM_R_DBL, true, SM_KEY_F8, 8, SM_CLASS_FLOAT, ANY},
                                      {"f4", {SM_F4, 0, 4}, SM_R_DBL, true, SM_KEY_F4, 4, SM_CLASS_FLOAT, ANY},
                                      {"i1", {SM_I1, 0, 1}, SM_R_INT, false, SM_KEY_I1, 1, SM_CLASS_INTEGER, INT8_MIN, INT8_MAX},
                                      {"i2", {SM_I2, 0, 2}, SM_R_INT, false, SM_KEY_I2, 2, SM_CLASS_INTEGER, INT16_MIN, INT16_MAX},
                                      {"i4", {SM_I4, 0, 4}, SM_R_INT, true, SM_KEY_I4, 4, SM_CLASS_INTEGER, -INT32_MAX, INT32_MAX},
                                      {"i8", {SM_I8, 0, 8}, SM_R_DBL, false, SM_KEY_I8, 8, SM_CLASS_WIDE, INT64_MIN, INT64_MAX},
                                      {"u1", {SM_U1, 0, 1}, SM_R_INT, false, SM_KEY_U1, 1, SM_CLASS_INTEGER, 0, UINT8_MAX},
                                      {"u2", {SM_U2, 0, 2}, SM_R_INT, false, SM_KEY_U2, 2, SM_CLASS_INTEGER, 0, UINT16_MAX},
                                      {"u4", {SM_U4, 0, 4}, SM_R_DBL, false, SM_KEY_U4, 4, SM_CLASS_LARGE, 0, UINT32_MAX},
                                      {"c16", {SM_C16, 0, 16}, SM_R_CPLX, true, SM_KEY_NONE, 8, SM_CLASS_NONE, ANY},
                                      {"b1", {SM_B1, 0, 1}, SM_R_LGL, true, SM_KEY_B1, 1, SM_CLASS_INTEGER, 0, 1},
                                      {"raw", {SM_U1, 1, 1}, SM_R_RAW, false, SM_KEY_U1, 1, SM_CLASS_NONE, ANY},
                                      {"S", {SM_STR, 0, 0}, SM_R_STR, true, SM_KEY_STR, 1, SM_CLASS_NONE, ANY}};
#define ROWS ((int)(sizeof table / sizeof *table))
#define RAW_ROW (SM_B1 - SM_F8 + 1) /* rows before it stand in the order of their codes */

/* Names that others use: R's types, then NumPy's. */
static const struct {
  const char *name, *code;
} others[] = {{"double", "f8"},  {"numeric", "f8"}, {"integer", "i4"}, {"logical", "b1"}, {"complex", "c16"}, {"integer64", "i8"},
              {"float64", "f8"}, {"float32", "f4"}, {"float", "f8"},   {"int8", "i1"},    {"int16", "i2"},    {"int32", "i4"},
              {"int64", "i8"},   {"uint8", "u1"},   {"uint16", "u2"},  {"uint32", "u4"},  {"int", "i8"},      {"complex128", "c16"},
              {"bool", "b1"},    {"single", "f4"},  {"?", "b1"}};

const sm_dtype_info *sm_dtype_row(int i) { return i >= 0 && i < ROWS ? &table[i] : NULL; }

const sm_dtype_info *sm_dtype_info_of(sm_dtype d) {
  if (d.raw && d.code == SM_U1) return &table[RAW_ROW];
  return &table[d.code >= SM_F8 && d.code <= SM_B1 ? d.code - SM_F8 : ROWS - 1];
}

static int parse_code(const char *text, sm_dtype *out) {
  for (int i = 0; i < ROWS - 1; i++)
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

/* A type string begins with a byte order: the machine's own, or none for items of one byte. */
static int parse_typestr(const char *text, sm_dtype *out) {
  const char native = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '<' : '>';
  sm_dtype d;
  if (parse_code(text + 1, &d) < 0 || d.raw) return SM_EFORMAT;
  bool single = sm_dtype_info_of(d)->swap == 1;
  if (*text != '=' && *text != native && !(single && strchr("|<>", *text))) return SM_EFORMAT;
  *out = d;
  return 0;
}

int sm_dtype_parse(const char *text, sm_dtype *out) {
  if (*text && strchr("<>=|", *text)) return parse_typestr(text, out);
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (strcmp(text, others[i].name) == 0) return parse_code(others[i].code, out);
  return parse_code(text, out);
}

void sm_dtype_format(sm_dtype d, char *buf) {
  if (!sm_dtype_valid(d)) snprintf(buf, 16, "?");
  else if (d.code == SM_STR) snprintf(buf, 16, "S%u", (unsigned)d.itemsize);
  else snprintf(buf, 16, "%s", sm_dtype_info_of(d)->name);
}

bool sm_dtype_valid(sm_dtype d) {
  const sm_dtype_info *row = sm_dtype_info_of(d);
  if (d.code == SM_STR) return d.raw <= 3 && d.itemsize >= 1 && d.itemsize <= INT32_MAX;
  return row->d.code == d.code && row->d.raw == d.raw && row->d.itemsize == d.itemsize;
}
