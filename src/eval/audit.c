/* Audit of a data set: rows, repeats, contradictions, labels of molecules; the rest is in audit_*.c. */
#include "base/alloc.h"
#include "base/map.h"
#include "data/split_kind.h"
#include "eval/audit_parts.h"
#include <math.h>

/* Labels of one affinity pair that lie further apart, in units of the task, contradict each other. */
static const double APART = 1;

/* Rows with the same two molecules. */
typedef struct joined {
    int64_t row; /* the first */
    double sum, low, high;
    int64_t count;
} joined;

static void pairs_clear(cm_audit_pairs *pairs) {
    cm_free(pairs->row);
    cm_free(pairs->molecule[0]);
    cm_free(pairs->molecule[1]);
    cm_free(pairs->label);
}

/* The distinct pairs of d, *n of them; list has room for all rows. */
static cm_status join_rows(const cm_dataset *d, joined *list, int64_t *n, cm_error *error) {
    cm_map *number_of = cm_map_create();
    bool ok = number_of != NULL;
    *n = 0;
    for (int64_t i = 0; i < d->n_pairs && ok; i++) {
        const cm_pair *pair = &d->pairs[i];
        double label = (double)pair->label;
        int64_t at;
        if (!cm_map_get(number_of, pair->entity, sizeof pair->entity, &at)) {
            at = (*n)++;
            list[at] = (joined){.row = i, .low = label, .high = label};
            ok = cm_map_put(number_of, pair->entity, sizeof pair->entity, at);
        }
        list[at].sum += label;
        list[at].count++;
        list[at].low = fmin(list[at].low, label);
        list[at].high = fmax(list[at].high, label);
    }
    cm_map_destroy(number_of);
    return ok ? CM_OK : cm_fail_memory(error, 0);
}

static cm_status keep_pairs(cm_audit_pairs *pairs, cm_audit *audit, const cm_dataset *d, const joined *list,
                            int64_t n, cm_error *error) {
    size_t room = (size_t)n;
    *pairs = (cm_audit_pairs){.row = cm_new(room, sizeof *pairs->row),
                              .molecule = {cm_new(room, sizeof(int32_t)), cm_new(room, sizeof(int32_t))},
                              .label = cm_new(room, sizeof *pairs->label)};
    if (!pairs->row || !pairs->molecule[0] || !pairs->molecule[1] || !pairs->label)
        return cm_fail_memory(error, room * 24);
    for (int64_t i = 0; i < n; i++) {
        double spread = list[i].high - list[i].low;
        bool contradicts = spread > (audit->task->affinity ? APART : 0);
        audit->contradictions += contradicts;
        if (audit->task->affinity) audit->spread = fmax(audit->spread, spread);
        if (contradicts && !audit->task->affinity) continue;
        int64_t at = pairs->n++;
        pairs->row[at] = list[i].row;
        pairs->label[at] = list[i].sum / (double)list[i].count;
        for (int side = 0; side < 2; side++) pairs->molecule[side][at] = d->pairs[list[i].row].entity[side];
    }
    return CM_OK;
}

static cm_status count_rows(cm_audit_pairs *pairs, cm_audit *audit, const cm_dataset *d, cm_error *error) {
    joined *list = cm_new((size_t)d->n_pairs, sizeof *list);
    if (!list) return cm_fail_memory(error, (size_t)d->n_pairs * sizeof *list);
    int64_t n;
    cm_status status = join_rows(d, list, &n, error);
    if (status == CM_OK) status = keep_pairs(pairs, audit, d, list, n, error);
    cm_free(list);
    if (status != CM_OK) return status;
    audit->rows = (long)d->n_pairs;
    audit->pairs = (long)pairs->n;
    audit->repeats = (long)(d->n_pairs - n);
    for (int64_t i = 0; i < d->n_pairs && !audit->task->affinity; i++)
        audit->positives += d->pairs[i].label > 0.5f;
    return CM_OK;
}

/* Molecules in several pairs, and those of them with one label. A molecule of c pairs has one label by chance
 * with probability p^c + (1 - p)^c. */
static cm_status count_labels(cm_audit *audit, const cm_dataset *d, const cm_audit_pairs *pairs, int side,
                              cm_error *error) {
    size_t n = (size_t)d->n_entities[side];
    double *count = cm_new(n, sizeof *count), *positive = cm_new(n, sizeof *positive), all = 0;
    cm_status status = count && positive ? CM_OK : cm_fail_memory(error, n * 16);
    for (int64_t i = 0; i < pairs->n && status == CM_OK; i++) {
        count[pairs->molecule[side][i]]++;
        positive[pairs->molecule[side][i]] += pairs->label[i];
        all += pairs->label[i];
    }
    double share = pairs->n ? all / (double)pairs->n : 0;
    cm_audit_side *out = &audit->side[side];
    for (size_t i = 0; i < n && status == CM_OK; i++) {
        out->unknown += d->entities[side][i].unknown > 0;
        if (count[i] < 2) continue;
        out->repeated++;
        if (audit->task->affinity) continue;
        out->one_label += positive[i] <= 0 || positive[i] >= count[i];
        out->one_label_chance += pow(share, count[i]) + pow(1 - share, count[i]);
    }
    out->molecules = (long)n;
    cm_free(count);
    cm_free(positive);
    return status;
}

static void take_faults(cm_audit *audit, const cm_dataset *d) {
    audit->unknown_ids = (long)d->unknown_ids;
    for (int side = 0; side < 2; side++) {
        const cm_faults *from = &d->faults[side];
        cm_audit_faults *to = &audit->side[side].faults;
        to->records = (long)from->records;
        to->rows = (long)from->rows;
        to->amino = (long)from->amino;
        for (int i = 0; i < 26; i++) to->letters[i] = (long)from->letters[i];
        for (int i = 0; i < from->n_examples && i < CM_AUDIT_EXAMPLES; i++)
            to->examples[i] = from->examples[i];
    }
}

cm_status cm_audit_make(cm_audit *audit, const cm_dataset *dataset, const cm_options *options,
                        const cm_runtime *runtime, cm_error *error) {
    *audit = (cm_audit){.task = dataset->task};
    if (!dataset->options.labels || !dataset->options.keep_duplicates)
        return cm_fail(error, CM_USAGE, NULL, NULL, "a data set with labels and all rows (keep_duplicates)",
                       "one without");
    if (dataset->n_pairs == 0) return cm_fail(error, CM_DATA, NULL, NULL, "at least one pair", "none");
    double threshold[3];
    cm_split_thresholds(options, threshold);
    cm_audit_pairs pairs = {0};
    take_faults(audit, dataset);
    cm_status status = count_rows(&pairs, audit, dataset, error);
    for (int side = 0; side < 2 && status == CM_OK; side++)
        status = count_labels(audit, dataset, &pairs, side, error);
    if (status == CM_OK) status = cm_audit_molecules(audit, dataset, threshold, runtime, error);
    if (status == CM_OK)
        status = cm_audit_predict(audit, dataset, &pairs, (uint64_t)options->seed, runtime, error);
    pairs_clear(&pairs);
    if (status != CM_OK) cm_audit_clear(audit);
    return status;
}

void cm_audit_clear(cm_audit *audit) {
    cm_free(audit->folds);
    *audit = (cm_audit){0};
}
