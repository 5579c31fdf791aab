/* kern_threads.h: plain threads that live as long as one call.
 *
 * sm_threads_run() starts np - 1 threads with all signals but SIGBUS blocked, works itself as rank 0, and joins
 * every thread before it returns, so a fork after it finds no thread and no lock held.
 *
 * Guarding: data that lie in a mapped file may lose their pages at any time (SIGBUS). Kernels touch data only inside
 * functions run by sm_threads_run() and sm_threads_one(), which run each rank under the work's guard. A guarded rank
 * may be left at any load or store of data: it holds no lock then, and its scratch belongs to the job.
 *
 * Stopping: workers look at a sm_stop between blocks of work by sm_stop_due(). The calling thread
 * (rank 0) also asks the `poll` callback there and while it waits for the others, at most every
 * SM_POLL_MS; a callback that returns true sets the flag and every rank leaves at its next look.
 */
#ifndef KERN_THREADS_H
#define KERN_THREADS_H

#include <stdatomic.h>

#include "sm_base.h"

#define SM_POLL_MS 50
#define SM_THREADS_MAX 256

typedef struct {
  _Atomic int code;        /* 0, or the negative code with which to leave */
  bool (*poll)(void *arg); /* asked by the calling thread only; NULL: never; true: stop with SM_EINTR */
  void *arg;
  uint64_t next_ns; /* calling thread only: when to ask again */
} sm_stop;

/* A stop that asks poll(arg). */
void sm_stop_init(sm_stop *s, bool (*poll)(void *), void *arg);

/* Make every rank leave with this negative code; the first code given stays. */
void sm_stop_set(sm_stop *s, int code);

/* True if the work is to be left. Cheap: one relaxed load; rank 0 also asks poll when it is time. */
bool sm_stop_due(sm_stop *s, int rank);

/* How memory that a kernel fills comes to be there: back(ctx, offset, n) is called before these bytes are touched; 0 or a
 * negative code. */
typedef int (*sm_back_fn)(void *ctx, size_t offset, size_t n);

/* On how many threads a kernel runs, when it stops, and how it touches its data. */
typedef struct {
  int np;
  sm_stop *stop;
  int (*guard)(void (*fn)(void *), void *ctx); /* sm_fault_guard() for data in a mapped file, NULL for all others */
} sm_work;

typedef void (*sm_thread_fn)(void *arg, int rank, int np);

/* Run fn(arg, rank, np) for ranks 0 to np - 1 and wait for all. Where the system gives fewer threads
 * than asked, the calling thread runs the missing ranks one after the other; so ranks must not wait for each other.
 * Gives 0 or the stop's code, which a guard that fails sets. */
int sm_threads_run(const sm_work *work, sm_thread_fn fn, void *arg);

/* Run fn(arg, 0, 1) in the calling thread, guarded and stoppable in the same way. */
int sm_threads_one(const sm_work *work, sm_thread_fn fn, void *arg);

/* The same work on the threads that pay for n elements: one for every `grain`. */
sm_work sm_work_for(const sm_work *work, int64_t n, int64_t grain);

/* Processors this process may run on (affinity), at least 1. */
int sm_threads_available(void);

/* np limited to what pays: one thread for every `grain` of n, at least 1. */
int sm_threads_for(int np, int64_t n, int64_t grain);

/* First element of rank's share of n in np shares, on a multiple of `align`; rank == np gives n. */
int64_t sm_share(int64_t n, int rank, int np, int64_t align);

/* Memory for scratch, not cleared and, where large, advised to come in huge pages; NULL if there is none. From the
 * allocator, which may have such pages at hand. */
void *sm_scratch_new(size_t nbytes);
void sm_scratch_free(void *p);

#endif
