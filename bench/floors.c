/* Physical limits that the benchmarks are held against: what the machine, or a bare call from R, costs without the
 * package. Built by bench/floors.R into a temporary directory and loaded there; each entry does the work once and
 * gives seconds where it times itself. */
#define _GNU_SOURCE
#include <R.h>
#include <Rinternals.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST 16

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* n children, each answers a byte and ends; all are reaped. */
SEXP floor_fork(SEXP n_) {
  int n = Rf_asInteger(n_), fd[2], answers = 0;
  pid_t pid[MOST];
  char byte = 1;
  if (n < 1 || n > MOST || pipe(fd) < 0) Rf_error("floor_fork");
  for (int i = 0; i < n; i++) {
    pid[i] = fork();
    if (pid[i] == 0) _exit(write(fd[1], &byte, 1) != 1);
  }
  while (answers < n && read(fd[0], &byte, 1) == 1) answers++;
  for (int i = 0; i < n; i++) waitpid(pid[i], NULL, 0);
  close(fd[0]);
  close(fd[1]);
  return Rf_ScalarInteger(answers);
}

/* Forks once, and gives the seconds until fork() is back in the parent. */
SEXP floor_fork_alone(void) {
  double start = seconds();
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  double end = seconds();
  waitpid(pid, NULL, 0);
  return Rf_ScalarReal(end - start);
}

/* ---- memory ---- */

/* `times` copies of x, up to 2^27 doubles, over one buffer. */
SEXP floor_memcpy(SEXP x, SEXP times) {
  size_t n = (size_t)XLENGTH(x) * sizeof(double);
  char *to = malloc(n);
  if (!to) Rf_error("floor_memcpy");
  memset(to, 1, n);
  double start = seconds();
  for (int k = 0; k < Rf_asInteger(times); k++) {
    memcpy(to, REAL(x), n);
    __asm__ volatile("" : : "r"(to) : "memory");
  }
  double end = seconds();
  free(to);
  return Rf_ScalarReal(end - start);
}

typedef struct {
  const char *from;
  char *to;
  size_t nbytes;
} part;

static void *copy_part(void *p_) {
  part *p = p_;
  for (size_t at = 0; at < p->nbytes; at += (size_t)1 << 20) {
    size_t n = p->nbytes - at < ((size_t)1 << 20) ? p->nbytes - at : (size_t)1 << 20;
    memcpy(p->to + at, p->from, n); /* the source stays in the cache: what counts is the fresh page */
  }
  return NULL;
}

/* `nbytes` into fresh pages by `threads`, in equal parts; kind 0: private, 1: private, huge pages advised, 2: shared. */
SEXP floor_fresh(SEXP nbytes_, SEXP threads_, SEXP kind_) {
  size_t nbytes = (size_t)Rf_asReal(nbytes_);
  int threads = Rf_asInteger(threads_), kind = Rf_asInteger(kind_);
  pthread_t thread[MOST];
  part parts[MOST];
  if (threads < 1 || threads > MOST) Rf_error("floor_fresh");
  char *from = malloc((size_t)1 << 20);
  memset(from, 1, (size_t)1 << 20);
  double start = seconds();
  char *to = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, (kind == 2 ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
  if (to == MAP_FAILED) Rf_error("floor_fresh: no memory");
#ifdef MADV_HUGEPAGE
  if (kind == 1) madvise(to, nbytes, MADV_HUGEPAGE);
#endif
  for (int i = 0; i < threads; i++) {
    size_t each = nbytes / (size_t)threads;
    parts[i] = (part){from, to + (size_t)i * each, each};
    if (i) pthread_create(&thread[i], NULL, copy_part, &parts[i]);
  }
  copy_part(&parts[0]);
  for (int i = 1; i < threads; i++) pthread_join(thread[i], NULL);
  double end = seconds();
  munmap(to, nbytes);
  free(from);
  return Rf_ScalarReal(end - start);
}

/* ---- passes over doubles ---- */

typedef struct {
  const double *x;
  size_t n;
  int *to;
  double sum;
} stretch;

static void *sum_stretch(void *s_) {
  stretch *s = s_;
  double a[8] = {0};
  size_t i = 0;
  for (; i + 8 <= s->n; i += 8)
    for (int k = 0; k < 8; k++) a[k] += s->x[i + k];
  for (; i < s->n; i++) a[0] += s->x[i];
  s->sum = ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]));
  return NULL;
}

/* Reads each value once and writes an integer for it: what no sort can do without. */
static void *index_stretch(void *s_) {
  stretch *s = s_;
  for (size_t i = 0; i < s->n; i++) s->to[i] = (int)i + (s->x[i] > 0);
  return NULL;
}

static double in_threads(void *(*run)(void *), const double *x, size_t n, int *to, int threads) {
  pthread_t thread[MOST];
  stretch s[MOST];
  double sum = 0;
  if (threads < 1 || threads > MOST) Rf_error("1 to 16 threads");
  for (int i = 0; i < threads; i++) {
    size_t from = n / (size_t)threads * (size_t)i, end = i == threads - 1 ? n : n / (size_t)threads * (size_t)(i + 1);
    s[i] = (stretch){x + from, end - from, to ? to + from : NULL, 0};
    if (i) pthread_create(&thread[i], NULL, run, &s[i]);
  }
  run(&s[0]);
  for (int i = 1; i < threads; i++) pthread_join(thread[i], NULL);
  for (int i = 0; i < threads; i++) sum += s[i].sum;
  return sum;
}

SEXP floor_sum(SEXP x, SEXP threads) {
  return Rf_ScalarReal(in_threads(sum_stretch, REAL(x), (size_t)XLENGTH(x), NULL, Rf_asInteger(threads)));
}

/* A file of doubles summed as a C program would: mapped is 0: read in blocks that stay in the processor's cache; 1: mapped. Gives the sum
 * and the seconds. */
typedef struct {
  int fd;
  size_t at, end;
  double sum;
} file_part;

static void *sum_file_part(void *p_) {
  file_part *p = p_;
  enum { BLOCK = 1 << 18 };
  double *block = malloc(BLOCK);
  p->sum = 0;
  for (ssize_t got; block && p->at < p->end; p->at += (size_t)got) {
    size_t n = p->end - p->at < BLOCK ? p->end - p->at : BLOCK;
    got = pread(p->fd, block, n, (off_t)p->at);
    if (got <= 0) break;
    stretch s = {block, (size_t)got / 8, NULL, 0};
    sum_stretch(&s);
    p->sum += s.sum;
  }
  free(block);
  return NULL;
}

SEXP floor_sum_file(SEXP path, SEXP threads_, SEXP mapped) {
  double start = seconds(), sum = 0;
  int fd = open(CHAR(STRING_ELT(path, 0)), O_RDONLY), threads = Rf_asInteger(threads_);
  off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
  if (end < 0 || threads < 1 || threads > MOST) Rf_error("floor_sum_file: no such file, or 1 to 16 threads");
  size_t n = (size_t)end / 8;
  if (Rf_asInteger(mapped)) {
    double *x = mmap(NULL, n * 8, PROT_READ, MAP_SHARED, fd, 0);
    if (x == MAP_FAILED) Rf_error("floor_sum_file: cannot be mapped");
    sum = in_threads(sum_stretch, x, n, NULL, threads);
    munmap(x, n * 8);
  } else {
    pthread_t thread[MOST];
    file_part part[MOST];
    for (int i = 0; i < threads; i++) {
      size_t each = n / (size_t)threads;
      part[i] = (file_part){fd, each * (size_t)i * 8, (i == threads - 1 ? n : each * (size_t)(i + 1)) * 8, 0};
      if (i) pthread_create(&thread[i], NULL, sum_file_part, &part[i]);
    }
    sum_file_part(&part[0]);
    for (int i = 1; i < threads; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < threads; i++) sum += part[i].sum;
  }
  close(fd);
  SEXP out = PROTECT(Rf_allocVector(REALSXP, 2));
  REAL(out)[0] = sum;
  REAL(out)[1] = seconds() - start;
  UNPROTECT(1);
  return out;
}

/* One pass over the bytes of x (8 an element, or 4), writing an integer for each 8 into fresh pages; seconds. */
SEXP floor_pass(SEXP x, SEXP threads) {
  size_t nbytes = (size_t)XLENGTH(x) * (TYPEOF(x) == REALSXP ? 8 : 4), n = nbytes / 8;
  size_t out = (size_t)XLENGTH(x) * sizeof(int);
  double start = seconds();
  int *to = mmap(NULL, out, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (to == MAP_FAILED) Rf_error("floor_pass: no memory");
#ifdef MADV_HUGEPAGE
  madvise(to, out, MADV_HUGEPAGE);
#endif
  const double *from = TYPEOF(x) == REALSXP ? REAL(x) : (const double *)INTEGER(x);
  in_threads(index_stretch, from, n, to, Rf_asInteger(threads));
  if (TYPEOF(x) != REALSXP) memset(to + n, 0, out - n * sizeof(int));
  double end = seconds();
  munmap(to, out);
  return Rf_ScalarReal(end - start);
}

/* x[from], x[from + by], ... `count` of them; or x[index]. */
SEXP floor_gather(SEXP x, SEXP index) {
  R_xlen_t n = XLENGTH(index);
  SEXP out = PROTECT(Rf_allocVector(REALSXP, n));
  const double *from = REAL(x), *at = TYPEOF(index) == REALSXP ? REAL(index) : NULL;
  const int *iat = at ? NULL : INTEGER(index);
  double *to = REAL(out);
  if (at) for (R_xlen_t i = 0; i < n; i++) to[i] = from[(R_xlen_t)at[i] - 1];
  else for (R_xlen_t i = 0; i < n; i++) to[i] = from[iat[i] - 1];
  UNPROTECT(1);
  return out;
}

/* The integral of inst/examples/main.R by 2 processes that store into fresh shared memory: its sum. */
SEXP floor_integral(SEXP n_) {
  size_t n = (size_t)Rf_asReal(n_);
  double *x = mmap(NULL, (n + 2) * sizeof *x, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t pid[2];
  if (x == MAP_FAILED) Rf_error("floor_integral: no memory");
  for (int w = 0; w < 2; w++) {
    pid[w] = fork();
    if (pid[w] != 0) continue;
    double dx = 1.0 / (double)n, sum = 0;
    for (size_t i = n / 2 * (size_t)w, end = w ? n : n / 2; i < end; i++) sum += x[i] = (double)i / (double)n * dx;
    x[n + (size_t)w] = sum;
    _exit(0);
  }
  for (int w = 0; w < 2; w++) waitpid(pid[w], NULL, 0);
  double sum = x[n] + x[n + 1];
  munmap(x, (n + 2) * sizeof *x);
  return Rf_ScalarReal(sum);
}

/* ---- bare calls from R ---- */

static double the_value;
static pthread_mutex_t the_mutex;
static int have_mutex;

static void make_mutex(pthread_mutex_t *m) {
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(m, &a);
}

SEXP floor_null(SEXP x, SEXP i) {
  (void)i;
  return x;
}
SEXP floor_read(SEXP i) {
  (void)i;
  return Rf_ScalarReal(the_value);
}
SEXP floor_write(SEXP i, SEXP value) {
  (void)i;
  the_value = Rf_asReal(value);
  return R_NilValue;
}
SEXP floor_lock(void) {
  if (!have_mutex) make_mutex(&the_mutex);
  have_mutex = 1;
  pthread_mutex_lock(&the_mutex);
  return R_NilValue;
}
SEXP floor_unlock(void) {
  pthread_mutex_unlock(&the_mutex);
  return R_NilValue;
}

/* n strings of the 8 bytes "k0000000" and up, looked up and stored one by one. */
SEXP floor_strings(SEXP n_) {
  R_xlen_t n = (R_xlen_t)Rf_asReal(n_);
  SEXP out = PROTECT(Rf_allocVector(STRSXP, n));
  char text[24];
  for (R_xlen_t i = 0; i < n; i++) {
    int length = 0;
    char digits[20];
    R_xlen_t v = i + 1;
    while (v > 0) {
      digits[length++] = (char)('0' + v % 10);
      v /= 10;
    }
    text[0] = 'k';
    for (int k = 0; k < length; k++) text[1 + k] = digits[length - 1 - k];
    SET_STRING_ELT(out, i, Rf_mkCharLenCE(text, length + 1, CE_UTF8));
  }
  UNPROTECT(1);
  return out;
}

/* n increments by 2 processes, half each; kind 0: under a robust mutex, 1: atomic. Gives the count. */
SEXP floor_increments(SEXP n_, SEXP kind_) {
  struct {
    pthread_mutex_t mutex;
    double plain;
    _Atomic long long count;
  } *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int n = Rf_asInteger(n_), kind = Rf_asInteger(kind_);
  pid_t pid[2];
  make_mutex(&s->mutex);
  for (int w = 0; w < 2; w++) {
    pid[w] = fork();
    if (pid[w] != 0) continue;
    for (int k = 0; k < n / 2; k++) {
      if (kind) {
        atomic_fetch_add(&s->count, 1);
      } else {
        pthread_mutex_lock(&s->mutex);
        s->plain += 1;
        pthread_mutex_unlock(&s->mutex);
      }
    }
    _exit(0);
  }
  for (int w = 0; w < 2; w++) waitpid(pid[w], NULL, 0);
  double count = kind ? (double)atomic_load(&s->count) : s->plain;
  munmap(s, sizeof *s);
  return Rf_ScalarReal(count);
}
