/* Kernel feature vectors of a data set, made once. */
#include "model/kernel_inputs.h"
#include "base/alloc.h"
#include <pthread.h>

struct cm_kernel_inputs {
    pthread_mutex_t mutex;
    cm_kernel_features *features[2]; /* NULL: not made yet */
};

cm_kernel_inputs *cm_kernel_inputs_create(void) {
    cm_kernel_inputs *inputs = cm_new(1, sizeof *inputs);
    if (inputs && pthread_mutex_init(&inputs->mutex, NULL) != 0) {
        cm_free(inputs);
        return NULL;
    }
    return inputs;
}

void cm_kernel_inputs_destroy(cm_kernel_inputs *inputs) {
    if (!inputs) return;
    cm_kernel_features_destroy(inputs->features[0]);
    cm_kernel_features_destroy(inputs->features[1]);
    pthread_mutex_destroy(&inputs->mutex);
    cm_free(inputs);
}

static cm_status make_side(cm_kernel_inputs *inputs, const cm_dataset *d, int side, cm_error *error) {
    size_t m = (size_t)d->n_entities[side];
    const char **text = cm_new(m, sizeof *text);
    int64_t *length = cm_new(m, sizeof *length);
    cm_status status = text && length ? CM_OK : cm_fail_memory(error, m * 16);
    for (size_t i = 0; i < m && status == CM_OK; i++) {
        text[i] = d->entities[side][i].text;
        length[i] = d->entities[side][i].length;
    }
    if (status == CM_OK)
        status = cm_kernel_features_create(&inputs->features[side], side ? d->task->b : d->task->a,
                                           CM_EVERY_MIX, text, length, (int64_t)m, error);
    cm_free(text);
    cm_free(length);
    return status;
}

cm_status cm_kernel_inputs_get(cm_kernel_inputs *inputs, const cm_dataset *dataset,
                               const cm_kernel_features *features[2], cm_error *error) {
    cm_status status = CM_OK;
    pthread_mutex_lock(&inputs->mutex);
    for (int side = 0; side < 2 && status == CM_OK; side++) {
        if (!inputs->features[side]) status = make_side(inputs, dataset, side, error);
        features[side] = inputs->features[side];
    }
    pthread_mutex_unlock(&inputs->mutex);
    return status;
}
