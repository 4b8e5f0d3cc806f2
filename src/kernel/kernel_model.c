/* Fitting a kernel model and scoring pairs with it. */
#include "kernel/kernel_model.h"
#include "base/alloc.h"
#include "metrics/metrics.h"
#include <math.h>
#include <string.h>

void cm_kernel_model_destroy(cm_kernel_model *model) {
    if (!model) return;
    cm_kernel_side_clear(&model->side[0]);
    cm_kernel_side_clear(&model->side[1]);
    cm_free(model->coefficient);
    cm_free(model->inner_score);
    cm_free(model);
}

/* The distinct numbers among number[n], in order of appearance: list[*count], and place[n] of each in the
 * list. */
typedef struct distinct {
    int32_t *list, *place;
    int64_t count;
} distinct;

static void distinct_clear(distinct *d) {
    cm_free(d->list);
    cm_free(d->place);
}

static cm_status distinct_make(distinct *d, const int32_t *number, int64_t n, int64_t bound,
                               cm_error *error) {
    *d = (distinct){cm_new((size_t)n, sizeof(int32_t)), cm_new((size_t)n, sizeof(int32_t)), 0};
    int32_t *slot = cm_new((size_t)bound, sizeof *slot);
    if (d->list && d->place && slot)
        for (int64_t i = 0; i < n; i++) {
            if (slot[number[i]] == 0) {
                d->list[d->count++] = number[i];
                slot[number[i]] = (int32_t)d->count;
            }
            d->place[i] = slot[number[i]] - 1;
        }
    cm_status status = d->list && d->place && slot ? CM_OK : cm_fail_memory(error, (size_t)(n + bound) * 4);
    cm_free(slot);
    return status;
}

static cm_status make_sides(cm_kernel_model *model, const cm_kernel_request *r, distinct d[2],
                            cm_error *error) {
    const int32_t *number[2] = {r->train.a, r->train.b};
    for (int side = 0; side < 2; side++) {
        cm_kernel_features *own = NULL;
        CM_TRY(distinct_make(&d[side], number[side], r->train.n, r->features[side]->n, error));
        CM_TRY(cm_kernel_features_select(&own, r->features[side], d[side].list, d[side].count, error));
        CM_TRY(cm_kernel_side_create(&model->side[side], own, r->team, error));
    }
    return CM_OK;
}

/* Solves on all training pairs and folds the weights of the pairs into the coefficients. */
static cm_status solve(cm_kernel_model *model, const cm_kernel_task *task, double *const gram[2],
                       double *target, double *weights, cm_error *error) {
    cm_pair_solver *solver = NULL;
    int64_t m = task->side[0].features->n, q = task->side[1].features->n, n = task->pairs.n;
    for (int side = 0; side < 2; side++)
        cm_kernel_side_gram(&model->side[side], &model->shape[side], gram[side]);
    cm_pair_kernel kernel = {gram[0], gram[1], m, q};
    model->offset = cm_kernel_targets(task->affinity, task->label, NULL, n, target);
    CM_TRY(cm_pair_solver_create(&solver, m, q, &task->pairs, error));
    cm_ridge_path path = cm_kernel_path(&model->ridge, 1);
    cm_status status = cm_pair_ridge(solver, &kernel, &path, target, weights, task->team, error);
    for (int64_t i = 0; i < n && status == CM_OK; i++)
        model->coefficient[task->pairs.a[i] * q + task->pairs.b[i]] += weights[i];
    cm_pair_solver_destroy(solver);
    return status;
}

static cm_status solve_with_room(cm_kernel_model *model, const cm_kernel_task *task, cm_error *error) {
    size_t m = (size_t)task->side[0].features->n, q = (size_t)task->side[1].features->n,
           n = (size_t)task->pairs.n;
    double *gram[2] = {cm_new(m * m, sizeof(double)), cm_new(q * q, sizeof(double))};
    double *target = cm_new(n, sizeof *target), *weights = cm_new(n, sizeof *weights);
    model->coefficient = cm_new(m * q, sizeof *model->coefficient);
    cm_status status = gram[0] && gram[1] && target && weights && model->coefficient
                           ? solve(model, task, gram, target, weights, error)
                           : cm_fail_memory(error, (m * m + q * q + m * q + 2 * n) * sizeof(double));
    cm_free(gram[0]);
    cm_free(gram[1]);
    cm_free(target);
    cm_free(weights);
    return status;
}

/* Calibration, conformal bounds and threshold from held-out scores[n] and labels[n]; value [n] is work space.
 */
static cm_status calibrate_with(cm_kernel_model *model, const double *score, const double *label,
                                double *value, int64_t n, cm_error *error) {
    model->calibration = cm_calibrate(model->affinity, score, label, n);
    for (int64_t i = 0; i < n; i++) value[i] = cm_calibrated(&model->calibration, model->affinity, score[i]);
    model->threshold = 0.5;
    CM_TRY(cm_conformal_fit(model->affinity, score, value, label, n, &model->conformal, error));
    if (model->affinity || n == 0) return CM_OK;
    return cm_metrics_best_threshold(value, label, n, &model->threshold, error);
}

static cm_status calibrate(cm_kernel_model *model, const cm_kernel_task *task, cm_error *error) {
    size_t room = (size_t)task->pairs.n;
    int64_t n = 0;
    double *score = cm_new(3 * room, sizeof *score), *label = score ? score + room : NULL;
    if (!score) return cm_fail_memory(error, 3 * room * sizeof *score);
    for (int64_t i = 0; i < task->pairs.n; i++) {
        if (isnan(model->inner_score[i])) continue;
        score[n] = model->inner_score[i];
        label[n++] = task->label[i];
    }
    cm_status status = calibrate_with(model, score, label, label + room, n, error);
    cm_free(score);
    return status;
}

static cm_status fit(cm_kernel_model *model, const cm_kernel_request *r, distinct d[2], cm_error *error) {
    CM_TRY(make_sides(model, r, d, error));
    cm_kernel_task task = {.affinity = r->affinity,
                           .side = model->side,
                           .pairs = {d[0].place, d[1].place, r->train.n},
                           .label = r->label,
                           .cold = r->cold,
                           .seed = r->seed,
                           .team = r->team};
    cm_kernel_choice choice;
    cm_status status = cm_kernel_choose(&choice, &task, error);
    if (status != CM_OK) {
        cm_kernel_choice_clear(&choice);
        return status;
    }
    memcpy(model->shape, choice.shape, sizeof model->shape);
    model->ridge = choice.ridge;
    model->inner_loss = choice.loss;
    model->tried = choice.tried;
    model->inner_score = choice.score;
    CM_TRY(calibrate(model, &task, error));
    CM_TRY(solve_with_room(model, &task, error));
    cm_kernel_side_drop(&model->side[0]);
    cm_kernel_side_drop(&model->side[1]);
    return CM_OK;
}

cm_status cm_kernel_fit(cm_kernel_model **model, const cm_kernel_request *request, cm_error *error) {
    if (request->train.n < 1) return cm_fail(error, CM_DATA, NULL, "kernel", "pairs to train on", "none");
    cm_kernel_model *made = cm_new(1, sizeof *made);
    if (!made) return cm_fail_memory(error, sizeof *made);
    made->affinity = request->affinity;
    made->n_train = request->train.n;
    distinct d[2] = {{0}, {0}};
    cm_status status = fit(made, request, d, error);
    distinct_clear(&d[0]);
    distinct_clear(&d[1]);
    if (status == CM_OK)
        *model = made;
    else
        cm_kernel_model_destroy(made);
    return status;
}

/* ---- scores ---- */

/* Scores of the pairs whose a is molecule row: its kernel row folded into the coefficients once. */
typedef struct scoring {
    const cm_kernel_model *model;
    int64_t m, q, n;
    const double *a, *b; /* [distinct a, m], [distinct b, q] kernels to the training molecules */
    const distinct *da, *db;
    int64_t *start, *pairs; /* pairs by their a */
    double *row, *score;    /* row [members, q] */
} scoring;

static void score_range(void *context, int64_t begin, int64_t end, int member) {
    const scoring *s = context;
    double *row = s->row + member * s->q;
    for (int64_t a = begin; a < end; a++) {
        memset(row, 0, (size_t)s->q * sizeof *row);
        for (int64_t x = 0; x < s->m; x++)
            for (int64_t y = 0; y < s->q; y++)
                row[y] += s->a[a * s->m + x] * s->model->coefficient[x * s->q + y];
        for (int64_t e = s->start[a]; e < s->start[a + 1]; e++) {
            const double *b = s->b + s->db->place[s->pairs[e]] * s->q;
            double sum = 0;
            for (int64_t y = 0; y < s->q; y++) sum += row[y] * b[y];
            s->score[s->pairs[e]] = s->model->offset + sum;
        }
    }
}

static void group_by_a(scoring *s) {
    for (int64_t i = 0; i < s->n; i++) s->start[s->da->place[i] + 1]++;
    for (int64_t a = 0; a < s->da->count; a++) s->start[a + 1] += s->start[a];
    for (int64_t i = 0; i < s->n; i++) s->pairs[s->start[s->da->place[i]]++] = i;
    for (int64_t a = s->da->count; a > 0; a--) s->start[a] = s->start[a - 1];
    s->start[0] = 0;
}

static cm_status score_pairs(scoring *s, const cm_kernel_features *const features[2], double *a, double *b,
                             cm_team *team, cm_error *error) {
    const cm_kernel_model *model = s->model;
    CM_TRY(cm_kernel_side_cross(&model->side[0], &model->shape[0], features[0], s->da->list, s->da->count, a,
                                team, error));
    CM_TRY(cm_kernel_side_cross(&model->side[1], &model->shape[1], features[1], s->db->list, s->db->count, b,
                                team, error));
    group_by_a(s);
    cm_team_for(team, s->da->count, 4, score_range, s);
    return CM_OK;
}

static cm_status score_distinct(const cm_kernel_model *model, const cm_kernel_features *const features[2],
                                const distinct d[2], int64_t n, double *score, cm_team *team,
                                cm_error *error) {
    size_t m = (size_t)model->side[0].features->n, q = (size_t)model->side[1].features->n;
    double *a = cm_new((size_t)d[0].count * m, sizeof *a), *b = cm_new((size_t)d[1].count * q, sizeof *b);
    scoring s = {.model = model,
                 .m = (int64_t)m,
                 .q = (int64_t)q,
                 .n = n,
                 .a = a,
                 .b = b,
                 .da = &d[0],
                 .db = &d[1],
                 .start = cm_new((size_t)d[0].count + 1, sizeof(int64_t)),
                 .pairs = cm_new((size_t)n, sizeof(int64_t)),
                 .row = cm_new((size_t)cm_team_size(team) * q, sizeof(double)),
                 .score = score};
    cm_status status = a && b && s.start && s.pairs && s.row
                           ? score_pairs(&s, features, a, b, team, error)
                           : cm_fail_memory(error, ((size_t)d[0].count * m + (size_t)d[1].count * q) * 8);
    cm_free(a);
    cm_free(b);
    cm_free(s.start);
    cm_free(s.pairs);
    cm_free(s.row);
    return status;
}

cm_status cm_kernel_scores(const cm_kernel_model *model, const cm_kernel_features *const features[2],
                           const cm_pair_list *pairs, double *score, cm_team *team, cm_error *error) {
    distinct d[2] = {{0}, {0}};
    cm_status status = distinct_make(&d[0], pairs->a, pairs->n, features[0]->n, error);
    if (status == CM_OK) status = distinct_make(&d[1], pairs->b, pairs->n, features[1]->n, error);
    if (status == CM_OK) status = score_distinct(model, features, d, pairs->n, score, team, error);
    distinct_clear(&d[0]);
    distinct_clear(&d[1]);
    return status;
}
