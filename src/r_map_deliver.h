/* r_map_deliver.h: what a map gives its caller: results, failures, conditions; what the loop (r_map_drive.c) and the dealing with
 * deaths (r_map_supervise.c) share. */
#ifndef R_MAP_DELIVER_H
#define R_MAP_DELIVER_H

#include "r_map.h"

typedef struct {
  r_map *m;
  SEXP results;         /* list of nitems */
  SEXP reduce;          /* function or NULL; one of class sharedmem_receiver gets results as they come, not one by one */
  SEXP events;          /* function(frame, below): map_events() in R/events.R */
  SEXP out;             /* list(state, failure); failure: what events() gave for what ends the map */
  uint64_t deadline_ns; /* 0: none */
  uint64_t tick_ns;     /* next call of the progress event */
  int32_t *attempts;    /* deaths an item has seen, where there are successors */
  int idle_deaths;      /* in a row, outside of any item */
  int64_t held;         /* conditions waiting for items before theirs */
  bool stopped;         /* an item ended the map quietly */
  bool finished;        /* all workers have ended */
  bool keep;            /* an error or interrupt on the way leaves the workers running: background() */
  bool failed;
} r_drive;

/* Call events() with a frame, or something that happened, as R sees it; gives its value, unprotected. */
SEXP r_deliver_event(r_drive *d, const char *type, SEXP value, int64_t item, int rank);

/* The item has failed: into its place if failures are collected, otherwise the map ends. */
void r_deliver_failure(r_drive *d, const char *type, SEXP value, int64_t item, int rank);

/* The item needs nothing more. */
void r_deliver_item(r_drive *d, int64_t item);

/* The value of an item: into its place, or through reduce(). */
void r_deliver_result(r_drive *d, int64_t item, SEXP value);

/* Tell how far the map is, where that is wanted, ten times a second at most. */
void r_deliver_progress(r_drive *d);

/* Results of items [f->first, f->first + f->count), or the one of f->first: into their places, or through reduce(). */
void r_deliver_results(r_drive *d, const sm_frame *f, SEXP value);

/* Conditions are told in the order of items: those of an item come once all before it are done. */
void r_deliver_held(r_drive *d);

#endif
