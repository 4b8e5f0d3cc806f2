/* The table of learners. */
#include "train/learner.h"
#include "base/buf.h"
#include <string.h>

static const cm_learner *const learners[] = {
#define CM_LEARNER_ROW(name) &cm_learner_##name,
#include "train/learners.def"
};
enum { LEARNER_COUNT = sizeof learners / sizeof *learners };

static int own_row(const cm_learner *learner, int i, cm_table_row *row) {
    if (learner->prefix) return 0;
    if (learner->row) return learner->row(i, row);
    *row = (cm_table_row){learner->name, learner->help};
    return i == 0;
}

int cm_learner_row(int i, cm_table_row *row) {
    for (int l = 0; i >= 0 && l < LEARNER_COUNT; l++) {
        int own = 0;
        while (own_row(learners[l], own, row))
            if (own++ == i) return 1;
        i -= own;
    }
    return 0;
}

int cm_learner_join_row(int i, cm_table_row *row) {
    for (int l = 0; i >= 0 && l < LEARNER_COUNT; l++) {
        if (!learners[l]->prefix || i-- > 0) continue;
        *row = (cm_table_row){learners[l]->name, learners[l]->help};
        return 1;
    }
    return 0;
}

static cm_status unknown(const char *name, cm_error *error) {
    cm_buf names = CM_BUF_EMPTY;
    cm_table_row row;
    cm_buf_text(&names, cm_learner_network.name);
    for (int i = 0; cm_learner_row(i, &row); i++) cm_buf_printf(&names, ", %s", row.name);
    for (int i = 0; cm_learner_join_row(i, &row); i++) cm_buf_printf(&names, ", %s", row.name);
    cm_status status =
        cm_fail(error, CM_USAGE, NULL, "predictor", names.failed ? "a predictor" : names.data, "%s", name);
    cm_buf_clear(&names);
    return status;
}

static const cm_learner *find_plain(const char *name) {
    cm_table_row row;
    if (strcmp(name, cm_learner_network.name) == 0) return &cm_learner_network;
    for (int l = 0; l < LEARNER_COUNT; l++)
        for (int i = 0; own_row(learners[l], i, &row); i++)
            if (strcmp(row.name, name) == 0) return learners[l];
    return NULL;
}

int cm_member_names(const char *prefix, const char *name, const char *end,
                    char member[CM_MEMBERS_MAX][CM_MEMBER_NAME]) {
    if (strncmp(name, prefix, strlen(prefix)) != 0) return 0;
    const char *at = name + strlen(prefix);
    if (!end) end = name + strlen(name);
    int count = 0;
    while (at <= end && count < CM_MEMBERS_MAX) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        size_t length = (size_t)((slash ? slash : end) - at);
        if (length >= CM_MEMBER_NAME) length = CM_MEMBER_NAME - 1;
        memcpy(member[count], at, length);
        member[count++][length] = '\0';
        at = slash ? slash + 1 : end + 1;
    }
    return at > end ? count : CM_MEMBERS_MAX + 1;
}

static cm_status check_members(const char *name, char member[CM_MEMBERS_MAX][CM_MEMBER_NAME], int members,
                               cm_error *error) {
    if (members > CM_MEMBERS_MAX)
        return cm_fail(error, CM_USAGE, NULL, "predictor",
                       cm_format("at most %d members", CM_MEMBERS_MAX).text, "%s", name);
    for (int m = 0; m < members; m++) {
        if (!find_plain(member[m])) return unknown(member[m], error);
        for (int i = 0; i < m; i++)
            if (strcmp(member[i], member[m]) == 0)
                return cm_fail(error, CM_USAGE, NULL, "predictor", "different members", "%s", name);
    }
    return CM_OK;
}

cm_status cm_learner_find(const cm_learner **learner, const char *name, cm_error *error) {
    char member[CM_MEMBERS_MAX][CM_MEMBER_NAME];
    *learner = find_plain(name);
    for (int l = 0; l < LEARNER_COUNT; l++) {
        int members = learners[l]->prefix ? cm_member_names(learners[l]->prefix, name, NULL, member) : 0;
        CM_TRY(check_members(name, member, members, error));
        if (members > 0) *learner = learners[l];
    }
    return *learner ? CM_OK : unknown(name, error);
}
