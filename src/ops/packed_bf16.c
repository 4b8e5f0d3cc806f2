/* Weights in bfloat16: rounding, packing, and the kernel that widens them. */
#include "ops/gemm.h"
#include "ops/packed_kernel.h"
#include "ops/vmath.h"

/* Round to nearest, ties to even; what is not a number stays so. */
static inline __attribute__((always_inline)) uint32_t rounded(float value) {
    uint32_t bits = cm_bits_of_float(value);
    uint32_t near = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    return (bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : near;
}

void cm_packed_bf16_pack(int64_t in, int64_t cols, const float *weight, int64_t ld, uint32_t *vector) {
    for (int64_t k = 0; k < in; k += 2, vector += CM_PACKED_VECTOR)
        for (int64_t j = 0; j < CM_PACKED_VECTOR; j++) {
            const float *pair = weight + j * ld + k;
            vector[j] = j >= cols     ? 0
                        : k + 1 == in ? rounded(pair[0])
                                      : rounded(pair[0]) | rounded(pair[1]) << 16;
        }
}

CM_CLONES static void round_pairs(const float *restrict x, int64_t pairs, uint32_t *restrict row) {
    for (int64_t i = 0; i < pairs; i++) row[i] = rounded(x[2 * i]) | rounded(x[2 * i + 1]) << 16;
}

void cm_packed_bf16_row(const float *x, int64_t in, uint32_t *row) {
    round_pairs(x, in / 2, row);
    if (in % 2) row[in / 2] = rounded(x[in - 1]);
}

CM_CLONES static void widen(const uint32_t *restrict pairs, int64_t count, float *restrict wide) {
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < CM_PACKED_VECTOR; j++) {
            uint32_t pair = pairs[i * CM_PACKED_VECTOR + j];
            wide[2 * i * CM_PACKED_VECTOR + j] = cm_float_of_bits(pair << 16);
            wide[(2 * i + 1) * CM_PACKED_VECTOR + j] = cm_float_of_bits(pair & 0xffff0000u);
        }
}

/* The tile in f32. */
static void multiply_widened(const cm_packed_tile *tile) {
    _Alignas(64) float wide[CM_PACKED_VECTORS][CM_GEMM_K_BLOCK * CM_PACKED_VECTOR];
    for (int v = 0; v < tile->vectors; v++)
        widen((const uint32_t *)(const void *)(tile->w + v * tile->w_vector), (tile->depth + 1) / 2, wide[v]);
    cm_packed_tile inner = *tile;
    inner.w = (const char *)wide;
    inner.next = NULL;
    inner.w_vector = sizeof wide[0];
    cm_packed_f32_multiply(&inner);
}

static bool always(void) {
    return true;
}

const cm_packed_kernel cm_packed_bf16_kernels[] = {
    {"widened", always, CM_PACKED_FLOAT, 2, CM_GEMM_K_BLOCK, multiply_widened},
#if defined(__x86_64__)
    {"avx512bf16", cm_packed_avx512bf16_supported, CM_PACKED_BF16, 2, 512, cm_packed_bf16_avx512},
#endif
    {NULL, NULL, CM_PACKED_FLOAT, 0, 0, NULL},
};
