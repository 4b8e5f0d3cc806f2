/* Weights and rows in int8: rounding, packing, and the plain kernel. */
#include "ops/gemm_kernel.h"
#include "ops/packed_kernel.h"
#include "ops/vmath.h"

/* The largest magnitude as bits, which order like the values; what is not finite lies above all. */
CM_CLONES static uint32_t largest(const float *x, int64_t n) {
    uint32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = cm_bits_of_float(x[i]) & 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    return most;
}

/* Answers the scale and sets the factor that takes values to integers; 0 where there is nothing to round. */
static float scale_of(const float *x, int64_t n, float *factor) {
    float most = cm_float_of_bits(largest(x, n));
    bool usable = most >= 1e-30f && most < INFINITY;
    *factor = usable ? 127.0f / most : 0.0f;
    return usable ? most / 127.0f : most < 1e-30f ? 0.0f : NAN;
}

/* The nearest integer, ties to even, for |value| below 2^22: the sum leaves it in the low bits. */
static inline __attribute__((always_inline)) int32_t nearest(float value) {
    const float to_integer = 0x1.8p23f;
    return (int32_t)(cm_bits_of_float(value + to_integer) - cm_bits_of_float(to_integer));
}

/* Values of a row that is not finite must not reach nearest. */
static inline __attribute__((always_inline)) int32_t quantised(float value, float factor) {
    return factor > 0 ? nearest(value * factor) : 0;
}

void cm_packed_int8_pack(int group, int64_t in, int64_t cols, const float *weight, int64_t ld, int8_t *vector,
                         float *scale, int32_t *sum) {
    int64_t groups = (in + group - 1) / group;
    memset(vector, 0, (size_t)(groups * group * CM_PACKED_VECTOR));
    for (int64_t j = 0; j < cols; j++) {
        const float *row = weight + j * ld;
        float factor;
        scale[j] = scale_of(row, in, &factor);
        sum[j] = 0;
        for (int64_t k = 0; k < in; k++) {
            int32_t q = quantised(row[k], factor);
            vector[(k / group * CM_PACKED_VECTOR + j) * group + k % group] = (int8_t)q;
            sum[j] += q;
        }
    }
}

CM_CLONES static void fill_pairs(const float *restrict x, float factor, int64_t n, int16_t *restrict row) {
    for (int64_t i = 0; i < n; i++) row[i] = (int16_t)quantised(x[i], factor);
}

CM_CLONES static void fill_bytes(const float *restrict x, float factor, int64_t n, uint8_t *restrict row) {
    for (int64_t i = 0; i < n; i++) row[i] = (uint8_t)(quantised(x[i], factor) + 128);
}

float cm_packed_int8_row(cm_packed_input input, const float *x, int64_t in, uint32_t *row) {
    float factor, scale = scale_of(x, in, &factor);
    if (input == CM_PACKED_OFFSET) {
        fill_bytes(x, factor, in, (uint8_t *)row);
        for (int64_t i = in; i % 4; i++) ((uint8_t *)row)[i] = 128;
    } else {
        fill_pairs(x, factor, in, (int16_t *)row);
        if (in % 2) ((int16_t *)row)[in] = 0;
    }
    return scale;
}

static void multiply_plain(const cm_packed_tile *tile) {
    for (int64_t i = 0; i < tile->rows; i++)
        for (int64_t j = 0; j < tile->vectors * CM_PACKED_VECTOR; j++) {
            const int16_t *x = (const int16_t *)(const void *)(tile->x + i * tile->x_row);
            const int8_t *w =
                (const int8_t *)tile->w + j / CM_PACKED_VECTOR * tile->w_vector + j % CM_PACKED_VECTOR * 2;
            int32_t *sum = (int32_t *)tile->sums + i * tile->ld + j;
            int32_t add = tile->from ? ((const int32_t *)tile->from)[i * tile->from_row + j] : 0;
            for (int64_t k = 0; k < tile->depth; k++) add += x[k] * w[k / 2 * 2 * CM_PACKED_VECTOR + k % 2];
            *sum = add;
        }
}

static bool always(void) {
    return true;
}

const cm_packed_kernel cm_packed_int8_kernels[] = {
    {"plain", always, CM_PACKED_INT16, 2, 1024, multiply_plain},
#if defined(__x86_64__)
    {"avx2", cm_gemm_avx2_supported, CM_PACKED_INT16, 2, 512, cm_packed_int8_avx2},
    {"avxvnni", cm_packed_avxvnni_supported, CM_PACKED_OFFSET, 4, 1024, cm_packed_int8_avxvnni},
    {"avx512vnni", cm_packed_avx512vnni_supported, CM_PACKED_OFFSET, 4, 1024, cm_packed_int8_avx512vnni},
#endif
    {NULL, NULL, CM_PACKED_FLOAT, 0, 0, NULL},
};
