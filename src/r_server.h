/* r_server.h: a fork server: maps, regions and clusters whose members are forked from another process than the session.
 *
 * Processes, each the parent of the next, each of which dies with its parent:
 *   session   owns the map: its control memory, its results, what becomes of deaths; answers who asks for its variables
 *   server    a clean R process (posix_spawn(), never a fork of the session), which forks a process for each job, and reaps it
 *   job       is told what to run; then it is the template (r_team_template.h) of a team
 *   workers   as those of any map, members of any region, nodes of any cluster
 * Lines (r_server_line.h): session to server ("control"), session to job, and one from each process that asks for a variable to the
 * session: it opens that itself, and posts its ends by a datagram socket that all of them have from the server. The end of a process
 * closes its lines; whoever waits at the other end is told by that.
 */
#ifndef R_SERVER_H
#define R_SERVER_H

#include "r_map.h"
#include "r_server_line.h"

#define R_POST_MAGIC 0x534D5053u

/* What comes with the descriptors of a line by the post. */
typedef struct {
  uint32_t magic;
  int32_t pid;
  uint64_t job;
} r_post;

#endif
