/* Sparse counts of every molecule, then all against all. */
#include "eval/similarity.h"
#include "base/alloc.h"
#include "base/log.h"
#include "bio/chem.h"
#include "bio/sequence.h"
#include <math.h>
#include <string.h>

enum { FINGERPRINT = 1024 };

/* The words of a type: k residues; k 0: fingerprints. */
typedef struct words {
    int k;
    int64_t width;
} words;

static const words words_of[] = {
    [CM_RNA] = {6, 4096},
    [CM_PROTEIN] = {3, 8000},
    [CM_MOLECULE] = {0, FINGERPRINT},
};

/* The non-zero counts of one molecule, columns ascending. */
typedef struct sparse {
    int64_t n;
    int32_t *column;
    float *count;
    double norm; /* of the counts (words) or their sum (fingerprints) */
} sparse;

typedef struct job {
    const words *words;
    const sparse *rows;
    int64_t n;
    float *out;
    float *dense; /* [members, width] */
    const cm_runtime *runtime;
} job;

static void count_words(const words *w, cm_molecule_type type, const cm_entity *entity, float *dense) {
    const char *residues = cm_residues(type);
    int64_t code = 0, known = 0, base = (int64_t)strlen(residues);
    for (int64_t i = 0; i < entity->length; i++) {
        const char *at = strchr(residues, entity->text[i]);
        known = at ? known + 1 : 0;
        code = at ? (code * base + (at - residues)) % w->width : 0;
        if (known >= w->k) dense[code]++;
    }
}

static cm_status keep(sparse *row, const float *dense, int64_t width, bool fingerprint, cm_error *error) {
    for (int64_t c = 0; c < width; c++) row->n += dense[c] != 0;
    row->column = cm_new((size_t)row->n, sizeof *row->column);
    row->count = cm_new((size_t)row->n, sizeof *row->count);
    if (!row->column || !row->count) return cm_fail_memory(error, (size_t)row->n * 8);
    int64_t at = 0;
    double sum = 0;
    for (int64_t c = 0; c < width; c++) {
        if (dense[c] == 0) continue;
        row->column[at] = (int32_t)c;
        row->count[at++] = dense[c];
        sum += fingerprint ? (double)dense[c] : (double)dense[c] * (double)dense[c];
    }
    row->norm = fingerprint ? sum : sqrt(sum);
    return CM_OK;
}

static cm_status count_side(sparse *rows, const words *w, const cm_dataset *dataset, int side,
                            cm_error *error) {
    float *dense = cm_new((size_t)w->width, sizeof *dense);
    if (!dense) return cm_fail_memory(error, (size_t)w->width * sizeof *dense);
    cm_status status = CM_OK;
    for (int64_t i = 0; i < dataset->n_entities[side] && status == CM_OK; i++) {
        const cm_entity *entity = &dataset->entities[side][i];
        memset(dense, 0, (size_t)w->width * sizeof *dense);
        if (w->k)
            count_words(w, side ? dataset->task->b : dataset->task->a, entity, dense);
        else
            status = cm_chem_morgan(entity->text, w->width, dense, error);
        if (status == CM_OK) status = keep(&rows[i], dense, w->width, w->k == 0, error);
    }
    cm_free(dense);
    return status;
}

/* dense holds the counts of a row whose norm is own. */
static float compare(const job *j, const float *dense, double own, const sparse *row) {
    double sum = 0;
    if (own <= 0 || row->norm <= 0) return 0;
    if (j->words->k) {
        for (int64_t e = 0; e < row->n; e++) sum += (double)dense[row->column[e]] * (double)row->count[e];
        return (float)fmin(1, sum / (own * row->norm));
    }
    for (int64_t e = 0; e < row->n; e++) sum += (double)fminf(dense[row->column[e]], row->count[e]);
    return (float)(sum / (own + row->norm - sum));
}

static void compare_rows(void *context, int64_t begin, int64_t end, int member) {
    const job *j = context;
    float *dense = j->dense + member * j->words->width;
    for (int64_t i = begin; i < end && !cm_stopped(j->runtime); i++) {
        const sparse *row = &j->rows[i];
        for (int64_t e = 0; e < row->n; e++) dense[row->column[e]] = row->count[e];
        for (int64_t k = 0; k < j->n; k++)
            j->out[i * j->n + k] = i == k ? 1 : compare(j, dense, row->norm, &j->rows[k]);
        for (int64_t e = 0; e < row->n; e++) dense[row->column[e]] = 0;
    }
}

static cm_status compare_side(float *out, const sparse *rows, const words *w, int64_t n, cm_team *team,
                              const cm_runtime *runtime, cm_error *error) {
    size_t floats = (size_t)w->width * (size_t)cm_team_size(team);
    job j = {w, rows, n, out, cm_new(floats, sizeof(float)), runtime};
    if (!j.dense) return cm_fail_memory(error, floats * sizeof(float));
    cm_team_for(team, n, 8, compare_rows, &j);
    cm_free(j.dense);
    return cm_stopped(runtime) ? cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped") : CM_OK;
}

static cm_status make_side(cm_similarity *s, const cm_dataset *dataset, int side, cm_team *team,
                           const cm_runtime *runtime, cm_error *error) {
    const words *w = &words_of[side == 0 ? dataset->task->a : dataset->task->b];
    int64_t n = s->n[side] = dataset->n_entities[side];
    size_t cells;
    if (!cm_size_mul((size_t)n, (size_t)n, &cells)) return cm_fail_memory(error, SIZE_MAX);
    s->value[side] = cm_new(cells, sizeof(float));
    sparse *rows = cm_new((size_t)n, sizeof *rows);
    cm_status status = s->value[side] && rows ? CM_OK : cm_fail_memory(error, cells * sizeof(float));
    if (status == CM_OK) status = count_side(rows, w, dataset, side, error);
    if (status == CM_OK) status = compare_side(s->value[side], rows, w, n, team, runtime, error);
    for (int64_t i = 0; rows && i < n; i++) {
        cm_free(rows[i].column);
        cm_free(rows[i].count);
    }
    cm_free(rows);
    return status;
}

cm_status cm_similarity_create(cm_similarity **similarity, const cm_dataset *dataset, cm_team *team,
                               const cm_runtime *runtime, cm_error *error) {
    cm_similarity *s = cm_new(1, sizeof *s);
    if (!s) return cm_fail_memory(error, sizeof *s);
    cm_status status = CM_OK;
    for (int side = 0; side < 2 && status == CM_OK; side++)
        status = make_side(s, dataset, side, team, runtime, error);
    if (status != CM_OK) {
        cm_similarity_destroy(s);
        return status;
    }
    *similarity = s;
    return CM_OK;
}

void cm_similarity_destroy(cm_similarity *similarity) {
    if (!similarity) return;
    cm_free(similarity->value[0]);
    cm_free(similarity->value[1]);
    cm_free(similarity);
}
