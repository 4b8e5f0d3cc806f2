/* The table of tasks. */
#include <crossmamba/tables.h>
#include <stddef.h>
#include <string.h>

static const cm_task tasks[] = {
#define CM_TASK_ROW(name, a, b, affinity, unit, encoder_a, encoder_b, predictor, help) \
    {name, a, b, affinity, unit, encoder_a, encoder_b, predictor, help},
#include "tasks/tasks.def"
#undef CM_TASK_ROW
};
enum { TASK_COUNT = sizeof tasks / sizeof *tasks };

const cm_task *cm_task_find(const char *name) {
    for (int i = 0; i < TASK_COUNT; i++)
        if (strcmp(tasks[i].name, name) == 0) return &tasks[i];
    return NULL;
}

const cm_task *cm_task_rows(int *count) {
    *count = TASK_COUNT;
    return tasks;
}
