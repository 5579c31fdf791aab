/* r_team_progress.h: the line that a progress bar has on the screen. */
#ifndef R_TEAM_PROGRESS_H
#define R_TEAM_PROGRESS_H

/* Clear the bar, if there is one, before something else is written. */
void r_progress_clear(void);

#endif
