/* Out-of-fold predictions as a table. */
#include "base/buf.h"
#include "base/file.h"
#include "eval/unit.h"

static void write_units(const cm_eval_plan *plan, cm_buf *text) {
    for (int64_t u = 0; u < plan->n_units; u++) {
        const cm_eval_unit *unit = &plan->units[u];
        for (int64_t i = 0; i < unit->n_test; i++) {
            const cm_pair *pair = &plan->dataset->pairs[unit->test[i]];
            cm_buf_printf(text, "%s\t%d\t%d\t%s\t%s\t%.9g\t%.9g\t%.9g\t%.9g\t%s\n", unit->model,
                          unit->repeat + 1, unit->fold + 1, pair->id[0], pair->id[1],
                          (double)plan->label[unit->test[i]], unit->score[i], unit->value[i], unit->threshold,
                          cm_track_name(plan->request->track));
        }
    }
}

cm_status cm_eval_predictions(const char *path, const cm_eval_plan *plans, int n_plans, cm_error *error) {
    cm_buf text = CM_BUF_EMPTY;
    cm_buf_text(&text, "model\trepeat\tfold\tid_a\tid_b\tlabel\tscore\tvalue\tthreshold\ttrack\n");
    for (int p = 0; p < n_plans; p++) write_units(&plans[p], &text);
    cm_file_part part = {text.data, text.len};
    cm_status status = text.failed ? cm_fail_memory(error, text.len) : cm_file_replace(path, &part, 1, error);
    cm_buf_clear(&text);
    return status;
}
