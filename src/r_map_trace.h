/* r_map_trace.h: the trace that belongs to a map. */
#ifndef R_MAP_TRACE_H
#define R_MAP_TRACE_H

#include "r_map.h"

/* Unmap the trace of a map that is freed. */
void r_trace_close(r_map *m);

/* By the owner, after the end of the worker of rank: the item that it was at, or -1. Told once. */
void r_trace_lost(r_map *m, int rank, int64_t item);

/* This process records for rank of a traced map that runs in it, until the map is freed. */
void r_trace_here(r_map *m, int rank);

#endif
