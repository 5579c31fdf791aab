/* r_team_console.h: R's console while items run. */
#ifndef R_TEAM_CONSOLE_H
#define R_TEAM_CONSOLE_H

typedef int (*r_console_reader)(const char *prompt, unsigned char *buffer, int size, int history);

/* Code that reads R's console (browser(), readline(), readLines(stdin()), scan()) gets its end from now on. Gives who read it before,
 * NULL where that cannot be had and nothing has changed. */
r_console_reader r_console_cut(void);
void r_console_restore(r_console_reader reader);

#endif
