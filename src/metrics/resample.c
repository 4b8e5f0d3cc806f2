/* Poisson weights of molecules. */
#include "metrics/resample.h"
#include "base/alloc.h"
#include "base/rng.h"
#include <assert.h>
#include <math.h>

enum { PURPOSE = 0x626f6f74 };

/* A Poisson(1) number by inversion. */
static int32_t poisson(double uniform) {
    double term = exp(-1.0), sum = term;
    int32_t k = 0;
    while (uniform >= sum && k < 20) {
        term /= ++k;
        sum += term;
    }
    return k;
}

static int64_t entities_of(const int32_t *entity, int64_t n) {
    int64_t most = 0;
    for (int64_t i = 0; i < n && entity; i++) {
        assert(entity[i] >= 0);
        if (entity[i] >= most) most = (int64_t)entity[i] + 1;
    }
    return most;
}

cm_status cm_resample_create(cm_resample *r, const int32_t *const entity[2], int64_t n, uint64_t seed,
                             cm_error *error) {
    *r = (cm_resample){.entity = {entity[0], entity[1]}, .n = n, .seed = seed};
    for (int side = 0; side < 2; side++) {
        r->n_entities[side] = entities_of(entity[side], n);
        r->times[side] = cm_new((size_t)r->n_entities[side], sizeof *r->times[side]);
    }
    r->weight = cm_new((size_t)n, sizeof *r->weight);
    if (r->times[0] && r->times[1] && r->weight) return CM_OK;
    return cm_fail_memory(error, (size_t)n * sizeof *r->weight);
}

void cm_resample_clear(cm_resample *r) {
    cm_free(r->times[0]);
    cm_free(r->times[1]);
    cm_free(r->weight);
}

bool cm_resample_draw(cm_resample *r, int draw) {
    for (int side = 0; side < 2; side++) {
        uint64_t key = cm_rng_key(r->seed, (uint64_t)draw, PURPOSE + (uint64_t)side);
        for (int64_t e = 0; e < r->n_entities[side]; e++)
            r->times[side][e] = poisson(cm_rng_uniform(key, (uint64_t)e));
    }
    bool any = false;
    for (int64_t i = 0; i < r->n; i++) {
        r->weight[i] = 1;
        for (int side = 0; side < 2; side++)
            if (r->entity[side]) r->weight[i] *= r->times[side][r->entity[side][i]];
        any |= r->weight[i] > 0;
    }
    return any;
}
