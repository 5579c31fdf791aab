/* kern_text.h: codes for strings, by the bytes that occur.
 *
 * Strings that change meanwhile get some code within the bits: see kern_keys.h.
 */
#ifndef KERN_TEXT_H
#define KERN_TEXT_H

#include "kern_keys.h"

/* Codes of all strings of k, in C-locale order or its reverse, into out (k->n of them). Each
 * byte after the common prefix counts in the base of the bytes that occur in its place. Codes have at most as many bits as a 64-bit word
 * with an index below k->n has left, 52 at most; a missing string's is 2^map->bits. stats: missing (as out has it), ascending
 * (descending if k->decreasing). Gives 0 or the stop's code. */
int sm_text_code(const sm_keys *k, const sm_work *work, uint64_t *out, sm_keys_map *map, sm_keys_stats *stats);

#endif
