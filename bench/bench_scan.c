/* Time of the selective scan per token, channel and state, forward and backward, on one and two threads,
 * against two limits set by its exponentials, both over values in the first-level cache: "textbook exp" is
 * e^x as it is usually written (below), "own exp" the scan's own 2^x, which is shorter. Usage: bench_scan
 * [states [version]] */
#include "base/alloc.h"
#include "base/rng.h"
#include "base/team.h"
#include "ops/selective_scan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CHANNELS = 512, MAX_SEGMENTS = 32 };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void out_of_memory(void) {
    fprintf(stderr, "bench_scan: out of memory\n");
    exit(1);
}

static float *random_floats(int64_t count, double spread, uint64_t key) {
    float *memory = cm_new_aligned((size_t)count, sizeof *memory);
    if (!memory) out_of_memory();
    for (int64_t i = 0; i < count; i++) memory[i] = (float)(spread * cm_rng_normal(key, (uint64_t)i));
    return memory;
}

/* A call as the Mamba block makes it: z is the right half of a projection [T, 2 d], B and C are columns
 * of another [T, 16 + 2 n]. */
typedef struct workload {
    cm_op_attr attr;
    cm_op_call call;
    int64_t bounds[MAX_SEGMENTS + 1];
    float *memory[20];
    int count;
} workload;

static cm_mat new_matrix(workload *load, int64_t rows, int64_t cols, double spread) {
    float *memory = random_floats(rows * cols, spread, (uint64_t)load->count);
    load->memory[load->count++] = memory;
    return cm_mat_of(memory, rows, cols);
}

static void set_inputs(workload *load, cm_mat in[CM_OP_MAX_IN], int64_t rows, int64_t n) {
    cm_mat gates = new_matrix(load, rows, 2 * CHANNELS, 1), narrow = new_matrix(load, rows, 16 + 2 * n, 1);
    in[CM_SCAN_U] = new_matrix(load, rows, CHANNELS, 1);
    in[CM_SCAN_DT] = new_matrix(load, rows, CHANNELS, 1);
    in[CM_SCAN_A] = new_matrix(load, CHANNELS, n, 1);
    in[CM_SCAN_B] = cm_mat_columns(narrow, 16, n);
    in[CM_SCAN_C] = cm_mat_columns(narrow, 16 + n, n);
    in[CM_SCAN_D] = new_matrix(load, 1, CHANNELS, 1);
    in[CM_SCAN_BIAS] = new_matrix(load, 1, CHANNELS, 1);
    in[CM_SCAN_Z] = cm_mat_columns(gates, CHANNELS, CHANNELS);
}

static void workload_create(workload *load, int segments, int64_t length, int64_t n) {
    int64_t rows = segments * length;
    memset(load, 0, sizeof *load);
    for (int s = 0; s <= segments; s++) load->bounds[s] = s * length;
    load->call.attr = &load->attr;
    load->call.segments[0] = cm_segments_of(load->bounds, segments);
    load->call.n_in = CM_OP_MAX_IN;
    set_inputs(load, load->call.in, rows, n);
    set_inputs(load, load->call.grad_in, rows, n);
    load->call.out = new_matrix(load, rows, CHANNELS, 1);
    load->call.grad_out = new_matrix(load, rows, CHANNELS, 1);
    cm_op_shape shape;
    if (cm_op_selective_scan.shape(&load->call, &shape, NULL) != CM_OK) exit(1);
    load->call.saved = new_matrix(load, 1, (int64_t)shape.saved_floats + 1, 1).data;
    load->call.scratch = new_matrix(load, 1, (int64_t)shape.scratch_floats, 1).data;
}

static void workload_clear(workload *load) {
    for (int i = 0; i < load->count; i++) cm_free(load->memory[i]);
}

/* Best time of one call of run over about half a second. */
static double best_time(void (*run)(const cm_op_call *call), const cm_op_call *call) {
    double best = 1e9, until = seconds() + 0.5;
    do {
        double start = seconds();
        run(call);
        double time = seconds() - start;
        best = time < best ? time : best;
    } while (seconds() < until);
    return best;
}

/* ---- e^x as usually written (Cephes): x clamped, k = x / ln 2 to the nearest integer, ln 2 in two parts
 * taken off k times, 1 + r + r^2 times a polynomial of degree 5, k added to the exponent; relative error
 * 7e-8. Four vectors at once: one at a time it is a tenth slower. count: a multiple of 64. ---- */

#if defined(__x86_64__)
#define DEFINE_TEXTBOOK_EXP(name, isa, lanes, vector, P, nearest, as_int, as_float)                        \
    __attribute__((target(isa))) static void name(const float *x, float *out, int64_t count) {             \
        static const float c[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,                    \
                                  4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};                   \
        _Pragma("GCC unroll 4") for (int64_t i = 0; i < count; i += (lanes)) {                             \
            vector v = P##_min_ps(P##_loadu_ps(x + i), P##_set1_ps(88.37f));                               \
            v = P##_max_ps(v, P##_set1_ps(-87.33f));                                                       \
            vector k = nearest(P##_mul_ps(v, P##_set1_ps(1.44269504f)), 8);                                \
            vector r = P##_fnmadd_ps(k, P##_set1_ps(0.693359375f), v), p = P##_set1_ps(c[0]);              \
            r = P##_fnmadd_ps(k, P##_set1_ps(-2.12194440e-4f), r);                                         \
            _Pragma("GCC unroll 5") for (int j = 1; j < 6; j++) p = P##_fmadd_ps(p, r, P##_set1_ps(c[j])); \
            p = P##_add_ps(P##_fmadd_ps(p, P##_mul_ps(r, r), r), P##_set1_ps(1.0f));                       \
            P##_storeu_ps(out + i,                                                                         \
                          as_float(P##_add_epi32(as_int(p), P##_slli_epi32(P##_cvtps_epi32(k), 23))));     \
        }                                                                                                  \
    }
DEFINE_TEXTBOOK_EXP(textbook_exp_avx2, "avx2,fma", 8, __m256, _mm256, _mm256_round_ps, _mm256_castps_si256,
                    _mm256_castsi256_ps)
DEFINE_TEXTBOOK_EXP(textbook_exp_avx512, "avx512f", 16, __m512, _mm512, _mm512_roundscale_ps,
                    _mm512_castps_si512, _mm512_castsi512_ps)
#endif

typedef void (*exp_loop)(const float *x, float *out, int64_t count);

/* Nanoseconds for one exponential on one thread. */
static double exp_limit(exp_loop exp_all) {
    enum { COUNT = 1024, ROUNDS = 1000 };
    static float x[COUNT], out[COUNT];
    double best = 1e9;
    for (int i = 0; i < COUNT; i++) x[i] = -0.01f * (float)i;
    for (int repeat = 0; repeat < 50; repeat++) {
        double start = seconds();
        for (int round = 0; round < ROUNDS; round++) exp_all(x, out, COUNT);
        double time = seconds() - start;
        best = time < best ? time : best;
    }
    return best / ((double)COUNT * ROUNDS) * 1e9;
}

/* ns of one exponential of a version: as usually written, and its own; 0 where the scan has none of its own.
 */
typedef struct limits {
    double textbook, own;
} limits;

static limits limits_of(const cm_op_version *version) {
#if defined(__x86_64__)
    if (strcmp(version->name, "avx512") == 0)
        return (limits){exp_limit(textbook_exp_avx512), exp_limit(cm_scan_avx512_exp2)};
    if (strcmp(version->name, "avx2") == 0)
        return (limits){exp_limit(textbook_exp_avx2), exp_limit(cm_scan_avx2_exp2)};
#endif
    (void)version;
    return (limits){0, 0};
}

static void print_ratio(double forward, double limit) {
    if (limit > 0)
        printf("\t%.3f\t%.2f", limit, forward / limit);
    else
        printf("\t-\t-");
}

static void measure(const cm_op_version *version, int segments, int64_t length, int64_t n, cm_team *two,
                    limits limit) {
    workload load;
    workload_create(&load, segments, length, n);
    double items = 1e-9 * (double)(segments * length) * CHANNELS * (double)n;
    for (int threads = 1; threads <= 2; threads++) {
        load.call.team = threads == 1 ? NULL : two;
        double forward = best_time(version->forward, &load.call) / items;
        double backward = best_time(version->backward, &load.call) / items;
        printf("%s\t%d x %lld\t%d\t%.3f\t%.3f\t%.3f", version->name, segments, (long long)length, threads,
               forward, backward, forward + backward);
        print_ratio(forward, limit.textbook / threads);
        print_ratio(forward, limit.own / threads);
        printf("\n");
    }
    workload_clear(&load);
}

int main(int argc, char **argv) {
    static const int shapes[][2] = {{32, 2}, {8, 512}, {1, 2048}, {1, 8192}};
    int64_t n = argc > 1 ? atoi(argv[1]) : 16;
    cm_team *two = cm_team_create(2);
    if (!two) out_of_memory();
    printf("version\tsegments\tthreads\tforward\tbackward\tboth\ttextbook exp\tforward / it\town "
           "exp\tforward / it\n");
    for (int v = 0; v < 4 && cm_op_selective_scan.versions[v].name; v++) {
        const cm_op_version *version = &cm_op_selective_scan.versions[v];
        if (version->supported && !version->supported()) continue;
        if (argc > 2 && strcmp(version->name, argv[2]) != 0) continue;
        limits limit = limits_of(version);
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
            measure(version, shapes[s][0], shapes[s][1], n, two, limit);
    }
    cm_team_destroy(two);
    return 0;
}
