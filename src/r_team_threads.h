/* r_team_threads.h: thread counts of BLAS and OpenMP in workers. */
#ifndef R_TEAM_THREADS_H
#define R_TEAM_THREADS_H

/* In a worker: set n threads in every library whose setter ffi_threads_find() found in the owner. */
void r_threads_set(int n);

#endif
