/* Near duplicates, and molecules that given folds share. */
#include "base/alloc.h"
#include "base/log.h"
#include "bio/sketches.h"
#include "eval/audit_parts.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* In place of a fold: molecules of no row yet; of two or more folds, or of a row that only trains (fold -1).
 */
enum { NOWHERE = -2, SEVERAL = -1 };

/* The one fold of every molecule, and of all that are equal or similar to it; SEVERAL: there are two. A
 * molecule of fold f is in f's training part when its fold is SEVERAL, and similar to it when near is. */
typedef struct homes {
    int32_t *same[2], *near[2];
    float *nearest[2]; /* similarity to the most similar molecule of the training part */
} homes;

static void homes_clear(homes *h) {
    for (int side = 0; side < 2; side++) {
        cm_free(h->same[side]);
        cm_free(h->near[side]);
        cm_free(h->nearest[side]);
    }
}

static cm_status homes_make(homes *h, const cm_dataset *d, cm_error *error) {
    *h = (homes){0};
    for (int side = 0; side < 2; side++) {
        size_t n = (size_t)d->n_entities[side];
        h->same[side] = cm_new(n, sizeof(int32_t));
        h->near[side] = cm_new(n, sizeof(int32_t));
        h->nearest[side] = cm_new(n, sizeof(float));
        if (!h->same[side] || !h->near[side] || !h->nearest[side]) return cm_fail_memory(error, n * 12);
        for (size_t i = 0; i < n; i++) h->same[side][i] = NOWHERE;
        for (int64_t i = 0; i < d->n_pairs; i++) {
            int32_t *home = &h->same[side][d->pairs[i].entity[side]], fold = d->pairs[i].fold;
            *home = *home == NOWHERE || *home == fold ? fold : SEVERAL;
        }
    }
    return CM_OK;
}

static cm_status spread_homes(homes *h, int side, const cm_sketches *sketches, int64_t n, double threshold,
                              const cm_runtime *runtime, cm_error *error) {
    const int32_t *same = h->same[side];
    int32_t *near = h->near[side];
    float *nearest = h->nearest[side];
    int32_t *count = cm_new((size_t)n, sizeof *count);
    float *row = cm_new((size_t)n, sizeof *row);
    cm_status status = count && row ? CM_OK : cm_fail_memory(error, (size_t)n * 8);
    for (int64_t i = 0; i < n && status == CM_OK; i++) {
        if (cm_stopped(runtime)) status = cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped");
        near[i] = same[i];
        cm_sketches_row(sketches, i, count, row);
        for (int64_t j = 0; j < n; j++) {
            if ((double)row[j] >= threshold && same[j] != near[i]) near[i] = SEVERAL;
            bool trains = same[i] == SEVERAL || same[j] != same[i];
            if (trains && row[j] > nearest[i]) nearest[i] = row[j];
        }
    }
    cm_free(count);
    cm_free(row);
    return status;
}

static cm_status count_groups(cm_audit_side *out, const cm_sketches *sketches, int64_t n, cm_error *error) {
    int32_t *group = cm_new((size_t)n, sizeof *group), groups;
    int64_t *size = cm_new((size_t)n, sizeof *size);
    cm_status status = group && size ? CM_OK : cm_fail_memory(error, (size_t)n * 12);
    if (status == CM_OK) status = cm_sketches_components(sketches, out->threshold, group, &groups, error);
    for (int64_t i = 0; i < n && status == CM_OK; i++) size[group[i]]++;
    for (int64_t i = 0; i < n && status == CM_OK; i++) {
        out->near += size[group[i]] > 1;
        if (size[i] > out->largest_group) out->largest_group = (long)size[i];
    }
    cm_free(group);
    cm_free(size);
    return status;
}

static cm_status scan_side(cm_audit_side *out, const cm_dataset *d, int side, homes *h,
                           const cm_runtime *runtime, cm_error *error) {
    int64_t n = d->n_entities[side];
    const char **text = cm_new((size_t)n, sizeof *text);
    if (!text) return cm_fail_memory(error, (size_t)n * sizeof *text);
    for (int64_t i = 0; i < n; i++) {
        text[i] = d->entities[side][i].text;
        out->shared += d->n_folds > 0 && h->same[side][i] == SEVERAL;
    }
    cm_sketches *sketches = NULL;
    cm_status status = cm_sketches_create(&sketches, side == 0 ? d->task->a : d->task->b, text, n, error);
    if (status == CM_OK) status = count_groups(out, sketches, n, error);
    if (status == CM_OK && d->n_folds > 0)
        status = spread_homes(h, side, sketches, n, out->threshold, runtime, error);
    cm_sketches_destroy(sketches);
    cm_free(text);
    return status;
}

static void count_row(cm_audit_fold *fold, const bool same[2], const bool near[2]) {
    fold->rows++;
    for (int side = 0; side < 2; side++) {
        fold->same[side] += same[side];
        fold->similar[side] += near[side];
    }
    fold->same[CM_AUDIT_BOTH] += same[0] && same[1];
    fold->similar[CM_AUDIT_BOTH] += near[0] && near[1];
}

static cm_status count_overlap(cm_audit *audit, const cm_dataset *d, const homes *h, cm_error *error) {
    audit->folds = cm_new((size_t)d->n_folds, sizeof *audit->folds);
    if (!audit->folds) return cm_fail_memory(error, (size_t)d->n_folds * sizeof *audit->folds);
    audit->n_folds = (long)d->n_folds;
    audit->all.name = "all";
    for (int64_t f = 0; f < d->n_folds; f++) audit->folds[f].name = d->folds[f];
    for (int64_t i = 0; i < d->n_pairs; i++) {
        const cm_pair *pair = &d->pairs[i];
        bool same[2], near[2];
        if (pair->fold < 0) continue;
        for (int side = 0; side < 2; side++) {
            same[side] = h->same[side][pair->entity[side]] == SEVERAL;
            near[side] = h->near[side][pair->entity[side]] == SEVERAL;
        }
        count_row(&audit->folds[pair->fold], same, near);
        count_row(&audit->all, same, near);
    }
    return CM_OK;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* From the values of the rows of one fold, which are sorted. */
static void describe_nearest(cm_audit_nearest *out, double *values, int64_t n) {
    static const double shares[CM_AUDIT_QUANTILES] = {0.05, 0.25, 0.5, 0.75, 0.95};
    qsort(values, (size_t)n, sizeof *values, ascending);
    for (int q = 0; q < CM_AUDIT_QUANTILES; q++)
        out->quantiles[q] = n ? values[(int64_t)floor(shares[q] * (double)(n - 1) + 0.5)] : NAN;
    for (int64_t i = 0; i < n; i++) {
        int bin = (int)(values[i] * CM_AUDIT_BINS);
        out->bins[bin < CM_AUDIT_BINS ? bin : CM_AUDIT_BINS - 1]++;
    }
}

/* Fold n_folds stands for all. */
static cm_status find_nearest(cm_audit *audit, const cm_dataset *d, const homes *h, cm_error *error) {
    double *values = cm_new((size_t)d->n_pairs, sizeof *values);
    if (!values) return cm_fail_memory(error, (size_t)d->n_pairs * sizeof *values);
    for (int64_t f = 0; f <= d->n_folds; f++)
        for (int side = 0; side < 2; side++) {
            int64_t n = 0;
            for (int64_t i = 0; i < d->n_pairs; i++)
                if (f == d->n_folds || d->pairs[i].fold == f)
                    values[n++] = (double)h->nearest[side][d->pairs[i].entity[side]];
            describe_nearest(f < d->n_folds ? &audit->folds[f].nearest[side] : &audit->all.nearest[side],
                             values, n);
        }
    cm_free(values);
    return CM_OK;
}

cm_status cm_audit_molecules(cm_audit *audit, const cm_dataset *dataset, const double threshold[3],
                             const cm_runtime *runtime, cm_error *error) {
    homes h;
    cm_status status = homes_make(&h, dataset, error);
    for (int side = 0; side < 2 && status == CM_OK; side++) {
        audit->side[side].threshold = threshold[side == 0 ? dataset->task->a : dataset->task->b];
        status = scan_side(&audit->side[side], dataset, side, &h, runtime, error);
    }
    if (status == CM_OK && dataset->n_folds > 0) status = count_overlap(audit, dataset, &h, error);
    if (status == CM_OK && dataset->n_folds > 0) status = find_nearest(audit, dataset, &h, error);
    homes_clear(&h);
    return status;
}
