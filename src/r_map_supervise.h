/* r_map_supervise.h: deaths, successors and time limits of workers. */
#ifndef R_MAP_SUPERVISE_H
#define R_MAP_SUPERVISE_H

#include "r_map_deliver.h"

/* Deal with workers that ended without a last frame and whose frames have all been read. True if there was one. */
bool r_supervise_deaths(r_drive *d);

/* Kill workers whose item takes too long. Gives milliseconds until the next item may be late, at most `most`. */
int r_supervise_timeouts(r_drive *d, int most);

#endif
