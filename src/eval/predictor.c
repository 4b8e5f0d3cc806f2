/* The table of predictors. */
#include "eval/predictor.h"
#include "base/buf.h"
#include "eval/stage.h"
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

/* The row of a plain name; NULL: there is none. */
static const cm_predictor *find_plain(const char *name) {
    cm_table_row row;
    for (int p = 0; p < PREDICTOR_COUNT; p++) {
        const cm_predictor *predictor = predictors[p];
        for (int i = 0; !predictor->stage && own_row(predictor, i, &row); i++)
            if (strcmp(row.name, name) == 0) return predictor;
    }
    return NULL;
}

static const char memory_suffix[] = "+memory";

static bool has_memory(const char *name) {
    size_t length = strlen(name), suffix = sizeof memory_suffix - 1;
    return length > suffix && strcmp(name + length - suffix, memory_suffix) == 0;
}

bool cm_stage_is_mean(const char *name) {
    return strncmp(name, cm_learner_mean.prefix, strlen(cm_learner_mean.prefix)) == 0;
}

int cm_stage_members(const char *name, char member[CM_MEMBERS_MAX][CM_MEMBER_NAME]) {
    bool memory = has_memory(name);
    const char *end = name + strlen(name) - (memory ? sizeof memory_suffix - 1 : 0);
    int members = cm_member_names(cm_learner_stack.prefix, name, end, member);
    if (members == 0) members = cm_member_names(cm_learner_mean.prefix, name, end, member);
    if (members > 0 || !memory) return members;
    size_t length = (size_t)(end - name);
    if (length >= CM_MEMBER_NAME) length = CM_MEMBER_NAME - 1;
    memcpy(member[0], name, length);
    member[0][length] = '\0';
    return 1;
}

cm_status cm_predictor_find(const cm_predictor **predictor, const char *name, cm_error *error) {
    char member[CM_MEMBERS_MAX][CM_MEMBER_NAME];
    int members = cm_stage_members(name, member);
    if (members > CM_MEMBERS_MAX)
        return cm_fail(error, CM_USAGE, NULL, "models", cm_format("at most %d members", CM_MEMBERS_MAX).text,
                       "%s", name);
    for (int m = 0; m < members; m++) {
        if (!find_plain(member[m])) return unknown(member[m], error);
        for (int i = 0; i < m; i++)
            if (strcmp(member[i], member[m]) == 0)
                return cm_fail(error, CM_USAGE, NULL, "models", "different members", "%s", name);
    }
    *predictor = members == 0             ? find_plain(name)
                 : has_memory(name)       ? &cm_predictor_memory
                 : cm_stage_is_mean(name) ? &cm_predictor_mean
                                          : &cm_predictor_stack;
    return *predictor ? CM_OK : unknown(name, error);
}

static cm_status check_row(const cm_predictor *predictor, const char *name, bool affinity, bool *similarity,
                           cm_error *error) {
    if (!predictor) return unknown(name, error);
    *similarity = *similarity || predictor->similarity;
    if (predictor->serves & (affinity ? CM_SERVES_AFFINITY : CM_SERVES_BINARY)) return CM_OK;
    return cm_fail(error, CM_USAGE, NULL, "models",
                   affinity ? "a predictor of affinities" : "a predictor for binary tasks", "%s", name);
}

cm_status cm_predictor_check(const char *name, bool affinity, bool *similarity, cm_error *error) {
    const cm_predictor *predictor = NULL;
    char member[CM_MEMBERS_MAX][CM_MEMBER_NAME];
    CM_TRY(cm_predictor_find(&predictor, name, error));
    CM_TRY(check_row(predictor, name, affinity, similarity, error));
    int members = cm_stage_members(name, member);
    for (int m = 0; m < members; m++)
        CM_TRY(check_row(find_plain(member[m]), member[m], affinity, similarity, error));
    return CM_OK;
}
