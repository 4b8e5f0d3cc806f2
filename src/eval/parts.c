/* Listing the trainings behind second stages and handing their scores over. */
#include "eval/parts.h"
#include "base/alloc.h"
#include "eval/stage.h"
#include <math.h>
#include <string.h>

void cm_eval_parts_clear(cm_eval_parts *parts) {
    for (int64_t i = 0; parts->parts && i < parts->n_parts; i++) cm_eval_unit_clear(&parts->parts[i].unit);
    for (int i = 0; parts->divisions && i < parts->n_divisions; i++) {
        cm_free(parts->divisions[i].train);
        cm_inner_clear(&parts->divisions[i].inner);
        cm_free(parts->divisions[i].mask);
    }
    cm_free(parts->parts);
    cm_free(parts->divisions);
}

/* ---- divisions ---- */

static int find_division(const cm_eval_parts *parts, const cm_eval_unit *unit) {
    for (int i = 0; i < parts->n_divisions; i++)
        if (parts->divisions[i].repeat == unit->repeat && parts->divisions[i].fold == unit->fold) return i;
    return -1;
}

static cm_status divide(cm_eval_division *division, const cm_eval_plan *plan, const cm_eval_unit *unit,
                        cm_error *error) {
    int64_t n_pairs = plan->dataset->n_pairs;
    *division = (cm_eval_division){.repeat = unit->repeat, .fold = unit->fold, .unit = unit};
    division->train = cm_new((size_t)n_pairs, sizeof *division->train);
    if (!division->train) return cm_fail_memory(error, (size_t)n_pairs * 8);
    for (int64_t i = 0; i < n_pairs; i++)
        if (unit->train[i]) division->train[division->n_train++] = i;
    uint64_t seed = (uint64_t)plan->request->options.seed + (uint64_t)unit->repeat;
    CM_TRY(cm_inner_make(&division->inner, plan->dataset, division->train, division->n_train, unit->test,
                         unit->n_test, CM_INNER_FOLDS, seed, error));
    size_t cells = (size_t)n_pairs * (size_t)division->inner.n_parts;
    division->mask = cm_new(cells, sizeof *division->mask);
    if (!division->mask) return cm_fail_memory(error, cells);
    for (int p = 0; p < division->inner.n_parts; p++)
        for (int64_t i = 0; i < division->n_train; i++)
            division->mask[p * n_pairs + division->train[i]] =
                division->inner.fits[p * division->n_train + i];
    return CM_OK;
}

/* ---- parts ---- */

/* The finished or future unit of a member: among the parts, or for the whole training part among the plan's.
 */
static const cm_eval_unit *find_part(const cm_eval_plan *plan, const cm_eval_parts *parts, const char *member,
                                     int division, int number) {
    for (int64_t i = 0; i < parts->n_parts; i++) {
        const cm_eval_part *part = &parts->parts[i];
        if (part->division == division && part->number == number && strcmp(part->unit.model, member) == 0)
            return &part->unit;
    }
    const cm_eval_division *d = &parts->divisions[division];
    for (int64_t u = 0; number < 0 && u < plan->n_units; u++) {
        const cm_eval_unit *unit = &plan->units[u];
        if (unit->repeat == d->repeat && unit->fold == d->fold && strcmp(unit->model, member) == 0)
            return unit;
    }
    return NULL;
}

static cm_status add_part(const cm_eval_plan *plan, cm_eval_parts *parts, const char *member, int division,
                          int number, cm_error *error) {
    const cm_eval_division *d = &parts->divisions[division];
    bool whole = number < 0;
    cm_eval_part *part = &parts->parts[parts->n_parts++];
    *part =
        (cm_eval_part){.unit = {.repeat = d->repeat,
                                .fold = d->fold,
                                .train = whole ? d->unit->train : d->mask + number * plan->dataset->n_pairs,
                                .threshold = 0.5},
                       .division = division,
                       .number = number};
    memcpy(part->unit.member, member, strlen(member) + 1); /* shorter than CM_MEMBER_NAME */
    part->unit.model = part->unit.member;
    CM_TRY(cm_eval_unit_room(&part->unit, whole ? d->unit->n_test : d->n_train, error));
    part->unit.n_test = whole ? d->unit->n_test : cm_inner_list(&d->inner, number, true, part->unit.test);
    for (int64_t i = 0; i < part->unit.n_test; i++)
        part->unit.test[i] = whole ? d->unit->test[i] : d->train[part->unit.test[i]];
    return CM_OK;
}

/* Inner parts that the members of a unit are trained on, beside the whole. */
static cm_status count_parts(const cm_eval_division *division, const cm_eval_unit *unit, int *n_parts,
                             cm_error *error) {
    const cm_predictor *predictor;
    CM_TRY(cm_predictor_find(&predictor, unit->model, error));
    *n_parts = predictor->whole ? 0 : division->inner.n_parts;
    if (*n_parts > 0 || predictor->whole) return CM_OK;
    return cm_fail(error, CM_DATA, NULL, cm_format("fold %d", unit->fold + 1).text,
                   "10 or more training pairs for inner folds", "%lld", (long long)division->n_train);
}

static cm_status add_members(const cm_eval_plan *plan, cm_eval_parts *parts, const cm_eval_unit *unit,
                             cm_error *error) {
    char member[CM_MEMBERS_MAX][CM_MEMBER_NAME];
    int members = cm_stage_members(unit->model, member), division = find_division(parts, unit), n_parts;
    if (members == 0) return CM_OK;
    if (division < 0) {
        division = parts->n_divisions++;
        CM_TRY(divide(&parts->divisions[division], plan, unit, error));
    }
    CM_TRY(count_parts(&parts->divisions[division], unit, &n_parts, error));
    for (int m = 0; m < members; m++)
        for (int p = -1; p < n_parts; p++)
            if (!find_part(plan, parts, member[m], division, p))
                CM_TRY(add_part(plan, parts, member[m], division, p, error));
    return CM_OK;
}

cm_status cm_eval_parts_make(cm_eval_parts *parts, const cm_eval_plan *plan, cm_error *error) {
    size_t units = (size_t)plan->n_units;
    *parts =
        (cm_eval_parts){.divisions = cm_new(units, sizeof *parts->divisions),
                        .parts = cm_new(units * CM_MEMBERS_MAX * (1 + CM_INNER_MOST), sizeof *parts->parts)};
    if (!parts->divisions || !parts->parts) return cm_fail_memory(error, units * CM_MEMBERS_MAX * 800);
    for (int64_t u = 0; u < plan->n_units; u++) CM_TRY(add_members(plan, parts, &plan->units[u], error));
    return CM_OK;
}

/* ---- handing over ---- */

/* What a stage gets, with room for all members. */
typedef struct handover {
    int n_parts, members;
    int64_t n_train, n_test, *position; /* [n_train] */
    double *held, *test, *raw, *threshold;
    cm_fit_trouble trouble;
} handover;

static void handover_clear(handover *h) {
    cm_free(h->position);
    cm_free(h->held);
    cm_free(h->test);
    cm_free(h->raw);
    cm_free(h->threshold);
}

static cm_status handover_make(handover *h, cm_error *error) {
    size_t members = (size_t)h->members, n = (size_t)h->n_train, m = (size_t)h->n_test;
    h->position = cm_new(n, sizeof *h->position);
    h->held = cm_new(n * members, sizeof *h->held);
    h->test = cm_new(m * members, sizeof *h->test);
    h->raw = cm_new(m * members, sizeof *h->raw);
    h->threshold = cm_new(members, sizeof *h->threshold);
    return h->position && h->held && h->test && h->raw && h->threshold
               ? CM_OK
               : cm_fail_memory(error, (n + 2 * m) * members * sizeof(double));
}

static void hand_over(const cm_eval_plan *plan, const cm_eval_parts *parts, int division, const char *member,
                      int number, handover *h) {
    const cm_eval_division *d = &parts->divisions[division];
    const cm_eval_unit *whole = find_part(plan, parts, member, division, -1);
    const bool affinity = plan->dataset->task->affinity;
    double *held = h->held + number * h->n_train, *test = h->test + number * h->n_test,
           *raw = h->raw + number * h->n_test;
    h->threshold[number] = whole->threshold;
    cm_eval_add_trouble(&h->trouble, &whole->trouble);
    for (int64_t i = 0; i < whole->n_test; i++) {
        test[i] = cm_model_handed(affinity, whole->value[i]);
        raw[i] = whole->score[i];
    }
    for (int p = 0; p < h->n_parts; p++) {
        const cm_eval_unit *part = find_part(plan, parts, member, division, p);
        cm_eval_add_trouble(&h->trouble, &part->trouble);
        cm_inner_list(&d->inner, p, true, h->position);
        for (int64_t i = 0; i < part->n_test; i++)
            held[h->position[i]] = cm_model_handed(affinity, part->value[i]);
    }
}

cm_status cm_eval_stage_run(const cm_eval_plan *plan, const cm_eval_parts *parts, cm_eval_unit *unit,
                            const cm_runtime *runtime, cm_error *error) {
    char member[CM_MEMBERS_MAX][CM_MEMBER_NAME];
    int division = find_division(parts, unit);
    const cm_eval_division *d = &parts->divisions[division];
    handover h = {
        .members = cm_stage_members(unit->model, member), .n_train = d->n_train, .n_test = unit->n_test};
    cm_status status = count_parts(d, unit, &h.n_parts, error);
    if (status == CM_OK) status = handover_make(&h, error);
    if (status == CM_OK) {
        for (int i = 0; i < h.members; i++) hand_over(plan, parts, division, member[i], i, &h);
        struct cm_stage_input input = {.inner = h.n_parts ? &d->inner : NULL,
                                       .n_members = h.members,
                                       .raw = h.raw,
                                       .threshold = h.threshold,
                                       .held = h.n_parts ? h.held : NULL,
                                       .test = h.test};
        status = cm_eval_unit_run(plan, unit, &input, runtime, error);
        cm_eval_add_trouble(&unit->trouble, &h.trouble);
    }
    handover_clear(&h);
    return status;
}
