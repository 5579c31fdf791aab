/* kern_search.h: insertion points in sorted data. */
#ifndef KERN_SEARCH_H
#define KERN_SEARCH_H

#include "kern_cell.h"

/* For each needle, one plus the number of elements of `data` less than it (right: not greater than it), so
 * 1 to data->n + 1, into out. Missing values count as greater than all others, and equal to one another.
 * Both must have comparable types: both numbers (not SM_KEY_U8) or both strings. data must be ascending, missing values last. Numbers
 * are compared as their exact values. Gives 0 or the stop's code. Data or needles that change meanwhile give
 * some number from 1 to data->n + 1. */
int sm_search(const sm_keys *data, const sm_keys *needle, bool right, sm_places out, const sm_work *work);

#endif
