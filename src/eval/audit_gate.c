/* Limits that stop a pipeline. */
#include "base/fail.h"
#include <crossmamba/audit.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double repeats(const cm_audit *a) {
    return (double)a->repeats;
}

static double contradictions(const cm_audit *a) {
    return (double)a->contradictions;
}

static double alphabet(const cm_audit *a) {
    return (double)(a->side[0].faults.records + a->side[1].faults.records);
}

static double unknown_ids(const cm_audit *a) {
    return (double)a->unknown_ids;
}

static double one_label(const cm_audit *a) {
    double worst = a->task->affinity ? NAN : 0;
    for (int side = 0; side < 2 && !a->task->affinity; side++)
        if (a->side[side].repeated)
            worst = fmax(worst, (double)a->side[side].one_label / (double)a->side[side].repeated);
    return worst;
}

/* fmax leaves out NaN. */
static double best(const cm_audit_score score[CM_AUDIT_VIEWS]) {
    return fmax(fmax(score[CM_AUDIT_A].main, score[CM_AUDIT_B].main), score[CM_AUDIT_BOTH].main);
}

static double identity(const cm_audit *a) {
    return best(a->identity);
}

static double composition(const cm_audit *a) {
    return fmax(best(a->composition), best(a->length));
}

static double overlap(const cm_audit *a) {
    return a->n_folds ? (double)a->all.similar[CM_AUDIT_BOTH] / (double)a->all.rows : NAN;
}

static const struct gate {
    const char *name, *help;
    double limit;
    double (*value)(const cm_audit *audit);
} gates[] = {
    {"repeats", "rows that repeat an earlier pair [0]", 0, repeats},
    {"contradictions", "pairs with contradictory labels [0]", 0, contradictions},
    {"alphabet", "records with letters that their type does not allow, or that are no SMILES [0]", 0,
     alphabet},
    {"unknown-ids", "rows with an identifier that no file has [0]", 0, unknown_ids},
    {"one-label", "share of the molecules in two or more pairs that have one label, the worse side [0.9]",
     0.9, one_label},
    {"identity", "MCC or Pearson of identity alone, the best of A, B and both [0.5]", 0.5, identity},
    {"composition", "MCC or Pearson of length and composition, the best of A, B and both [0.5]", 0.5,
     composition},
    {"overlap", "share of rows whose two molecules have an equal or similar one in other folds [0]", 0,
     overlap},
};
enum { N_GATES = sizeof gates / sizeof *gates };

int cm_audit_gate_row(int i, cm_table_row *row) {
    if (i < 0 || i >= N_GATES) return 0;
    *row = (cm_table_row){.name = gates[i].name, .help = gates[i].help};
    return 1;
}

cm_status cm_audit_gate_parse(cm_audit_gate *gate, const char *text, cm_error *error) {
    size_t length = strcspn(text, ":");
    for (int i = 0; i < N_GATES; i++) {
        if (strlen(gates[i].name) != length || strncmp(gates[i].name, text, length) != 0) continue;
        *gate = (cm_audit_gate){gates[i].name, gates[i].limit};
        if (!text[length]) return CM_OK;
        char *end;
        gate->limit = strtod(text + length + 1, &end);
        if (end != text + length + 1 && !*end && isfinite(gate->limit)) return CM_OK;
        return cm_fail(error, CM_USAGE, NULL, cm_format("gate %s", gates[i].name).text, "a number", "%s",
                       text + length + 1);
    }
    return cm_fail(
        error, CM_USAGE, NULL, "gate",
        "repeats, contradictions, alphabet, unknown-ids, one-label, identity, composition or overlap", "%s",
        text);
}

double cm_audit_gate_value(const cm_audit *audit, const cm_audit_gate *gate) {
    for (int i = 0; i < N_GATES; i++)
        if (strcmp(gates[i].name, gate->name) == 0) return gates[i].value(audit);
    return NAN;
}
