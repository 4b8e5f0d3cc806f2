/* Running the units of a plan over the threads. */
#include "base/alloc.h"
#include "base/log.h"
#include "base/team.h"
#include "eval/parts.h"
#include <stdatomic.h>

/* What the threads share. Each takes the next unit until none is left; every unit is computed by one thread
 * alone, so the number of threads changes nothing. */
typedef struct shared_run {
    const cm_eval_plan *plan;
    const cm_eval_parts *parts;
    cm_eval_unit **queue;        /* units to run */
    int64_t queued, done, total; /* in this round; before it; in all */
    const cm_runtime *runtime;
    atomic_llong next, finished;
    atomic_bool failed;
    cm_error *errors; /* one a member */
} shared_run;

static bool is_stage(const cm_eval_unit *unit) {
    const cm_predictor *predictor;
    return cm_predictor_find(&predictor, unit->model, NULL) == CM_OK && predictor->stage;
}

static void run_units(void *context, int64_t begin, int64_t end, int member) {
    (void)begin;
    (void)end;
    shared_run *run = context;
    while (!atomic_load(&run->failed)) {
        int64_t u = atomic_fetch_add(&run->next, 1);
        if (u >= run->queued) return;
        cm_eval_unit *unit = run->queue[u];
        cm_error *error = &run->errors[member];
        cm_status status = is_stage(unit)
                               ? cm_eval_stage_run(run->plan, run->parts, unit, run->runtime, error)
                               : cm_eval_unit_run(run->plan, unit, NULL, run->runtime, error);
        if (status != CM_OK) atomic_store(&run->failed, true);
        long long done = atomic_fetch_add(&run->finished, 1) + 1;
        if (member == 0)
            cm_report(run->runtime, "evaluate", (double)(run->done + done), (double)run->total, "trainings",
                      cm_format("%s, fold %d", unit->model, unit->fold + 1).text);
    }
}

static cm_status run_round(shared_run *run, cm_team *team, cm_error *error) {
    int members = cm_team_size(team);
    atomic_store(&run->next, 0);
    atomic_store(&run->finished, 0);
    run->errors = cm_new((size_t)members, sizeof(cm_error));
    if (!run->errors) return cm_fail_memory(error, (size_t)members * sizeof(cm_error));
    cm_team_for(team, members, 1, run_units, run);
    cm_status status = CM_OK;
    for (int m = 0; m < members && status == CM_OK; m++) {
        status = run->errors[m].status;
        if (status != CM_OK && error) *error = run->errors[m];
    }
    cm_free(run->errors);
    run->done += run->queued;
    return status;
}

static cm_status run_rounds(const cm_eval_plan *plan, const cm_eval_parts *parts, cm_team *team,
                            const cm_runtime *runtime, cm_error *error) {
    int64_t total = plan->n_units + parts->n_parts;
    shared_run run = {.plan = plan,
                      .parts = parts,
                      .queue = cm_new((size_t)total, sizeof(cm_eval_unit *)),
                      .total = total,
                      .runtime = runtime};
    if (!run.queue) return cm_fail_memory(error, (size_t)total * sizeof(cm_eval_unit *));
    for (int64_t i = 0; i < parts->n_parts; i++) run.queue[run.queued++] = &parts->parts[i].unit;
    for (int64_t u = 0; u < plan->n_units; u++)
        if (!is_stage(&plan->units[u])) run.queue[run.queued++] = &plan->units[u];
    cm_status status = run_round(&run, team, error);
    run.queued = 0;
    for (int64_t u = 0; u < plan->n_units; u++)
        if (is_stage(&plan->units[u])) run.queue[run.queued++] = &plan->units[u];
    if (status == CM_OK && run.queued > 0) status = run_round(&run, team, error);
    cm_free(run.queue);
    return status;
}

cm_status cm_eval_plan_run(cm_eval_plan *plan, cm_team *team, const cm_runtime *runtime, cm_error *error) {
    cm_eval_parts parts = {0};
    cm_status status = cm_eval_parts_make(&parts, plan, error);
    if (status == CM_OK) status = run_rounds(plan, &parts, team, runtime, error);
    cm_eval_parts_clear(&parts);
    return status;
}
