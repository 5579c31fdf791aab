/* r_region_watch.h: looking after the members of a region while its owner waits. */
#ifndef R_REGION_WATCH_H
#define R_REGION_WATCH_H

#include "r_region.h"

/* In the owner: notice dead members, and keep the frames that have come in the pointer's inbox. */
void r_region_tend(r_region *r, SEXP ptr);

/* After a wait ended with SM_EINTR: tend(), then let an interrupt of the user through. */
void r_region_tick(r_region *r, SEXP ptr);

/* Look at the flag, and in the owner at the members now and then. Leaves the region if it has failed. */
void r_region_look(r_region *r, SEXP ptr);

/* Leave a region that has failed. In the owner through its restart, elsewhere the process ends. Does not return. */
void r_region_unwind(r_region *r)
#if defined(__GNUC__)
    __attribute__((noreturn))
#endif
    ;

#endif
