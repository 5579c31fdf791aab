/* r_team.c: see r_team.h. */
#include "r_team.h"

#include <stddef.h>

static r_team *teams = NULL;

void r_team_add(r_team *t, void (*forget)(r_team *, bool, int)) {
  t->forget = forget;
  t->next = teams;
  teams = t;
}

void r_team_remove(r_team *t) {
  for (r_team **p = &teams; *p; p = &(*p)->next)
    if (*p == t) {
      *p = t->next;
      return;
    }
}

void r_team_forget_all(const r_team *mine, int keep) {
  for (r_team *t = teams; t; t = t->next) t->forget(t, t == mine, t == mine ? keep : -1);
}
