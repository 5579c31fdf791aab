/* r_team_console.h: R's console in workers. */
#ifndef R_TEAM_CONSOLE_H
#define R_TEAM_CONSOLE_H

/* In a worker: whatever reads R's console (browser(), readline(), readLines(stdin()), scan()) meets its end. */
void r_console_cut(void);

#endif
