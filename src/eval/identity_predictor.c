/* "id-only": what the identity of the molecules alone predicts, by sequence: identifiers reach no predictor.
 */
#include "base/alloc.h"
#include "eval/predictor.h"
#include "metrics/baseline.h"

/* Arrays of the whole data set, as the baseline wants them. */
typedef struct columns {
    int32_t *a, *b;
    double *label, *value;
    bool *train;
} columns;

static void columns_clear(columns *c) {
    cm_free(c->a);
    cm_free(c->b);
    cm_free(c->label);
    cm_free(c->value);
    cm_free(c->train);
}

static cm_status columns_make(columns *c, const cm_predictor_call *call, cm_error *error) {
    const cm_dataset *d = call->dataset;
    size_t n = (size_t)d->n_pairs;
    *c = (columns){cm_new(n, sizeof *c->a), cm_new(n, sizeof *c->b), cm_new(n, sizeof *c->label),
                   cm_new(n, sizeof *c->value), cm_new(n, sizeof *c->train)};
    if (!c->a || !c->b || !c->label || !c->value || !c->train) return cm_fail_memory(error, n * 24);
    for (size_t i = 0; i < n; i++) {
        c->a[i] = d->pairs[i].entity[0];
        c->b[i] = d->pairs[i].entity[1];
        c->label[i] = (double)call->label[i];
    }
    for (int64_t i = 0; i < call->n_train; i++) c->train[call->train[i]] = true;
    return CM_OK;
}

static cm_status run(const cm_predictor_call *call, cm_error *error) {
    const cm_dataset *d = call->dataset;
    columns c;
    cm_status status = columns_make(&c, call, error);
    if (status == CM_OK)
        status = cm_baseline_identity(d->task->affinity, c.a, c.b, c.label, c.train, d->n_pairs,
                                      d->n_entities[0], d->n_entities[1], c.value, error);
    for (int64_t i = 0; status == CM_OK && i < call->n_test; i++)
        call->score[i] = call->value[i] = c.value[call->test[i]];
    columns_clear(&c);
    return status;
}

const cm_predictor cm_predictor_identity = {
    .name = "id-only",
    .help = "baseline without sequence: labels of the same two molecules in other pairs (affinity: additive "
            "means)",
    .serves = CM_SERVES_ALL,
    .baseline = true,
    .run = run,
};
