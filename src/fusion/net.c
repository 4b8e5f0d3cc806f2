/* The table of fusion networks, building and running one. */
#include "fusion/net.h"
#include "base/alloc.h"
#include "base/buf.h"
#include <crossmamba/tables.h>
#include <string.h>

static const cm_fusion *const fusions[] = {
#define CM_FUSION_ROW(name) &cm_fusion_##name,
#include "fusion/fusion.def"
#undef CM_FUSION_ROW
};
enum { FUSION_COUNT = sizeof fusions / sizeof *fusions };

int cm_fusion_row(int i, cm_table_row *row) {
    if (i < 0 || i >= FUSION_COUNT) return 0;
    *row = (cm_table_row){fusions[i]->name, fusions[i]->help};
    return 1;
}

static cm_status find_fusion(const char *name, const cm_fusion **fusion, cm_error *error) {
    cm_buf names = CM_BUF_EMPTY;
    for (int i = 0; i < FUSION_COUNT; i++) {
        if (strcmp(fusions[i]->name, name) == 0) {
            *fusion = fusions[i];
            cm_buf_clear(&names);
            return CM_OK;
        }
        cm_buf_printf(&names, "%s%s", i ? ", " : "one of ", fusions[i]->name);
    }
    cm_status status = cm_fail(error, CM_USAGE, NULL, "fusion", names.failed ? NULL : names.data, "%s", name);
    cm_buf_clear(&names);
    return status;
}

/* All but the memory of the parameters. */
static cm_status describe(cm_net **net, const cm_options *options, const int64_t width[CM_SIDES],
                          cm_error *error) {
    *net = NULL;
    if (width[CM_SIDE_A] < 1 || width[CM_SIDE_B] < 1)
        return cm_fail(error, CM_USAGE, NULL, "fusion network", "at least one column a side", "%lld and %lld",
                       (long long)width[CM_SIDE_A], (long long)width[CM_SIDE_B]);
    cm_net *made = cm_new(1, sizeof *made);
    if (!made) return cm_fail_memory(error, sizeof *made);
    made->options = *options;
    memcpy(made->width, width, sizeof made->width);
    made->params = cm_params_create();
    cm_status status =
        made->params ? find_fusion(made->options.fusion, &made->fusion, error) : cm_fail_memory(error, 0);
    if (status == CM_OK) status = made->fusion->build(made, error);
    if (status == CM_OK)
        *net = made;
    else
        cm_net_destroy(made);
    return status;
}

cm_status cm_net_create(cm_net **net, const cm_options *options, int64_t width_a, int64_t width_b,
                        cm_error *error) {
    return cm_net_create_sides(net, options, (const int64_t[CM_SIDES]){width_a, width_b, 0}, error);
}

cm_status cm_net_create_sides(cm_net **net, const cm_options *options, const int64_t width[CM_SIDES],
                              cm_error *error) {
    CM_TRY(describe(net, options, width, error));
    cm_status status = cm_params_seal((*net)->params, error);
    if (status == CM_OK) return CM_OK;
    cm_net_destroy(*net);
    *net = NULL;
    return status;
}

cm_status cm_net_count(const cm_options *options, const int64_t width[CM_SIDES], int64_t *count,
                       cm_error *error) {
    cm_net *net = NULL;
    CM_TRY(describe(&net, options, width, error));
    cm_status status = cm_params_failed(net->params) ? cm_fail_memory(error, 0) : CM_OK;
    if (status == CM_OK) *count = cm_net_size(net);
    cm_net_destroy(net);
    return status;
}

void cm_net_destroy(cm_net *net) {
    if (!net) return;
    cm_params_destroy(net->params);
    cm_free(net->state);
    cm_free(net);
}

int cm_net_sides(const cm_net *net) {
    return net->width[CM_SIDE_PAIR] > 0 ? CM_SIDES : CM_SIDE_PAIR;
}

void cm_net_init(cm_net *net, uint64_t seed) {
    net->fusion->init(net, seed);
}

cm_var *cm_net_forward(const cm_net *net, cm_tape *tape, const cm_net_input *input) {
    return net->fusion->forward(net, tape, input);
}

int64_t cm_net_size(const cm_net *net) {
    int64_t size = 0;
    for (int i = 0; i < cm_params_count(net->params); i++) size += cm_params_get(net->params, i)->count;
    return size;
}
