/* r_wire_frame, r_wire_flat, r_wire_move, r_wire_strings, r_array_handle: frames and handles, read in an R that this program starts.
 * Whatever the input says, there is a value whose elements can be read, or an R error.
 *
 * What R_Unserialize() makes of damaged bytes is R's own affair, so the serialized part of a frame is one of a few good ones; all
 * around it is the input's.
 */
#define R_NO_REMAP
#include <Rinternals.h>

#include <R_ext/Parse.h>
#include <R_ext/Rdynload.h>
#include <Rembedded.h>

#define CSTACK_DEFNS
#include <Rinterface.h>

#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "mem_descriptor.h"
#include "mem_file.h"
#include "r_array.h"
#include "r_array_handle.h"
#include "r_wire_frame.h"
#include "r_wire_move.h"

#define CAPACITY 65536
#define STREAMS 4
#define METAS 6

int LLVMFuzzerInitialize(int *argc, char ***argv);
void R_init_sharedmem(DllInfo *dll);
SEXP ffi_index_get(SEXP x, SEXP i, SEXP drop);

static SEXP stream[STREAMS]; /* serialized: two values, one placeholder, a list of two */
static SEXP meta[METAS];     /* serialized attributes of a handle, not all of them fit */
static SEXP handle, block_handle;
static uint8_t *ring_memory;

static SEXP evaluate(const char *text) {
  SEXP value = R_NilValue;
  ParseStatus status;
  SEXP code = PROTECT(Rf_mkString(text)), exprs = PROTECT(R_ParseVector(code, -1, &status, R_NilValue));
  if (status != PARSE_OK) exit(2);
  for (R_xlen_t i = 0; i < XLENGTH(exprs); i++) value = Rf_eval(VECTOR_ELT(exprs, i), R_GlobalEnv);
  UNPROTECT(2);
  return value;
}

static SEXP kept(SEXP x) {
  R_PreserveObject(x);
  return x;
}

/* x as R_Serialize() writes it for a frame, large vectors replaced. */
static SEXP serialized(SEXP x) {
  sm_move_table t;
  memset(&t, 0, sizeof t);
  SEXP f = PROTECT(evaluate("function(x) serialize(x, NULL, xdr = FALSE)")), left = PROTECT(r_move_out(PROTECT(x), &t));
  SEXP bytes = kept(Rf_eval(PROTECT(Rf_lang2(f, left)), R_GlobalEnv));
  sm_move_clear(&t);
  UNPROTECT(4);
  return bytes;
}

static void prepare(void *unused) {
  (void)unused;
  evaluate("library(sharedmem)");
  R_init_sharedmem(R_getEmbeddingDllInfo()); /* from now on classes are those of the code in this program */
  const char *const values[STREAMS] = {"1:3", "list(a = 'x', b = c(k = 2.5))", "numeric(1e5)",
                                       "list(as.character(1:1e5), n = integer(1e5))"};
  const char *const metas[METAS] = {"list(names = letters[1:6])",
                                    "list(dimnames = list(c('a', 'b'), letters[1:3]))",
                                    "list(class = 'Date')",
                                    "list(class = 'factor', levels = c('a', 'b'))",
                                    "list(dimnames = list(1:2, NULL))",
                                    "list(names = letters[1:3], tzone = 'UTC', class = c('POSIXct', 'POSIXt'))"};
  for (int i = 0; i < STREAMS; i++) stream[i] = serialized(PROTECT(evaluate(values[i])));
  for (int i = 0; i < METAS; i++) meta[i] = serialized(PROTECT(evaluate(metas[i])));
  UNPROTECT(STREAMS + METAS);
  ring_memory = exactly(sm_ring_nbytes(CAPACITY));
}

SEXP ffi_array_new(SEXP shape, SEXP dtype);

static void make_arrays(void *unused) {
  (void)unused;
  SEXP dtype = PROTECT(Rf_mkString("f8")), small = PROTECT(Rf_ScalarReal(6)), large = PROTECT(Rf_ScalarReal(6000));
  handle = kept(ffi_array_new(large, dtype));
  block_handle = kept(ffi_array_new(small, dtype));
  UNPROTECT(3);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  char *args[] = {"R", "--no-echo", "--no-save", "--vanilla"};
  (void)argc, (void)argv;
  R_SignalHandlers = 0;
  Rf_initEmbeddedR(4, args);
  R_CStackLimit = (uintptr_t)-1;
  if (!R_ToplevelExec(prepare, NULL) || !R_ToplevelExec(make_arrays, NULL)) exit(2);
  return 0;
}

/* Read every element. */
static void touch(SEXP x, int depth) {
  R_xlen_t n = Rf_xlength(x);
  if (depth > 20) return;
  if (TYPEOF(x) == VECSXP)
    for (R_xlen_t i = 0; i < n; i++) touch(VECTOR_ELT(x, i), depth + 1);
  else if (TYPEOF(x) == STRSXP)
    for (R_xlen_t i = 0; i < n; i++) CHECK(strlen(CHAR(STRING_ELT(x, i))) <= 1 << 20, "a string ends");
  else if (TYPEOF(x) == REALSXP && n > 0) CHECK(REAL_ELT(x, n - 1) != 12345.678, "the last number is there");
  else if (TYPEOF(x) == INTSXP && n > 0) CHECK(INTEGER_ELT(x, n - 1) != 1234567891, "the last number is there");
}

/* ---- frames ---- */

typedef struct {
  r_channel c;
  int other; /* the writer's end of the socket */
  fuzz_in in;
} frame_job;

static uint8_t payload[CAPACITY / 2];

static size_t put(size_t at, const void *p, size_t n) {
  if (n > sizeof payload - at) n = sizeof payload - at;
  memcpy(payload + at, p, n);
  return at + n;
}

static size_t put_stream(fuzz_in *in, size_t at) {
  SEXP s = stream[take_below(in, STREAMS)];
  return put(at, RAW(s), (size_t)XLENGTH(s));
}

static size_t put_record(fuzz_in *in) {
  static const int32_t types[] = {LGLSXP, INTSXP, REALSXP, CPLXSXP, RAWSXP, STRSXP, NILSXP, VECSXP};
  int32_t head[2] = {take_u8(in) < 230 ? types[take_below(in, 8)] : (int32_t)take_number(in), (int32_t)take_number(in)};
  size_t at = put(0, head, sizeof head);
  if (head[0] == STRSXP)
    for (int k = (int)take_below(in, 12); k > 0; k--) {
      int32_t text[2] = {take_u8(in) < 200 ? take_u8(in) % 9 : (int32_t)take_number(in), take_u8(in) < 200 ? take_u8(in) & 3 : take_u8(in)};
      char bytes[8];
      take(in, bytes, sizeof bytes);
      at = put(put(at, text, sizeof text), bytes, text[0] > 0 && text[0] < 9 ? (size_t)text[0] : 0);
    }
  size_t more = take_u8(in);
  for (size_t i = 0; i < more && in->left; i++) {
    uint8_t b = take_u8(in);
    at = put(at, &b, 1);
  }
  return at;
}

/* Entries of a table of moved vectors and their pieces at p, room for 4096 bytes; gives the size of all. */
static size_t fill_table(fuzz_in *in, uint8_t *p, uint64_t base, sm_move_head_shm *head) {
  sm_moved_shm entry[3];
  size_t count = 1 + (size_t)take_below(in, 3), at = 0;
  memset(entry, 0, sizeof entry);
  for (size_t k = 0; k < count; k++) {
    sm_moved_shm *e = &entry[k];
    uint64_t length = 1 + take_below(in, 20);
    e->type = (uint32_t[]){REALSXP, STRSXP, INTSXP, RAWSXP}[take_below(in, 4)];
    e->length = (int64_t)length;
    e->nbytes[0] = length * (e->type == REALSXP ? 8 : e->type == INTSXP ? 4 : 1);
    if (e->type == STRSXP) {
      uint64_t entries = 1 + take_below(in, length), end = 0;
      e->nbytes[0] = 8 * (entries + 1);
      e->nbytes[1] = entries == length ? 0 : 4 * length;
      e->nbytes[2] = take_below(in, 60);
      for (uint64_t i = 1; i <= entries; i++) {
        uint64_t step = take_u8(in) & 7;
        end = i == entries || end + step > e->nbytes[2] ? e->nbytes[2] : end + step;
        uint64_t v = end << 3 | (take_u8(in) & 7);
        memcpy(p + at + 8 * i, &v, 8);
      }
      for (uint64_t i = 0; e->nbytes[1] && i < length; i++) {
        uint32_t v = (uint32_t)take_below(in, entries);
        memcpy(p + at + e->nbytes[0] + 4 * i, &v, 4);
      }
      for (uint64_t i = 0; i < e->nbytes[2]; i++) p[at + e->nbytes[0] + e->nbytes[1] + i] = (uint8_t)('a' + i % 26);
    }
    for (int j = 0; j < SM_MOVE_PIECES; j++) {
      e->at[j] = base + at;
      at += (size_t)e->nbytes[j];
    }
  }
  while (take_u8(in) > 140) { /* damage to the table, or to what it names */
    size_t where = take_u8(in) & 1 ? (size_t)(take_u64(in) % (at + 1)) : at;
    if (where < at) p[where] = take_u8(in);
    else if (take_u8(in) & 1) ((uint64_t *)(void *)entry)[take_below(in, sizeof entry / 8)] = (uint64_t)take_number(in);
    else ((uint32_t *)(void *)entry)[take_below(in, sizeof entry / 4)] = (uint32_t)take_number(in);
  }
  *head = (sm_move_head_shm){base + at, count};
  if (take_u8(in) > 230) head->count = (uint64_t)take_number(in);
  if (take_u8(in) > 240) head->table = (uint64_t)take_number(in);
  memcpy(p + at, entry, count * sizeof *entry);
  return at + count * sizeof *entry;
}

static void send_file(frame_job *j, const void *p, size_t n, bool sealed) {
  int fd = take_u8(&j->in) > 245 ? dup(j->other) : sm_anon_file();
  if (fd < 0) exit(2);
  if (write(fd, p, n) != (ssize_t)n) n = 0;
  if (sealed) sm_anon_seal(fd, false);
  sm_socket_send_fd(j->other, fd, NULL);
  close(fd);
}

static size_t put_frame(frame_job *j, uint32_t *flags) {
  static uint8_t table[8192];
  fuzz_in *in = &j->in;
  uint8_t kind = take_u8(in) % 5;
  sm_move_head_shm head;
  *flags = 0;
  if (kind == 0) {
    *flags = R_FRAME_FLAT;
    return put_record(in);
  }
  if (kind == 1) return put_stream(in, 0);
  if (kind == 2) { /* vectors in a file */
    *flags = R_FRAME_MOVED | R_FRAME_FILED;
    memset(table, 0, sizeof table);
    size_t n = fill_table(in, table, 0, &head);
    send_file(j, table, n, true);
    return put_stream(in, put(0, &head, sizeof head));
  }
  if (kind == 3) { /* vectors in the writer's memory, which is this process's */
    *flags = R_FRAME_MOVED;
    memset(table, 0, sizeof table);
    fill_table(in, table, (uint64_t)(uintptr_t)table, &head);
    j->c.peer = getpid();
    sm_ring_offer_open(&j->c.ring, atomic_load(&j->c.ring.shm->head));
    return put_stream(in, put(0, &head, sizeof head));
  }
  *flags = R_FRAME_SPILLED;
  size_t n = put_stream(in, 0);
  send_file(j, payload, n, take_u8(in) < 230);
  uint64_t claimed = take_u8(in) < 220 ? n : (uint64_t)take_number(in);
  return put(0, &claimed, take_u8(in) < 230 ? sizeof claimed : take_u8(in) & 7);
}

static SEXP read_frame(void *data) {
  frame_job *j = data;
  sm_frame f;
  if (sm_ring_peek(&j->c.ring, &f) != 1) return R_NilValue;
  SEXP value = PROTECT(r_frame_read(&j->c, &f));
  if (value != R_UnboundValue) touch(value, 0);
  UNPROTECT(1);
  return value;
}

static SEXP ignore(SEXP condition, void *data) {
  (void)condition, (void)data;
  return R_NilValue;
}

static void frame(fuzz_in *in) {
  frame_job j = {.in = *in};
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) exit(2);
  memset(ring_memory, 0, sm_ring_nbytes(CAPACITY));
  r_channel_open(&j.c, ring_memory, CAPACITY);
  uint64_t begin = (uint64_t)take_below(&j.in, 4) * (CAPACITY / 4) + CAPACITY - 8 * take_u8(&j.in); /* frames that wrap around, too */
  atomic_store(&j.c.ring.shm->head, begin);
  atomic_store(&j.c.ring.shm->tail, begin);
  j.c.sock = pair[0];
  j.other = pair[1];
  uint32_t flags;
  size_t n = put_frame(&j, &flags);
  if (take_u8(&j.in) > 230) flags ^= 1u << take_u8(&j.in) % 10;
  sm_ring_begin(&j.c.ring);
  if (sm_ring_put(&j.c.ring, payload, n < CAPACITY / 2 - 64 ? n : CAPACITY / 2 - 64) == 0)
    sm_ring_commit(&j.c.ring, R_FRAME_RESULT, flags, 0, 1);
  R_tryCatchError(read_frame, &j, ignore, NULL);
  j.c.peer = 0;
  r_channel_close(&j.c);
  close(pair[0]);
  close(pair[1]);
}

/* ---- handles ---- */

static SEXP hex_of(const uint8_t *p, size_t n) {
  static char text[20000];
  for (size_t i = 0; i < n && 2 * i + 2 < sizeof text; i++) snprintf(text + 2 * i, 3, "%02x", p[i]);
  return Rf_mkChar(n > 0 ? text : "");
}

static SEXP read_handle(void *data) {
  fuzz_in *in = data;
  SEXP of = take_u8(in) & 1 ? handle : block_handle, tag = R_ExternalPtrTag(r_array_ptr(of));
  uint8_t buf[1024];
  size_t n = (size_t)XLENGTH(tag);
  memset(buf, 0, sizeof buf);
  memcpy(buf, RAW(tag), n);
  sm_descriptor d;
  memcpy(&d, buf, sizeof d);
  uint8_t how = take_u8(in);
  if (how & 1) { /* another shape and dtype, whose size may fit */
    static const uint8_t size[] = {0, 8, 4, 1, 2, 4, 8, 1, 2, 4, 16, 1, 5};
    int64_t dim[4];
    d.ndim = take_u8(in) % 4;
    d.vector = d.ndim == 1;
    d.code = take_u8(in) % 13;
    d.itemsize = take_u8(in) < 240 ? size[d.code] : take_u8(in);
    d.raw = take_u8(in) > 200;
    d.readonly = how >> 2 & 1;
    d.offset += take_u8(in) < 200 ? 0 : (uint64_t)take_number(in);
    for (uint32_t i = 0; i < d.ndim; i++) dim[i] = take_number(in);
    sm_descriptor_write(&d, dim, &(sm_descriptor_file){0, 0, NULL}, buf);
    n = d.size;
  }
  for (int k = take_u8(in) % 4; k > 0; k--) {
    size_t at = take_u8(in) % n;
    buf[at] = take_u8(in);
  }
  memcpy(&d, buf, sizeof d);
  if (d.kind == SM_SEGMENT_FILE || d.pid != getpid()) return R_NilValue; /* files and processes of others are none of the input's */
  if (take_u8(in) < 240) sm_descriptor_seal(buf, n);
  SEXP name = PROTECT(Rf_allocVector(STRSXP, 2));
  SET_STRING_ELT(name, 0, hex_of(buf, n));
  SEXP m = take_u8(in) & 1 ? R_NilValue : meta[take_below(in, METAS)];
  SET_STRING_ELT(name, 1, m == R_NilValue ? R_BlankString : hex_of(RAW(m), (size_t)XLENGTH(m)));
  SEXP x = PROTECT(r_array_handle(PROTECT(r_array_from_name(name))));
  r_array *a = r_array_get(x, "x");
  if (a->length < 100000) touch(PROTECT(ffi_index_get(x, Rf_install("all"), R_NilValue)), 0);
  else PROTECT(R_NilValue);
  UNPROTECT(4);
  return R_NilValue;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static int turn;
  fuzz_in in = {data, size};
  if (take_u8(&in) & 1) frame(&in);
  else R_tryCatchError(read_handle, &in, ignore, NULL);
  if (++turn % 256 == 0) R_gc();
  return 0;
}
