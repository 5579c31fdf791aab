/* r_team_threads.h: thread counts of BLAS and OpenMP in workers. */
#ifndef R_TEAM_THREADS_H
#define R_TEAM_THREADS_H

/* In a worker: n threads in every library whose setter ffi_threads_find() had found in the master. */
void r_threads_set(int n);

#endif
