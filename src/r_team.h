/* r_team.h: all that has forked processes in this process: maps and regions.
 *
 * A child inherits the descriptors of its siblings, whoever made them. It closes them by one call, which asks each team; so
 * neither maps nor regions need to know of the other kind.
 */
#ifndef R_TEAM_H
#define R_TEAM_H

#include <stdbool.h>

typedef struct r_team {
  /* Close the parent's ends of all members but `keep` (-1: of all). mine: this child works for the team. */
  void (*forget)(struct r_team *t, bool mine, int keep);
  struct r_team *next;
} r_team;

void r_team_add(r_team *t, void (*forget)(r_team *, bool, int));
void r_team_remove(r_team *t);

/* In a forked child: forget all members of all teams, but member `keep` of `mine` (NULL for none). */
void r_team_forget_all(const r_team *mine, int keep);

#endif
