/* An audit as JSON. */
#include "base/alloc.h"
#include "base/file.h"
#include "io/json.h"
#include <crossmamba/audit.h>
#include <math.h>
#include <string.h>

/* null stands for a figure that there is not. */
static json_t *real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *score_of(const cm_audit_score *score, bool affinity) {
    return affinity ? json_pack("{s:o}", "Pearson", real(score->main))
                    : json_pack("{s:o, s:o}", "MCC", real(score->main), "AUROC", real(score->auroc));
}

static json_t *views_of(const cm_audit_score score[CM_AUDIT_VIEWS], bool affinity) {
    return json_pack("{s:o, s:o, s:o}", "a", score_of(&score[CM_AUDIT_A], affinity), "b",
                     score_of(&score[CM_AUDIT_B], affinity), "both",
                     score_of(&score[CM_AUDIT_BOTH], affinity));
}

/* Letters by how often they stand where they may not; only those that do. */
static json_t *letters_of(const cm_audit_faults *f) {
    json_t *letters = json_object();
    for (int i = 0; letters && i < 26; i++)
        if (f->letters[i] > 0)
            json_object_set_new(letters, (char[]){(char)('A' + i), '\0'}, json_integer(f->letters[i]));
    return letters;
}

static json_t *faults_of(const cm_audit_faults *f) {
    json_t *examples = json_array();
    for (int i = 0; examples && i < CM_AUDIT_EXAMPLES && f->examples[i]; i++)
        json_array_append_new(examples, json_string(f->examples[i]));
    return json_pack("{s:I, s:I, s:I, s:o, s:o}", "records", (json_int_t)f->records, "rows",
                     (json_int_t)f->rows, "with_amino_acid_letters", (json_int_t)f->amino, "letters",
                     letters_of(f), "examples", examples);
}

static json_t *nearest_of(const cm_audit_nearest *nearest) {
    json_t *quantiles = json_array(), *bins = json_array();
    for (int q = 0; quantiles && q < CM_AUDIT_QUANTILES; q++)
        json_array_append_new(quantiles, real(nearest->quantiles[q]));
    for (int b = 0; bins && b < CM_AUDIT_BINS; b++)
        json_array_append_new(bins, json_integer(nearest->bins[b]));
    return json_pack("{s:o, s:o}", "quantiles", quantiles, "bins", bins);
}

static json_t *side_of(const cm_audit *audit, int side) {
    const cm_audit_side *s = &audit->side[side];
    json_t *object = json_pack(
        "{s:s, s:o, s:I, s:I, s:I, s:o, s:I, s:I}", "type",
        cm_molecule_type_name(side == 0 ? audit->task->a : audit->task->b), "faults", faults_of(&s->faults),
        "molecules", (json_int_t)s->molecules, "unknown_residues", (json_int_t)s->unknown, "in_several_pairs",
        (json_int_t)s->repeated, "similarity_threshold", real(s->threshold), "with_near_duplicate",
        (json_int_t)s->near, "largest_group", (json_int_t)s->largest_group);
    bool ok = object != NULL;
    if (ok && !audit->task->affinity)
        ok = json_object_set_new(object, "one_label", json_integer(s->one_label)) == 0 &&
             json_object_set_new(object, "one_label_by_chance", real(s->one_label_chance)) == 0;
    if (ok && audit->n_folds)
        ok = json_object_set_new(object, "in_several_folds", json_integer(s->shared)) == 0;
    if (ok) return object;
    json_decref(object);
    return NULL;
}

static json_t *counts_of(const long count[CM_AUDIT_VIEWS]) {
    return json_pack("{s:I, s:I, s:I}", "a", (json_int_t)count[CM_AUDIT_A], "b",
                     (json_int_t)count[CM_AUDIT_B], "both", (json_int_t)count[CM_AUDIT_BOTH]);
}

static json_t *fold_of(const cm_audit_fold *fold) {
    return json_pack("{s:s, s:I, s:o, s:o, s:{s:o, s:o}}", "fold", fold->name, "rows", (json_int_t)fold->rows,
                     "same_in_other_folds", counts_of(fold->same), "similar_in_other_folds",
                     counts_of(fold->similar), "nearest_in_other_folds", "a", nearest_of(&fold->nearest[0]),
                     "b", nearest_of(&fold->nearest[1]));
}

static json_t *overlap_of(const cm_audit *audit) {
    if (!audit->n_folds) return json_null();
    json_t *folds = json_array();
    for (long f = 0; f < audit->n_folds; f++)
        if (json_array_append_new(folds, fold_of(&audit->folds[f])) != 0) {
            json_decref(folds);
            return NULL;
        }
    return json_pack("{s:o, s:o}", "folds", folds, "all", fold_of(&audit->all));
}

static json_t *document(const cm_audit *a, const char *command) {
    bool affinity = a->task->affinity != 0;
    return json_pack(
        "{s:i, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:o, s:I, s:I, s:o, s:o, s:o, s:i, s:{s:o, s:o, s:o}, s:o}",
        "format", 1, "crossmamba", CM_LIBRARY_VERSION, "command", command ? command : "", "task",
        a->task->name, "affinity", affinity, "rows", (json_int_t)a->rows, "unknown_ids",
        (json_int_t)a->unknown_ids, "pairs", (json_int_t)a->pairs, "positives",
        affinity ? json_null() : json_integer(a->positives), "repeats", (json_int_t)a->repeats,
        "contradictions", (json_int_t)a->contradictions, "spread", affinity ? real(a->spread) : json_null(),
        "side_a", side_of(a, 0), "side_b", side_of(a, 1), "random_folds", a->random_folds, "predictability",
        "identity", views_of(a->identity, affinity), "composition", views_of(a->composition, affinity),
        "length", views_of(a->length, affinity), "overlap", overlap_of(a));
}

cm_status cm_audit_write(const cm_audit *audit, const char *path, const char *command, cm_error *error) {
    cm_json_watch();
    json_t *record = document(audit, command);
    if (cm_json_failed()) {
        json_decref(record);
        return cm_fail_memory(error, 0);
    }
    if (!record)
        return cm_fail(error, CM_USAGE, path, NULL, "names of folds and a command line in UTF-8",
                       "other bytes");
    char *text = cm_json_text(record);
    cm_status status = text ? CM_OK : cm_fail_memory(error, 0);
    if (text) {
        cm_file_part parts[2] = {{text, strlen(text)}, {"\n", 1}};
        status = cm_file_replace(path, parts, 2, error);
    }
    cm_free(text);
    json_decref(record);
    return status;
}
