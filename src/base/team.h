/* A team of threads for data-parallel loops. A loop must give the same bits whatever the team's size:
 * a body writes only the items of its range, and sums over items are made in fixed blocks and in
 * fixed order by the caller. */
#ifndef CM_BASE_TEAM_H
#define CM_BASE_TEAM_H

#include <stdint.h>

typedef struct cm_team cm_team;

/* threads >= 1 counts the caller. NULL when out of memory or no thread could be started. Workers spin
 * for a short while and then sleep. */
cm_team *cm_team_create(int threads);
void cm_team_destroy(cm_team *team);   /* NULL is allowed */
int cm_team_size(const cm_team *team); /* 1 for NULL */

/* Calls body(context, begin, end, member) on ranges that together cover [0, items) once, ranges cut at
 * multiples of grain (> 0); member in [0, size). Returns when all are done. Runs in the caller when
 * team is NULL or items <= grain. Must not be nested. */
typedef void (*cm_team_body)(void *context, int64_t begin, int64_t end, int member);
void cm_team_for(cm_team *team, int64_t items, int64_t grain, cm_team_body body, void *context);

#endif
