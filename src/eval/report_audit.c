/* What the audits say about the data, and the cards of models. */
#include "eval/report_parts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- audits ---- */

static void count_row(cm_report *report, const char *name, const json_t *sides[2], const char *key,
                      const char *of) {
    if (!(cm_report_number(sides[0], key) >= 0)) return;
    cm_html_row(&report->html, name);
    for (int side = 0; side < 2; side++) {
        double value = cm_report_number(sides[side], key);
        cm_html_cell_number(&report->html, cm_html_count(value));
        cm_html_cell_number(&report->html,
                            cm_html_percent(value, of ? cm_report_number(sides[side], of) : NAN));
    }
    cm_html_row_end(&report->html);
}

static void molecules_table(cm_report *report, const json_t *audit) {
    const json_t *sides[2] = {json_object_get(audit, "side_a"), json_object_get(audit, "side_b")};
    char titles[2][64];
    for (int side = 0; side < 2; side++)
        snprintf(titles[side], sizeof titles[side], "%c: %.40s", 'A' + side,
                 cm_report_text(sides[side], "type"));
    const char *const columns[] = {"Molecules, by sequence", titles[0], "%", titles[1], "%"};
    cm_html_table(&report->html, NULL, columns, 5);
    count_row(report, "distinct", sides, "molecules", NULL);
    count_row(report, "with unknown residues", sides, "unknown_residues", "molecules");
    count_row(report, "in two or more pairs", sides, "in_several_pairs", "molecules");
    count_row(report, "of these with one label only", sides, "one_label", "in_several_pairs");
    count_row(report, "with a near duplicate on their side", sides, "with_near_duplicate", "molecules");
    count_row(report, "in the largest group of near duplicates", sides, "largest_group", "molecules");
    count_row(report, "in rows of two or more folds", sides, "in_several_folds", "molecules");
    cm_html_table_end(&report->html);
}

/* ---- records that cannot be read ---- */

static void faults_of_side(cm_report *report, const json_t *faults, const char *name) {
    const json_t *letters = json_object_get(faults, "letters"),
                 *examples = json_object_get(faults, "examples");
    cm_buf text = CM_BUF_EMPTY;
    const char *letter;
    json_t *count;
    json_object_foreach((json_t *)letters, letter, count) cm_buf_printf(
        &text, "%s%s %s", text.len ? ", " : "", letter, cm_html_count(json_number_value(count)).text);
    cm_html_row(&report->html, name);
    cm_html_cell_number(&report->html, cm_html_count(cm_report_number(faults, "records")));
    cm_html_cell_number(&report->html, cm_html_count(cm_report_number(faults, "rows")));
    cm_html_cell_number(&report->html, cm_html_count(cm_report_number(faults, "with_amino_acid_letters")));
    cm_html_cell_long(&report->html, text.data ? text.data : "");
    const char *first = json_string_value(json_array_get(examples, 0));
    cm_html_cell_long(&report->html, first ? first : "");
    cm_html_row_end(&report->html);
    report->html.failed |= text.failed;
    cm_buf_clear(&text);
}

static void faults_table(cm_report *report, const json_t *audit) {
    static const char *const columns[] = {"Records that cannot be read", "Records",  "Rows left out",
                                          "With amino-acid letters",     "|Letters", "|First"};
    const json_t *a = json_object_get(json_object_get(audit, "side_a"), "faults"),
                 *b = json_object_get(json_object_get(audit, "side_b"), "faults");
    if (!(cm_report_number(a, "records") > 0) && !(cm_report_number(b, "records") > 0)) return;
    cm_html_table(&report->html, NULL, columns, 6);
    faults_of_side(report, a, "A");
    faults_of_side(report, b, "B");
    cm_html_table_end(&report->html);
}

static void predictability_table(cm_report *report, const json_t *audit) {
    static const struct {
        const char *key, *name;
    } rows[] = {{"identity", "identity: labels in other pairs"},
                {"composition", "length and composition"},
                {"length", "length"}};
    static const char *const views[] = {"a", "b", "both"};
    bool affinity = json_is_true(json_object_get(audit, "affinity"));
    const char *const binary[] = {"Seen",     "A: MCC",    "A: AUROC",   "B: MCC",
                                  "B: AUROC", "Both: MCC", "Both: AUROC"};
    const char *const real[] = {"Seen", "A: Pearson", "B: Pearson", "Both: Pearson"};
    cm_html_table(&report->html, "What predicts the label without knowing how the molecules fit",
                  affinity ? real : binary, affinity ? 4 : 7);
    for (int i = 0; i < 3; i++) {
        const json_t *scores = json_object_get(json_object_get(audit, "predictability"), rows[i].key);
        cm_html_row(&report->html, rows[i].name);
        for (int v = 0; v < 3; v++) {
            const json_t *score = json_object_get(scores, views[v]);
            cm_html_cell_number(&report->html,
                                cm_html_real(cm_report_number(score, affinity ? "Pearson" : "MCC"), 3));
            if (!affinity)
                cm_html_cell_number(&report->html, cm_html_real(cm_report_number(score, "AUROC"), 3));
        }
        cm_html_row_end(&report->html);
    }
    cm_html_table_end(&report->html);
}

static void overlap_row(cm_report *report, const json_t *fold) {
    static const char *const kinds[] = {"same_in_other_folds", "similar_in_other_folds"};
    static const char *const views[] = {"a", "b", "both"};
    double rows = cm_report_number(fold, "rows");
    cm_html_row(&report->html, cm_report_text(fold, "fold"));
    cm_html_cell_number(&report->html, cm_html_count(rows));
    for (int kind = 0; kind < 2; kind++)
        for (int v = 0; v < 3; v++)
            cm_html_cell_number(
                &report->html,
                cm_html_percent(cm_report_number(json_object_get(fold, kinds[kind]), views[v]), rows));
    cm_html_row_end(&report->html);
}

static void overlap_table(cm_report *report, const json_t *audit) {
    static const char *const columns[] = {"Fold",         "Rows",         "Same A, %",    "Same B, %",
                                          "Same both, %", "Similar A, %", "Similar B, %", "Similar both, %"};
    const json_t *overlap = json_object_get(audit, "overlap"), *folds = json_object_get(overlap, "folds");
    if (!json_is_object(overlap)) return;
    cm_html_table(&report->html, "Overlap of the given folds: rows whose molecules are in other folds too",
                  columns, 8);
    for (size_t i = 0; i < json_array_size(folds); i++) overlap_row(report, json_array_get(folds, i));
    overlap_row(report, json_object_get(overlap, "all"));
    cm_html_table_end(&report->html);
}

/* ---- nearest molecules ---- */

static void nearest_row(cm_report *report, const json_t *fold) {
    static const size_t shown[] = {0, 2, 4};
    const json_t *nearest = json_object_get(fold, "nearest_in_other_folds");
    cm_html_row(&report->html, cm_report_text(fold, "fold"));
    for (int side = 0; side < 2; side++)
        for (int q = 0; q < 3; q++)
            cm_html_cell_number(
                &report->html,
                cm_html_real(
                    cm_report_element(
                        json_object_get(json_object_get(nearest, side ? "b" : "a"), "quantiles"), shown[q]),
                    2));
    cm_html_row_end(&report->html);
}

/* How many rows have which similarity to the nearest molecule of the other folds. */
static void nearest_figure(cm_report *report, const json_t *nearest) {
    json_t *labels = json_array();
    for (int b = 0; b < 10; b++) {
        char label[16];
        snprintf(label, sizeof label, "%.2f", b / 10.0 + 0.05);
        json_array_append_new(labels, json_string(label));
    }
    for (int side = 0; side < 2; side++) {
        const json_t *bins = json_object_get(json_object_get(nearest, side ? "b" : "a"), "bins");
        json_t *chart = json_pack("{s:s, s:o, s:o, s:[{s:s, s:i, s:O}], s:O}", "kind", "bars", "x",
                                  cm_report_axis("Similarity to the nearest (middle of a bin)", NAN, NAN),
                                  "y", cm_report_axis("Rows", 0, NAN), "series", "name", "rows", "style",
                                  side, "y", bins, "categories", labels);
        cm_report_figure(
            report, chart, side ? "Nearest B of other folds" : "Nearest A of other folds",
            "Identity estimated from shared k-mers, or Tanimoto coefficient of small molecules; 1: the "
            "same molecule.",
            false);
    }
    json_decref(labels);
}

static void nearest_table(cm_report *report, const json_t *audit) {
    static const char *const columns[] = {"Fold",   "A: 5 %",    "A: median", "A: 95 %",
                                          "B: 5 %", "B: median", "B: 95 %"};
    const json_t *overlap = json_object_get(audit, "overlap"), *folds = json_object_get(overlap, "folds"),
                 *all = json_object_get(overlap, "all"),
                 *nearest = json_object_get(all, "nearest_in_other_folds");
    if (!nearest) return;
    bool drawn = report->charts && json_is_array(json_object_get(json_object_get(nearest, "a"), "bins")) &&
                 json_is_array(json_object_get(json_object_get(nearest, "b"), "bins"));
    if (drawn) {
        CM_HTML_PART(&report->html, "figures", {0});
        nearest_figure(report, nearest);
        CM_HTML_PART(&report->html, "figures-end", {0});
    }
    cm_html_table(&report->html,
                  "Similarity of a row's molecule to the nearest one of other folds, over the rows", columns,
                  7);
    for (size_t i = 0; i < json_array_size(folds); i++) nearest_row(report, json_array_get(folds, i));
    nearest_row(report, all);
    cm_html_table_end(&report->html);
}

static void rows_table(cm_report *report, const json_t *audit) {
    static const char *const columns[] = {"Rows", "Number"};
    static const struct {
        const char *key, *name;
    } rows[] = {{"rows", "as given"},
                {"pairs", "pairs that can be used"},
                {"positives", "rows with label 1"},
                {"repeats", "rows that repeat an earlier pair"},
                {"contradictions", "pairs with contradictory labels"},
                {"unknown_ids", "rows left out: an identifier that no file has"}};
    cm_html_table(&report->html, NULL, columns, 2);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double value = cm_report_number(audit, rows[i].key);
        if (!isfinite(value)) continue;
        cm_html_row(&report->html, rows[i].name);
        cm_html_cell_number(&report->html, cm_html_count(value));
        cm_html_row_end(&report->html);
    }
    cm_html_table_end(&report->html);
}

void cm_report_audits(cm_report *report) {
    cm_report_section(report, "audit", "What the data set gives away");
    if (report->request->n_audits == 0) CM_HTML_PART(&report->html, "audit-none", {0});
    for (int i = 0; i < report->request->n_audits; i++) {
        const json_t *audit = report->audits[i];
        char name[96], title[200];
        cm_report_name(name, report->request->audits[i]);
        snprintf(title, sizeof title, "%s: %.80s", name, cm_report_text(audit, "task"));
        CM_HTML_PART(&report->html, "heading", {"title", title});
        rows_table(report, audit);
        faults_table(report, audit);
        molecules_table(report, audit);
        predictability_table(report, audit);
        overlap_table(report, audit);
        nearest_table(report, audit);
    }
    cm_report_section_end(report);
}

/* ---- cards ---- */

/* A value that is no object: short lists in one line. */
static void card_value(cm_buf *out, const json_t *value) {
    if (json_is_string(value)) {
        cm_html_text(out, json_string_value(value));
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value) && i < 20; i++) {
            if (i > 0) cm_buf_text(out, ", ");
            card_value(out, json_array_get(value, i));
        }
        if (json_array_size(value) > 20) cm_buf_text(out, ", \xe2\x80\xa6");
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6) | JSON_SORT_KEYS);
        cm_html_text(out, text ? text : "");
        free(text);
    }
}

/* Objects become rows named PREFIX.KEY. */
static void card_rows(cm_buf *out, const json_t *object, const char *prefix, int depth) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        char name[256];
        snprintf(name, sizeof name, "%.120s%s%.120s", prefix, *prefix ? ": " : "", key);
        if (json_is_object(value) && depth < 8) {
            card_rows(out, value, name, depth + 1);
            continue;
        }
        cm_html_row(out, name);
        cm_buf_text(out, "<td class=\"long\"><bdi>");
        card_value(out, value);
        cm_buf_text(out, "</bdi></td>");
        cm_html_row_end(out);
    }
}

void cm_report_cards(cm_report *report) {
    static const char *const columns[] = {"What", "|Value"};
    cm_report_section(report, "model", "Model card");
    for (int i = 0; i < report->request->n_models; i++) {
        const json_t *card = report->cards[i], *options = json_object_get(card, "options");
        json_t *rest = json_copy((json_t *)card);
        if (rest) json_object_del(rest, "options");
        CM_HTML_PART(&report->html, "heading", {"title", report->request->models[i]});
        cm_html_table(&report->html, NULL, columns, 2);
        card_rows(&report->html, rest, "", 0);
        cm_html_table_end(&report->html);
        CM_HTML_PART(&report->html, "fold", {"title", "Options of the network and its training"});
        cm_html_table(&report->html, NULL, columns, 2);
        card_rows(&report->html, options, "", 0);
        cm_html_table_end(&report->html);
        CM_HTML_PART(&report->html, "fold-end", {0});
        json_decref(rest);
    }
    cm_report_section_end(report);
}
