/* Scoring pairs with a kernel model. */
#include "base/alloc.h"
#include "kernel/distinct.h"
#include "kernel/kernel_model.h"
#include <string.h>

static const size_t kept_bytes = (size_t)512 << 20; /* of one side's kernel rows */

/* Kernel rows to a side's training molecules, by molecule. */
typedef struct row_cache {
    double **row;   /* [molecules] NULL: not there; points into a block */
    double **block; /* [n_blocks] owned */
    int n_blocks;
    int64_t kept; /* rows */
} row_cache;

struct cm_kernel_scorer {
    const cm_kernel_model *model;
    const cm_kernel_features *features[2];
    cm_team *team;
    row_cache side[2];
};

static void drop_rows(cm_kernel_scorer *s, int side) {
    row_cache *cache = &s->side[side];
    for (int i = 0; i < cache->n_blocks; i++) cm_free(cache->block[i]);
    cache->n_blocks = 0;
    cache->kept = 0;
    memset(cache->row, 0, (size_t)s->features[side]->n * sizeof *cache->row);
}

void cm_kernel_scorer_destroy(cm_kernel_scorer *scorer) {
    if (!scorer) return;
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < scorer->side[side].n_blocks; i++) cm_free(scorer->side[side].block[i]);
        cm_free(scorer->side[side].block);
        cm_free(scorer->side[side].row);
    }
    cm_free(scorer);
}

cm_status cm_kernel_scorer_create(cm_kernel_scorer **scorer, const cm_kernel_model *model,
                                  const cm_kernel_features *const features[2], cm_team *team,
                                  cm_error *error) {
    cm_kernel_scorer *s = cm_new(1, sizeof *s);
    if (!s) return cm_fail_memory(error, sizeof *s);
    *s = (cm_kernel_scorer){.model = model, .features = {features[0], features[1]}, .team = team};
    for (int side = 0; side < 2; side++) {
        s->side[side].row = cm_new((size_t)features[side]->n, sizeof(double *));
        if (s->side[side].row) continue;
        cm_kernel_scorer_destroy(s);
        return cm_fail_memory(error, (size_t)features[side]->n * sizeof(double *));
    }
    *scorer = s;
    return CM_OK;
}

/* Computes the rows of molecules list[n] as one block. */
static cm_status add_block(cm_kernel_scorer *s, int side, const int32_t *list, int64_t n, cm_error *error) {
    row_cache *cache = &s->side[side];
    const cm_kernel_side *own = &s->model->side[side];
    size_t m = (size_t)own->features->n, cells;
    double **grown = cm_resize(cache->block, (size_t)cache->n_blocks + 1, sizeof *grown);
    if (grown) cache->block = grown;
    double *block = grown && cm_size_mul((size_t)n, m, &cells) ? cm_new(cells, sizeof *block) : NULL;
    if (!block) return cm_fail_memory(error, (size_t)n * m * sizeof *block);
    cache->block[cache->n_blocks++] = block;
    CM_TRY(
        cm_kernel_side_cross(own, &s->model->shape[side], s->features[side], list, n, block, s->team, error));
    for (int64_t i = 0; i < n; i++) cache->row[list[i]] = block + (size_t)i * m;
    cache->kept += n;
    return CM_OK;
}

/* Sees to it that the rows of molecules list[n] are there. */
static cm_status need_rows(cm_kernel_scorer *s, int side, const int32_t *list, int64_t n, cm_error *error) {
    row_cache *cache = &s->side[side];
    size_t width = (size_t)s->model->side[side].features->n * sizeof(double);
    if ((size_t)(cache->kept + n) > kept_bytes / width) drop_rows(s, side);
    int32_t *missing = cm_new((size_t)n, sizeof *missing);
    if (!missing) return cm_fail_memory(error, (size_t)n * sizeof *missing);
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        if (!cache->row[list[i]]) missing[count++] = list[i];
    cm_status status = count > 0 ? add_block(s, side, missing, count, error) : CM_OK;
    cm_free(missing);
    return status;
}

/* Pairs by their a, whose kernel row is folded into the weights once. */
typedef struct scoring {
    const cm_kernel_scorer *scorer;
    const cm_pair_list *pairs;
    const cm_distinct *a;
    int64_t *start, *order; /* [a->count + 1], [n] */
    int64_t q;
    double *fold, *score; /* fold [members, q]: sum over training pairs with that b */
} scoring;

static void group_by_a(scoring *s) {
    for (int64_t i = 0; i < s->pairs->n; i++) s->start[s->a->place[i] + 1]++;
    for (int64_t a = 0; a < s->a->count; a++) s->start[a + 1] += s->start[a];
    for (int64_t i = 0; i < s->pairs->n; i++) s->order[s->start[s->a->place[i]]++] = i;
    for (int64_t a = s->a->count; a > 0; a--) s->start[a] = s->start[a - 1];
    s->start[0] = 0;
}

static void score_range(void *context, int64_t begin, int64_t end, int member) {
    const scoring *s = context;
    const cm_kernel_model *model = s->scorer->model;
    double *fold = s->fold + member * s->q;
    for (int64_t a = begin; a < end; a++) {
        const double *ka = s->scorer->side[0].row[s->a->list[a]];
        memset(fold, 0, (size_t)s->q * sizeof *fold);
        for (int64_t j = 0; j < model->n_train; j++)
            fold[model->place[1][j]] += model->weight[j] * ka[model->place[0][j]];
        for (int64_t e = s->start[a]; e < s->start[a + 1]; e++) {
            int64_t i = s->order[e];
            const double *kb = s->scorer->side[1].row[s->pairs->b[i]];
            double sum = 0;
            for (int64_t y = 0; y < s->q; y++) sum += fold[y] * kb[y];
            s->score[i] = model->offset + sum;
        }
    }
}

static cm_status score_pairs(cm_kernel_scorer *scorer, const cm_pair_list *pairs, const cm_distinct d[2],
                             double *score, cm_error *error) {
    for (int side = 0; side < 2; side++) CM_TRY(need_rows(scorer, side, d[side].list, d[side].count, error));
    size_t q = (size_t)scorer->model->side[1].features->n;
    scoring s = {.scorer = scorer,
                 .pairs = pairs,
                 .a = &d[0],
                 .start = cm_new((size_t)d[0].count + 1, sizeof(int64_t)),
                 .order = cm_new((size_t)pairs->n, sizeof(int64_t)),
                 .q = (int64_t)q,
                 .fold = cm_new((size_t)cm_team_size(scorer->team) * q, sizeof(double)),
                 .score = score};
    bool there = s.start && s.order && s.fold;
    if (there) {
        group_by_a(&s);
        cm_team_for(scorer->team, d[0].count, 1, score_range, &s);
    }
    cm_free(s.start);
    cm_free(s.order);
    cm_free(s.fold);
    return there ? CM_OK : cm_fail_memory(error, (size_t)pairs->n * 8 + q * 8);
}

cm_status cm_kernel_scorer_run(cm_kernel_scorer *scorer, const cm_pair_list *pairs, double *score,
                               cm_error *error) {
    const int32_t *number[2] = {pairs->a, pairs->b};
    cm_distinct d[2] = {{0}, {0}};
    cm_status status = CM_OK;
    for (int side = 0; side < 2 && status == CM_OK; side++)
        status = cm_distinct_make(&d[side], number[side], pairs->n, scorer->features[side]->n, error);
    if (status == CM_OK) status = score_pairs(scorer, pairs, d, score, error);
    cm_distinct_clear(&d[0]);
    cm_distinct_clear(&d[1]);
    return status;
}

cm_status cm_kernel_scores(const cm_kernel_model *model, const cm_kernel_features *const features[2],
                           const cm_pair_list *pairs, double *score, cm_team *team, cm_error *error) {
    cm_kernel_scorer *scorer = NULL;
    CM_TRY(cm_kernel_scorer_create(&scorer, model, features, team, error));
    cm_status status = cm_kernel_scorer_run(scorer, pairs, score, error);
    cm_kernel_scorer_destroy(scorer);
    return status;
}
