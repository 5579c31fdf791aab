/* r_wire_frame.c: see r_wire_frame.h.
 *
 * Ownership: a spill belongs to the writer until its descriptor is sent; a received descriptor belongs to the channel until r_frame_read()
 * has mapped it. R errors inside the stream callbacks leave both in the channel, where r_channel_close() finds them.
 */
#include "r_wire_frame.h"

#include <errno.h>
#include <stdlib.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "r_array.h"
#include "r_here.h"
#include "r_wire_flat.h"
#include "r_wire_move.h"
#include "r_here_trace.h"
#include "r_array_handle.h"
#include "r_util.h"

const char *const r_frame_names[R_FRAME_NTYPES] = {
    [R_FRAME_RESULTS] = "results", [R_FRAME_RESULT] = "result",       [R_FRAME_ERROR] = "error",
    [R_FRAME_STOPPED] = "stopped", [R_FRAME_CONDITION] = "condition", [R_FRAME_QUIT] = "quit",
};

/* ---- writing ---- */

typedef struct {
  r_channel *c;
  const sm_watch *watch;
  int last_fd; /* descriptor of the segment sent last in this frame */
} out_state;

static out_state *writing; /* for name_array(), since R passes to its hook nothing but an R value */

static int wait_for_room(r_channel *c, const sm_watch *watch) {
  r_channel_wake(c);
  r_kill_point(R_KILL_RING_FULL);
  uint64_t t0 = r_trace_begin(r_trace_target);
  int rc = sm_ring_wait(&c->ring, watch);
  r_trace_end(SM_TRACE_WAIT_RING, -1, t0);
  return rc;
}

static void check_channel(const out_state *o, int rc) {
  if (rc == SM_EINTR && o->watch == &r_interrupt_watch) r_interrupt_raise();
  if (rc < 0) r_abort("sharedmem_channel_error", "result channel: %s", sm_error_text(rc));
}

/* A member waits until its last file has been read before it writes another, so that memory stays bounded. */
static void await_file_read(out_state *o) {
  r_channel *c = o->c;
  while (atomic_load(&c->ring.shm->tail) < c->spill_end) {
    check_channel(o, wait_for_room(c, o->watch));
    c->ring.room_to = atomic_load(&c->ring.shm->tail) + c->ring.capacity;
  }
}

static void start_spill(out_state *o) {
  r_channel *c = o->c;
  await_file_read(o);
  int rc = sm_spill_open(&c->spill);
  uint8_t block[4096];
  size_t have = sm_ring_written(&c->ring);
  for (size_t at = 0; rc == 0 && at < have; at += sizeof block) {
    size_t n = have - at < sizeof block ? have - at : sizeof block;
    sm_ring_copy_written(&c->ring, at, block, n);
    rc = sm_spill_write(&c->spill, block, n);
  }
  if (rc < 0) r_abort("sharedmem_memory_error", "cannot open a file for a large result: %s", sm_error_text(rc));
}

static void put_bytes(out_state *o, const void *buf, size_t n) {
  r_channel *c = o->c;
  if (c->spill.fd < 0) {
    int rc;
    if (sm_ring_put_fast(&c->ring, buf, n)) return;
    while ((rc = sm_ring_put(&c->ring, buf, n)) == SM_EAGAIN) check_channel(o, wait_for_room(c, o->watch));
    if (rc == 0) return;
    start_spill(o);
  }
  int rc = sm_spill_write(&c->spill, buf, n);
  if (rc < 0)
    r_abort("sharedmem_memory_error", "no room for a result of more than %.0f bytes: %s", (double)c->spill.nbytes, sm_error_text(rc));
}

static void out_bytes(R_outpstream_t st, void *buf, int n) { put_bytes((out_state *)st->data, buf, (size_t)n); }

static void out_char(R_outpstream_t st, int ch) {
  char b = (char)ch;
  out_bytes(st, &b, 1);
}

static int send_spill(out_state *o) {
  r_channel *c = o->c;
  uint64_t size = c->spill.nbytes;
  int rc = sm_spill_finish(&c->spill);
  if (rc < 0) r_abort("sharedmem_memory_error", "no room for a result of %.0f bytes: %s", (double)size, sm_error_text(rc));
  rc = sm_socket_send_fd(c->sock, c->spill.fd, o->watch);
  r_kill_point(R_KILL_DESCRIPTOR);
  sm_spill_close(&c->spill);
  if (rc < 0) return rc;
  sm_ring_begin(&c->ring);
  while ((rc = sm_ring_put(&c->ring, &size, sizeof size)) == SM_EAGAIN) {
    rc = wait_for_room(c, o->watch);
    if (rc < 0) return rc;
  }
  return rc;
}

/* ---- objects sent as names ---- */

#define DEAD_POINTER "pointer"

/* The name of an environment that both ends have is its place among them. */
static SEXP name_environment(SEXP x, SEXP known) {
  char place[24];
  for (R_xlen_t i = 0; known && i < XLENGTH(known); i++) {
    if (VECTOR_ELT(known, i) != x) continue;
    snprintf(place, sizeof place, "%ld", (long)i);
    return Rf_mkString(place);
  }
  return R_NilValue;
}

/* A dead pointer stays dead (data.table marks its tables by a pointer to R's NULL). */
static SEXP name_pointer(SEXP x) {
  void *at = R_ExternalPtrAddr(x);
  if (at && at != (void *)R_NilValue)
    r_abort("sharedmem_refused_error", "it holds an external pointer, which leads nowhere in another process");
  return Rf_mkString(DEAD_POINTER);
}

/* Hook of R_Serialize(): the pointer of a shared array is sent as a name, and the descriptor of an array that the owner cannot know goes
 * ahead over the socket. */
static SEXP name_object(SEXP x, SEXP data) {
  (void)data;
  r_channel *c = writing->c;
  if (TYPEOF(x) == ENVSXP) return name_environment(x, c->known);
  if (TYPEOF(x) != EXTPTRSXP) return R_NilValue;
  SEXP name = PROTECT(r_array_name(x));
  int fd = name == R_NilValue ? -1 : r_array_travel_fd(x);
  if (fd >= 0 && fd != writing->last_fd) {
    int rc = sm_socket_send_fd(c->sock, fd, writing->watch);
    r_kill_point(R_KILL_DESCRIPTOR);
    if (rc < 0) r_abort("sharedmem_channel_error", "cannot send a shared array: %s", sm_error_text(rc));
    c->segments_sent++;
    writing->last_fd = fd;
  }
  UNPROTECT(1);
  return name == R_NilValue && c->strict ? name_pointer(x) : name;
}

typedef struct {
  uint32_t type;
  SEXP value;
  int64_t first, count;
} message;

/* R may warn while it writes a value ("'package:stats' may not be available when loading"), and the member's handler sends the warning by
 * the same channel. What comes so into a frame is kept until the frame is whole. */
static const r_channel *serializing; /* whose frame R is writing a value into */
static SEXP late;                    /* a cons cell, preserved; behind it list(value, c(type, first, count)) each */

typedef struct {
  out_state *o;
  SEXP value;
} serialize_call;

static SEXP serialize_value(void *arg) {
  serialize_call *s = arg;
  struct R_outpstream_st st;
  R_InitOutPStream(&st, (R_pstream_data_t)s->o, R_pstream_binary_format, 3, out_char, out_bytes, name_object, R_NilValue);
  writing = s->o;
  serializing = s->o->c;
  r_array_in_result = true;
  R_Serialize(s->value, &st);
  return R_NilValue;
}

static void serialize_end(void *arg) {
  (void)arg;
  r_array_in_result = false;
  serializing = NULL;
}

static int keep_late(const message *m) {
  if (!late) R_PreserveObject(late = Rf_cons(R_NilValue, R_NilValue));
  SEXP about = PROTECT(Rf_allocVector(REALSXP, 3));
  REAL(about)[0] = m->type;
  REAL(about)[1] = (double)m->first;
  REAL(about)[2] = (double)m->count;
  SEXP entry = PROTECT(Rf_list2(m->value, about)), last = late;
  while (CDR(last) != R_NilValue) last = CDR(last);
  SETCDR(last, Rf_cons(entry, R_NilValue));
  UNPROTECT(2);
  return 0;
}

/* One that warns itself would do so for ever: what comes while these are sent is dropped. */
static int send_late(r_channel *c, const sm_watch *watch) {
  if (!late || CDR(late) == R_NilValue) return 0;
  SEXP all = PROTECT(CDR(late));
  int rc = 0;
  SETCDR(late, R_NilValue);
  for (SEXP k = all; rc == 0 && k != R_NilValue; k = CDR(k)) {
    const double *about = REAL(CADR(CAR(k)));
    rc = r_frame_send(c, (uint32_t)about[0], CAR(CAR(k)), (int64_t)about[1], (int64_t)about[2], watch);
    SETCDR(late, R_NilValue);
  }
  UNPROTECT(1);
  return rc;
}

/* Send one frame. With head, the vectors that it names are not in the value. A negative code: the owner has gone. */
static int send_frame(out_state *o, const message *m, const sm_move_head_shm *head) {
  r_channel *c = o->c;
  sm_ring_begin(&c->ring);
  if (head) put_bytes(o, head, sizeof *head);
  if (m->value != R_NilValue) {
    serialize_call call = {o, m->value};
    R_ExecWithCleanup(serialize_value, &call, serialize_end, NULL);
  }
  c->last_nbytes = c->spill.fd < 0 ? sm_ring_written(&c->ring) : c->spill.nbytes;
  uint32_t flags = c->segments_sent << R_FRAME_SEGMENT_SHIFT | (head ? R_FRAME_MOVED : 0);
  int rc;
  if (c->moved_fd >= 0) {
    rc = sm_socket_send_fd(c->sock, c->moved_fd, o->watch);
    r_kill_point(R_KILL_DESCRIPTOR);
    if (rc < 0) return rc;
    flags |= R_FRAME_FILED;
  }
  if (c->spill.fd >= 0) {
    rc = send_spill(o);
    if (rc < 0) return rc;
    flags |= R_FRAME_SPILLED;
  }
  while ((rc = sm_ring_commit(&c->ring, m->type, flags, m->first, m->count)) == SM_EAGAIN) {
    rc = wait_for_room(c, o->watch);
    if (rc < 0) return rc;
  }
  c->segments_sent = 0;
  if (flags & (R_FRAME_SPILLED | R_FRAME_FILED)) c->spill_end = atomic_load(&c->ring.shm->head);
  if (!(c->defer_wake && c->moved.count == 0)) r_channel_wake(c);
  return rc;
}

/* An offer stands about as long as it would take to write the file instead: some 2 GB/s, between 10 ms and 10 s. */
static uint32_t offer_ms(uint64_t nbytes) { return 10 + (uint32_t)(nbytes >> 21 < 10000 ? nbytes >> 21 : 10000); }

/* Let the owner copy the vectors from this process's memory. Gives 0 once it has, SM_EAGAIN if it did not. */
static int send_offer(out_state *o, const message *m) {
  r_channel *c = o->c;
  sm_move_head_shm head = {(uint64_t)(uintptr_t)c->moved.entry, c->moved.count};
  uint64_t at = atomic_load(&c->ring.shm->head);
  sm_ring_offer_open(&c->ring, at);
  int rc = send_frame(o, m, &head);
  if (rc < 0) return rc;
  uint64_t end = atomic_load(&c->ring.shm->head), t0 = r_trace_begin(r_trace_target);
  uint32_t ms = offer_ms(c->moved.nbytes);
  do rc = sm_ring_wait_released(&c->ring, end, ms, o->watch);
  while (rc == SM_EAGAIN && !sm_ring_offer_move(&c->ring, at, SM_OFFER_OPEN, SM_OFFER_WITHDRAWN));
  r_trace_end(SM_TRACE_WAIT_RING, -1, t0);
  if (rc == 0 && sm_ring_offer_move(&c->ring, at, SM_OFFER_DENIED, SM_OFFER_NONE)) {
    c->denied = true;
    return SM_EAGAIN;
  }
  return rc;
}

static int send_filed(out_state *o, const message *m) {
  r_channel *c = o->c;
  sm_move_head_shm head;
  sm_spill_close(&c->spill);
  await_file_read(o);
  o->last_fd = -1;
  int rc = sm_move_to_file(&c->moved, &c->moved_fd, &head);
  if (rc < 0)
    r_abort("sharedmem_memory_error", "no room for a result of more than %.0f bytes: %s", (double)c->moved.nbytes, sm_error_text(rc));
  return send_frame(o, m, &head);
}

/* Send a small flat value as a record. SM_ERANGE for any other value. */
static int send_flat(out_state *o, uint32_t type, SEXP value, int64_t first) {
  uint8_t record[R_FLAT_MAX];
  r_channel *c = o->c;
  size_t n = r_flat_pack(value, record);
  if (n == 0 || c->segments_sent > 0) return SM_ERANGE;
  sm_ring_begin(&c->ring);
  int rc;
  while ((rc = sm_ring_put(&c->ring, record, n)) == SM_EAGAIN && (rc = wait_for_room(c, o->watch)) == 0) {}
  if (rc == 0)
    while ((rc = sm_ring_commit(&c->ring, type, R_FRAME_FLAT, first, 1)) == SM_EAGAIN && (rc = wait_for_room(c, o->watch)) == 0) {}
  if (rc == 0 && !c->defer_wake) r_channel_wake(c);
  return rc;
}

int r_frame_send_flat(r_channel *c, uint32_t type, SEXP value, int64_t first, const sm_watch *watch) {
  out_state o = {c, watch, -1};
  return c == serializing ? SM_ERANGE : send_flat(&o, type, value, first);
}

int r_frame_send(r_channel *c, uint32_t type, SEXP value, int64_t first, int64_t count, const sm_watch *watch) {
  out_state o = {c, watch, -1};
  if (c == serializing) return keep_late(&(message){type, value, first, count});
  r_channel_drop_sent(c);
  message m = {type, PROTECT(r_move_out(value, &c->moved)), first, count};
  int rc;
  if (c->moved.count == 0) rc = send_frame(&o, &m, NULL);
  else {
    rc = c->denied ? SM_EAGAIN : send_offer(&o, &m);
    if (rc == SM_EAGAIN) rc = send_filed(&o, &m);
  }
  r_channel_drop_sent(c);
  UNPROTECT(1);
  return rc < 0 ? rc : send_late(c, watch);
}

/* ---- reading ---- */

typedef struct {
  r_channel *c;
  const sm_frame *f;
  const uint8_t *mapped;     /* spilled payload, or NULL */
  const uint8_t *contiguous; /* where the payload stands in one piece, or NULL */
  uint64_t nbytes, at;
  uint64_t checked;      /* bytes since the last look for an interrupt */
  sm_segment **segments; /* of arrays in the value, held while it is read; nsegments of them */
  uint32_t nsegments;
  int claimed;  /* descriptors of the channel that belong to this frame */
  int moved_fd; /* file with the frame's vectors: one of those; -1 */
  bool taken;   /* the writer's offer has been taken and not yet denied */
  SEXP outer;   /* what r_move_expect() gave back; NULL if it was not called */
} in_state;

/* The next descriptor of this frame. It stays in the channel until the value has been read, because after an interrupt the same frame is
 * read again. */
static int claim_fd(in_state *in) {
  r_channel *c = in->c;
  if (in->claimed >= c->nfds) r_channel_drain_socket(c);
  if (c->fd_lost) return -EMFILE;
  return in->claimed < c->nfds ? c->fds[in->claimed++] : SM_EFORMAT;
}

static void drop_claimed(in_state *in) {
  r_channel *c = in->c;
  if (in->claimed == 0) return;
  for (int i = 0; i < in->claimed; i++) close(c->fds[i]);
  c->nfds -= in->claimed;
  memmove(c->fds, c->fds + in->claimed, (size_t)c->nfds * sizeof c->fds[0]);
  in->claimed = 0;
}

#define INTERRUPT_BYTES (UINT64_C(1) << 20)

static void get_bytes(in_state *in, void *buf, size_t n) {
  if (n > in->nbytes - in->at) r_abort("sharedmem_channel_error", "a worker's result ends too early");
  if (in->contiguous) memcpy(buf, in->contiguous + in->at, n);
  else sm_ring_get(&in->c->ring, in->f, in->at, buf, n);
  in->at += n;
  in->checked += n;
  if (in->checked > INTERRUPT_BYTES) {
    in->checked = 0;
    R_CheckUserInterrupt();
  }
}

static void in_bytes(R_inpstream_t st, void *buf, int n) { get_bytes((in_state *)st->data, buf, (size_t)n); }

static int in_char(R_inpstream_t st) {
  unsigned char b;
  in_bytes(st, &b, 1);
  return b;
}

static const r_channel *reading; /* for object_of_name() */

static SEXP object_of_name(SEXP name, SEXP data) {
  (void)data;
  if (TYPEOF(name) != STRSXP || XLENGTH(name) != 1) return r_array_from_name(name);
  const char *text = CHAR(STRING_ELT(name, 0));
  if (strcmp(text, DEAD_POINTER) == 0) return R_MakeExternalPtr(NULL, R_NilValue, R_NilValue);
  SEXP known = reading->known;
  long i = strtol(text, NULL, 10);
  if (!known || i < 0 || i >= XLENGTH(known)) r_abort("sharedmem_channel_error", "an environment has come that is not known here");
  return VECTOR_ELT(known, i);
}

static void abort_fd(int rc) {
  r_abort("sharedmem_channel_error", "cannot read a worker's result: %s%s", sm_error_text(rc),
          rc == -EMFILE ? "; raise the limit of open files (ulimit -n)" : "");
}

static void adopt_segments(in_state *in) {
  uint32_t n = in->f->flags >> R_FRAME_SEGMENT_SHIFT;
  in->segments = (sm_segment **)R_alloc(n, sizeof *in->segments);
  for (; in->nsegments < n; in->nsegments++) {
    int fd = claim_fd(in);
    if (fd >= 0 && (fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0) fd = -errno;
    int rc = fd < 0 ? fd : sm_segment_adopt(fd, &in->segments[in->nsegments]);
    if (rc < 0 && fd >= 0) close(fd);
    if (rc < 0) abort_fd(rc);
  }
}

static void map_spilled(in_state *in) {
  uint64_t size = 0;
  int rc = sm_ring_get(&in->c->ring, in->f, 0, &size, sizeof size);
  int fd = rc < 0 ? rc : claim_fd(in);
  rc = fd < 0 ? fd : sm_spill_map(fd, size, &in->mapped);
  if (rc < 0) abort_fd(rc);
  in->contiguous = in->mapped;
  in->nbytes = size;
}

static SEXP read_stream(in_state *in) {
  struct R_inpstream_st st;
  reading = in->c;
  R_InitInPStream(&st, (R_pstream_data_t)in, R_pstream_binary_format, in_char, in_bytes, object_of_name, R_NilValue);
  return R_Unserialize(&st);
}

/* The position of the frame in the ring. */
static uint64_t place_of(const r_channel *c) { return atomic_load_explicit(&c->ring.shm->tail, memory_order_relaxed); }

/* The vectors first, then the value around them. */
static SEXP read_moved(in_state *in) {
  r_channel *c = in->c;
  bool filed = in->f->flags & R_FRAME_FILED;
  sm_move_source source = {c->peer, -1, 0};
  sm_move_head_shm head;
  int rc = filed ? sm_move_open(in->moved_fd, &source) : 0;
  if (rc < 0) abort_fd(rc);
  if (!filed && !sm_ring_offer_move(&c->ring, place_of(c), SM_OFFER_OPEN, SM_OFFER_TAKEN)) return R_UnboundValue;
  in->taken = !filed;
  get_bytes(in, &head, sizeof head);
  SEXP vectors = PROTECT(r_move_in(&source, &head, &rc));
  if (rc < 0) {
    UNPROTECT(1);
    if (filed || rc == SM_EFORMAT) abort_fd(rc);
    /* Also where the worker seems to be gone: if it lives after all, it sends the value again, by a file. */
    sm_ring_offer_move(&c->ring, place_of(c), SM_OFFER_TAKEN, SM_OFFER_DENIED);
    in->taken = false;
    return R_UnboundValue;
  }
  in->outer = r_move_expect(vectors);
  SEXP value = PROTECT(read_stream(in));
  /* From here on the value alone refers to the vectors, so that a later assignment changes them in place. */
  for (R_xlen_t i = 0; i < XLENGTH(vectors); i++) SET_VECTOR_ELT(vectors, i, R_NilValue);
  UNPROTECT(2);
  return value;
}

static SEXP unserialize_body(void *data) {
  in_state *in = data;
  uint32_t flags = in->f->flags;
  if (flags >> R_FRAME_SEGMENT_SHIFT) adopt_segments(in);
  if (flags & R_FRAME_FILED) {
    in->moved_fd = claim_fd(in);
    if (in->moved_fd < 0) abort_fd(in->moved_fd);
  }
  if (flags & R_FRAME_SPILLED) map_spilled(in);
  return flags & R_FRAME_MOVED ? read_moved(in) : read_stream(in);
}

static void release_after(void *data, Rboolean jump) {
  in_state *in = data;
  if (!jump) drop_claimed(in);
  /* After an interrupt the same frame is read again. */
  if (jump && in->taken) sm_ring_offer_move(&in->c->ring, place_of(in->c), SM_OFFER_TAKEN, SM_OFFER_OPEN);
  if (in->outer) r_move_expect(in->outer);
  if (in->mapped) sm_spill_unmap(in->mapped, in->nbytes);
  in->mapped = NULL;
  while (in->nsegments > 0) sm_segment_unref(in->segments[--in->nsegments]);
}

static SEXP read_flat(r_channel *c, const sm_frame *f) {
  uint8_t record[R_FLAT_MAX];
  if (f->nbytes > sizeof record) return R_UnboundValue;
  sm_ring_get(&c->ring, f, 0, record, (size_t)f->nbytes);
  return r_flat_unpack(record, (size_t)f->nbytes);
}

SEXP r_frame_read(r_channel *c, const sm_frame *f) {
  if (f->nbytes == 0) return R_NilValue;
  if (f->flags == R_FRAME_FLAT) {
    SEXP value = read_flat(c, f);
    if (value == R_UnboundValue) r_abort("sharedmem_channel_error", "a worker's result is malformed");
    return value;
  }
  in_state in = {.c = c, .f = f, .nbytes = f->nbytes, .moved_fd = -1, .contiguous = sm_ring_contiguous(&c->ring, f)};
  if (f->flags == 0) return unserialize_body(&in);
  SEXP token = PROTECT(R_MakeUnwindCont());
  SEXP value = R_UnwindProtect(unserialize_body, &in, release_after, &in, token);
  UNPROTECT(1);
  return value;
}
