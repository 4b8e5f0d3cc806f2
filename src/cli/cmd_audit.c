/* crossmamba audit: what a data set gives away before any model is trained. */
#include "cli/command.h"
#include "cli/common.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const cm_arg_row rows[] = {
    {"task", "NAME", true, false, "the task (crossmamba models tasks)"},
    CM_DATA_ROWS,
    {"fold-column", "NAME", false, false,
     "column of --pairs with given folds (-: only trains): audit what they share"},
    {"rna-similarity", "S", false, false,
     "RNAs of at least this estimated identity are near duplicates [0.8]"},
    {"protein-similarity", "S", false, false, "the same for proteins [0.4]"},
    {"molecule-similarity", "S", false, false,
     "the same for small molecules, Tanimoto coefficient of Morgan fragments [0.6]"},
    {"seed", "N", false, false, "seed of the random folds [1]"},
    {"json", "FILE", false, false, "write everything as JSON"},
    {"fail-on", "LIST", false, false,
     "exit with code 3 when a gate of NAME[:LIMIT],... is above its limit, see below"},
    CM_RUN_ROWS,
    {0},
};

enum { MAX_GATES = 16 };

static double percent(long part, long all) {
    return all ? 100.0 * (double)part / (double)all : 0;
}

static const char *plural(long n) {
    return n == 1 ? "" : "s";
}

static void print_rows(const cm_audit *a) {
    printf("Rows\n  %ld row%s, %ld pair%s that can be used", a->rows, plural(a->rows), a->pairs,
           plural(a->pairs));
    if (a->task->affinity)
        printf(" (equal pairs are one, with their mean).\n");
    else
        printf(", %ld rows positive (%.1f %%).\n", a->positives, percent(a->positives, a->rows));
    printf("  %ld row%s %s the two molecules of an earlier row (in random folds such pairs are in both "
           "parts).\n",
           a->repeats, plural(a->repeats), a->repeats == 1 ? "repeats" : "repeat");
    if (a->task->affinity)
        printf("  %ld pair%s with labels more than 1 apart; the largest difference is %.2f.\n\n",
               a->contradictions, plural(a->contradictions), a->spread);
    else
        printf("  %ld pair%s with label 0 and with label 1: no model can be right; left out below.\n\n",
               a->contradictions, plural(a->contradictions));
}

/* The letters of a side that are not allowed, most often first: "E 120, L 98". */
static void print_letters(const cm_audit_faults *f) {
    long left[26];
    memcpy(left, f->letters, sizeof left);
    for (int shown = 0; shown < 12; shown++) {
        int most = 0;
        for (int i = 1; i < 26; i++)
            if (left[i] > left[most]) most = i;
        if (left[most] == 0) break;
        printf("%s%c %ld", shown ? ", " : "", 'A' + most, left[most]);
        left[most] = 0;
    }
    putchar('\n');
}

static void print_side_faults(const cm_audit_faults *f, cm_molecule_type type, char side) {
    if (f->records == 0) return;
    printf("  %ld record%s of side %c (%s) cannot be read; %ld row%s left out.\n", f->records,
           plural(f->records), side, cm_molecule_type_name(type), f->rows, f->rows == 1 ? " is" : "s are");
    if (type == CM_RNA) printf("    with letters of amino acids: %ld\n", f->amino);
    if (type != CM_MOLECULE) {
        printf("    letters that are not allowed: ");
        print_letters(f);
    }
    for (int i = 0; i < CM_AUDIT_EXAMPLES && f->examples[i]; i++)
        printf("    %s %.100s\n", i ? "      " : "first:", f->examples[i]);
}

static void print_faults(const cm_audit *a) {
    const cm_audit_faults *f[2] = {&a->side[0].faults, &a->side[1].faults};
    printf("Records\n");
    if (f[0]->records == 0 && f[1]->records == 0) printf("  All that the rows name can be read.\n");
    print_side_faults(f[0], a->task->a, 'A');
    print_side_faults(f[1], a->task->b, 'B');
    if (a->unknown_ids)
        printf("  %ld row%s an identifier that no file has; left out.\n", a->unknown_ids,
               a->unknown_ids == 1 ? " has" : "s have");
    putchar('\n');
}

static void print_count(const char *what, long a, long all_a, long b, long all_b) {
    printf("  %-36s %8ld (%5.1f %%) %8ld (%5.1f %%)\n", what, a, percent(a, all_a), b, percent(b, all_b));
}

static void print_molecules(const cm_audit *audit) {
    const cm_audit_side *a = &audit->side[0], *b = &audit->side[1];
    char title[2][40];
    snprintf(title[0], sizeof title[0], "A: %s", cm_molecule_type_name(audit->task->a));
    snprintf(title[1], sizeof title[1], "B: %s", cm_molecule_type_name(audit->task->b));
    printf("%-38s %18s %18s\n", "Molecules, by sequence", title[0], title[1]);
    printf("  %-36s %8ld %18ld\n", "distinct", a->molecules, b->molecules);
    print_count("with unknown residues", a->unknown, a->molecules, b->unknown, b->molecules);
    print_count("in two or more pairs", a->repeated, a->molecules, b->repeated, b->molecules);
    if (!audit->task->affinity) {
        print_count("of these with one label only", a->one_label, a->repeated, b->one_label, b->repeated);
        printf("  %-36s %8.1f %18.1f\n", "  expected by chance", a->one_label_chance, b->one_label_chance);
    }
    print_count("with a near duplicate on their side", a->near, a->molecules, b->near, b->molecules);
    printf("  %-36s %8.2f %18.2f\n", "  from this similarity on", a->threshold, b->threshold);
    print_count("in the largest group of these", a->largest_group, a->molecules, b->largest_group,
                b->molecules);
    if (audit->n_folds)
        print_count("in rows of two or more folds", a->shared, a->molecules, b->shared, b->molecules);
    putchar('\n');
}

static void print_scores(const char *what, const cm_audit_score score[CM_AUDIT_VIEWS], bool affinity) {
    printf("  %-36s", what);
    for (int view = 0; view < CM_AUDIT_VIEWS; view++)
        if (affinity)
            printf(" %15.3f", score[view].main);
        else
            printf("   %6.3f %6.3f", score[view].main, score[view].auroc);
    putchar('\n');
}

static void print_predictability(const cm_audit *a) {
    bool affinity = a->task->affinity != 0;
    printf("What predicts the label without knowing how the molecules fit\n");
    if (a->random_folds == 0) {
        printf("  Too few pairs, or fewer than two of a class.\n\n");
        return;
    }
    printf("  %d random folds, pooled: %s\n", a->random_folds,
           affinity ? "Pearson" : "MCC at probability 0.5, AUROC");
    printf("  %-36s %15s %15s %15s\n", "", "A alone", "B alone", "both");
    print_scores("identity: labels in other pairs", a->identity, affinity);
    print_scores("length and composition", a->composition, affinity);
    print_scores("length", a->length, affinity);
    printf("  A model that does not beat these in the same folds has learnt nothing about binding.\n\n");
}

static void print_fold(const cm_audit_fold *fold) {
    printf("  %-16.16s %8ld", fold->name, fold->rows);
    for (int view = 0; view < CM_AUDIT_VIEWS; view++) printf(" %7.1f", percent(fold->same[view], fold->rows));
    putchar(' ');
    for (int view = 0; view < CM_AUDIT_VIEWS; view++)
        printf(" %7.1f", percent(fold->similar[view], fold->rows));
    putchar('\n');
}

static void print_nearest_fold(const cm_audit_fold *fold) {
    printf("  %-16.16s", fold->name);
    for (int side = 0; side < 2; side++)
        printf(" %9.2f %7.2f %7.2f", fold->nearest[side].quantiles[0], fold->nearest[side].quantiles[2],
               fold->nearest[side].quantiles[4]);
    putchar('\n');
}

static void print_nearest(const cm_audit *a) {
    printf("Similarity of a row's molecule to the nearest one of other folds (1: the same), over the rows\n");
    printf("  %-16s %25s %25s\n", "", "A", "B");
    printf("  %-16s %9s %7s %7s %9s %7s %7s\n", "fold", "5 %", "median", "95 %", "5 %", "median", "95 %");
    for (long f = 0; f < a->n_folds; f++) print_nearest_fold(&a->folds[f]);
    print_nearest_fold(&a->all);
    putchar('\n');
}

static void print_overlap(const cm_audit *a) {
    if (!a->n_folds) return;
    printf("Overlap of the given folds: %% of a fold's rows whose molecules are in other folds\n");
    printf("  %-16s %8s %23s %24s\n", "", "", "the same molecule", "the same or similar");
    printf("  %-16s %8s %7s %7s %7s  %7s %7s %7s\n", "fold", "rows", "A", "B", "both", "A", "B", "both");
    for (long f = 0; f < a->n_folds; f++) print_fold(&a->folds[f]);
    print_fold(&a->all);
    putchar('\n');
    print_nearest(a);
}

/* Cuts the list in text into gates. */
static cm_status read_gates(char *text, cm_audit_gate gates[MAX_GATES], int *n, cm_error *error) {
    *n = 0;
    for (char *at = strtok(text, ","); at; at = strtok(NULL, ",")) {
        if (*n == MAX_GATES)
            return cm_cli_fail(error, CM_USAGE, NULL, "option --fail-on", "at most 16 gates", "more");
        cm_status status = cm_audit_gate_parse(&gates[(*n)++], at, error);
        if (status != CM_OK) return status;
    }
    return CM_OK;
}

/* One line on stderr for each figure above its limit. */
static cm_status check_gates(const cm_audit *audit, const cm_audit_gate *gates, int n, cm_error *error) {
    int failed = 0;
    for (int i = 0; i < n; i++) {
        double value = cm_audit_gate_value(audit, &gates[i]);
        if (isnan(value))
            return cm_cli_fail(error, CM_USAGE, NULL, "option --fail-on",
                               "gates for which the data set has a figure", gates[i].name);
        if (!(value > gates[i].limit)) continue;
        failed++;
        fprintf(stderr, "gate %s failed: %.4g is above %.4g\n", gates[i].name, value, gates[i].limit);
    }
    char found[64];
    snprintf(found, sizeof found, "%d above %s", failed, failed == 1 ? "its limit" : "their limits");
    return failed ? cm_cli_fail(error, CM_DATA, NULL, "option --fail-on", "no figure above its limit", found)
                  : CM_OK;
}

static cm_status report(const cm_args *args, const cm_audit *audit, cm_error *error) {
    const char *json = cm_args_get(args, "json");
    printf("Audit for the task %s\n\n", audit->task->name);
    print_rows(audit);
    print_faults(audit);
    print_molecules(audit);
    print_predictability(audit);
    print_overlap(audit);
    if (fflush(stdout) != 0) return cm_cli_fail(error, CM_IO, "standard output", NULL, NULL, "cannot write");
    if (!json) return CM_OK;
    char *command = cm_args_line(args, "audit");
    cm_status status = cm_audit_write(audit, json, command, error);
    free(command);
    return status;
}

static cm_status read_options(const cm_args *args, cm_options *options, cm_error *error) {
    static const char *const names[] = {"rna-similarity", "protein-similarity", "molecule-similarity",
                                        "seed"};
    cm_status status = CM_OK;
    cm_options_default(options);
    for (int i = 0; i < 4 && status == CM_OK; i++)
        if (cm_args_get(args, names[i]))
            status = cm_options_set(options, names[i], cm_args_get(args, names[i]), error);
    return status;
}

static cm_status run(const cm_args *args, const cm_options *unused, cm_error *error) {
    (void)unused;
    char list[512];
    const char *fail_on = cm_args_get(args, "fail-on"), *name = cm_args_get(args, "task");
    cm_audit_gate gates[MAX_GATES];
    int n_gates;
    cm_options options;
    cm_runtime runtime;
    const cm_task *task = cm_task_find(name);
    if (!task)
        return cm_cli_fail(error, CM_USAGE, NULL, "option --task",
                           "a task (crossmamba models tasks lists them)", name);
    if (fail_on && strlen(fail_on) >= sizeof list)
        return cm_cli_fail(error, CM_USAGE, NULL, "option --fail-on", "a shorter list", "one too long");
    snprintf(list, sizeof list, "%s", fail_on ? fail_on : "");
    cm_status status = read_gates(list, gates, &n_gates, error);
    if (status == CM_OK) status = read_options(args, &options, error);
    if (status == CM_OK) status = cm_cli_runtime(args, &runtime, error);
    cm_dataset *dataset = NULL;
    if (status == CM_OK)
        status = cm_cli_dataset_rows(args, task, cm_args_get(args, "fold-column"), &runtime, &dataset, error);
    cm_audit audit = {0};
    if (status == CM_OK) status = cm_audit_make(&audit, dataset, &options, &runtime, error);
    if (status == CM_OK) status = report(args, &audit, error);
    if (status == CM_OK) status = check_gates(&audit, gates, n_gates, error);
    cm_audit_clear(&audit);
    cm_dataset_destroy(dataset);
    return status;
}

const cm_command cm_command_audit = {
    .name = "audit",
    .summary = "what a data set gives away before any model is trained",
    .text =
        "Prints one page: repeated rows, contradictory labels, records with letters that they may not have, "
        "molecules\n"
        "with one label, near duplicates, how well the label follows from identity, length and composition "
        "alone, and\n"
        "what given folds share. Molecules are told apart by sequence, never by identifier; every row is "
        "read\n"
        "(--keep-duplicates changes nothing). Records that cannot be read are counted and left out, unless\n"
        "--bad-records refuse stops at the first. --json writes the same figures for programs.",
    .example =
        "crossmamba audit --task rna-protein --a examples/rna.fasta --b examples/protein.fasta --pairs "
        "examples/rna-protein.tsv",
    .rows = rows,
    .table = "Gates for --fail-on, with their limits",
    .table_row = cm_audit_gate_row,
    .run = run,
};
