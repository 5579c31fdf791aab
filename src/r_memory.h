/* r_memory.h: memory that R's collector does not see: counted here, so that the collector runs in time. */
#ifndef R_MEMORY_H
#define R_MEMORY_H

#define R_NO_REMAP
#include <Rinternals.h>

/* nbytes are about to be added to what this process holds: let R's collector find handles that are gone, if much has come
 * since it last did. */
void r_memory_collect_before(size_t nbytes);

/* Raise sharedmem_memory_error with fields asked and available (NA_REAL: not known). */
void r_abort_memory(double asked, double available, const char *reason)
#if defined(__GNUC__)
    __attribute__((noreturn))
#endif
    ;

#endif
