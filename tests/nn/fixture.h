/* Reading the reference tensors of tests/fixtures, and comparing with them. */
#ifndef CM_TESTS_NN_FIXTURE_H
#define CM_TESTS_NN_FIXTURE_H

#include "io/safetensors.h"
#include "nn/param.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline cm_safetensors *fixture_open(const char *name) {
    char path[4096], line[1024];
    const char *root = getenv("CROSSMAMBA_SOURCE");
    snprintf(path, sizeof path, "%s/tests/fixtures/%s", root ? root : ".", name);
    cm_safetensors *file;
    cm_error error;
    if (cm_safetensors_open(&file, path, &error) != CM_OK)
        fail_msg("%s", cm_error_line(&error, line, sizeof line));
    return file;
}

static inline const cm_tensor *fixture_tensor(const cm_safetensors *file, const char *name, cm_dtype dtype) {
    const cm_tensor *tensor = cm_safetensors_find(file, name);
    if (!tensor || tensor->dtype != dtype) fail_msg("%s: missing or of another type", name);
    return tensor;
}

/* A copy of a 1-D or 2-D F32 tensor (free with free()). */
static inline cm_mat fixture_matrix(const cm_safetensors *file, const char *name) {
    const cm_tensor *tensor = fixture_tensor(file, name, CM_DTYPE_F32);
    int64_t rows = tensor->n_dims == 1 ? 1 : tensor->dims[0];
    cm_mat m = cm_mat_of(malloc(tensor->bytes), rows, (int64_t)(tensor->bytes / sizeof(float)) / rows);
    memcpy(m.data, tensor->data, tensor->bytes);
    return m;
}

/* A copy of an I64 tensor. */
static inline int64_t *fixture_offsets(const cm_safetensors *file, const char *name) {
    const cm_tensor *tensor = fixture_tensor(file, name, CM_DTYPE_I64);
    int64_t *offsets = malloc(tensor->bytes);
    memcpy(offsets, tensor->data, tensor->bytes);
    return offsets;
}

/* Every parameter from the tensor PREFIX name, whose shape must be the same. */
static inline void fixture_load_params(const cm_safetensors *file, const char *prefix, cm_params *params) {
    for (int i = 0; i < cm_params_count(params); i++) {
        const cm_param *p = cm_params_get(params, i);
        const cm_tensor *t = fixture_tensor(file, cm_format("%s%s", prefix, p->name).text, CM_DTYPE_F32);
        assert_int_equal(t->n_dims, p->n_dims);
        for (int d = 0; d < p->n_dims; d++) assert_int_equal(t->dims[d], p->dims[d]);
        memcpy(cm_params_value(params, i).data, t->data, t->bytes);
    }
}

/* Largest |m - expected| must be at most bound times the largest |expected|. */
static inline void fixture_compare(const cm_safetensors *file, const char *name, cm_mat m, double bound) {
    cm_mat expected = fixture_matrix(file, name);
    assert_int_equal(m.rows * m.cols, expected.rows * expected.cols);
    double difference = 0, largest = 0;
    for (int64_t i = 0; i < m.rows * m.cols; i++) {
        double value = cm_mat_row(m, i / m.cols)[i % m.cols];
        if (!isfinite(value)) fail_msg("%s: element %lld is not finite", name, (long long)i);
        difference = fmax(difference, fabs(value - (double)expected.data[i]));
        largest = fmax(largest, fabs((double)expected.data[i]));
    }
    free(expected.data);
    if (difference > bound * largest)
        fail_msg("%s: relative difference %.3g, bound %.3g", name, difference / largest, bound);
}

#endif
