/* The table of predictors. */
#include "eval/predictor.h"
#include "base/buf.h"
#include <crossmamba/tables.h>
#include <string.h>

static const cm_predictor *const predictors[] = {
#define CM_PREDICTOR_ROW(name) &cm_predictor_##name,
#include "eval/predictors.def"
#undef CM_PREDICTOR_ROW
};
enum { PREDICTOR_COUNT = sizeof predictors / sizeof *predictors };

static int own_row(const cm_predictor *predictor, int i, cm_table_row *row) {
    if (predictor->row) return predictor->row(i, row);
    *row = (cm_table_row){predictor->name, predictor->help};
    return i == 0;
}

int cm_predictor_row(int i, cm_table_row *row) {
    for (int p = 0; i >= 0 && p < PREDICTOR_COUNT; p++) {
        int own = 0;
        while (own_row(predictors[p], own, row))
            if (own++ == i) return 1;
        i -= own;
    }
    return 0;
}

static cm_status unknown(const char *name, cm_error *error) {
    cm_buf names = CM_BUF_EMPTY;
    cm_table_row row;
    for (int i = 0; cm_predictor_row(i, &row); i++)
        cm_buf_printf(&names, "%s%s", i ? ", " : "one of ", row.name);
    cm_status status =
        cm_fail(error, CM_USAGE, NULL, "models", names.failed ? "a predictor" : names.data, "%s", name);
    cm_buf_clear(&names);
    return status;
}

cm_status cm_predictor_find(const cm_predictor **predictor, const char *name, cm_error *error) {
    cm_table_row row;
    for (int p = 0; p < PREDICTOR_COUNT; p++)
        for (int i = 0; own_row(predictors[p], i, &row); i++)
            if (strcmp(row.name, name) == 0) {
                *predictor = predictors[p];
                return CM_OK;
            }
    return unknown(name, error);
}

cm_status cm_predictor_check(const char *name, bool affinity, cm_error *error) {
    const cm_predictor *predictor;
    CM_TRY(cm_predictor_find(&predictor, name, error));
    if (predictor->serves & (affinity ? CM_SERVES_AFFINITY : CM_SERVES_BINARY)) return CM_OK;
    return cm_fail(error, CM_USAGE, NULL, "models",
                   affinity ? "a predictor of affinities" : "a predictor for binary tasks", "%s", name);
}
