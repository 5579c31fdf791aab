/* r_team_console.h: R's console in workers. */
#ifndef R_TEAM_CONSOLE_H
#define R_TEAM_CONSOLE_H

/* In a worker: code that reads R's console (browser(), readline(), readLines(stdin()), scan()) gets its end from now on. */
void r_console_cut(void);

#endif
