/* Speed of the ops of the pretrained encoders, forward, on one and two threads: GFLOP/s where products
 * count (attention, linear attention), nanoseconds an element of the output elsewhere.
 * Usage: bench_ops [op...] */
#include "base/alloc.h"
#include "base/rng.h"
#include "base/team.h"
#include "ops/op.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_SEGMENTS = 64 };

/* One row of the table: `segments` of lengths from shortest to longest in even steps. Inputs beyond the
 * first: same as x; one row; [width, features]; one element. */
typedef enum side { NONE, SAME, ROW, FEATURES, ONE, FREQUENCIES } side;
typedef struct workload {
    const char *op;
    int segments;
    int64_t shortest, longest;
    int heads;
    int64_t width; /* of a head, or of all columns where heads is 1 */
    side sides[3];
} workload;

static const workload table[] = {
    {"attention", 8, 50, 300, 20, 16, {SAME, SAME}},
    {"attention", 8, 50, 300, 20, 24, {SAME, SAME}},
    {"attention", 8, 50, 300, 20, 32, {SAME, SAME}},
    {"attention", 8, 50, 300, 20, 64, {SAME, SAME}},
    {"attention", 2, 900, 1022, 20, 16, {SAME, SAME}},
    {"attention", 2, 900, 1022, 20, 24, {SAME, SAME}},
    {"attention", 2, 900, 1022, 20, 32, {SAME, SAME}},
    {"attention", 2, 900, 1022, 20, 64, {SAME, SAME}},
    {"attention", 1, 10000, 10000, 1, 64, {SAME, SAME}},
    {"linear_attention", 32, 20, 80, 12, 64, {SAME, SAME, FEATURES}},
    {"rotary", 8, 50, 300, 20, 32, {FREQUENCIES}},
    {"rotary", 2, 900, 1022, 20, 64, {FREQUENCIES}},
    {"swiglu", 2, 900, 1022, 1, 1280, {SAME, ONE}},
    {"gelu", 2, 900, 1022, 1, 1280, {NONE}},
    {"silu", 2, 900, 1022, 1, 1280, {NONE}},
    {"layer_norm", 2, 50, 100, 1, 320, {ROW, ROW}},
    {"layer_norm", 2, 900, 1022, 1, 1280, {ROW, ROW}},
};
enum { LINEAR_FEATURES = 32 };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static float *memory_of(int64_t count) {
    float *memory = cm_new_aligned((size_t)count + 1, sizeof *memory);
    if (memory) return memory;
    fprintf(stderr, "bench_ops: out of memory\n");
    exit(1);
}

static cm_mat random_matrix(int64_t rows, int64_t cols, uint64_t key) {
    float *memory = memory_of(rows * cols);
    for (int64_t i = 0; i < rows * cols; i++) memory[i] = (float)cm_rng_normal(key, (uint64_t)i);
    return cm_mat_of(memory, rows, cols);
}

static cm_mat side_matrix(const workload *load, int64_t rows, int i) {
    int64_t cols = load->heads * load->width;
    uint64_t key = (uint64_t)i + 1;
    switch (load->sides[i]) {
    case SAME:
        return random_matrix(rows, cols, key);
    case ROW:
        return random_matrix(1, cols, key);
    case FEATURES:
        return random_matrix(load->width, LINEAR_FEATURES, key);
    case ONE:
        return random_matrix(1, 1, key);
    case FREQUENCIES: {
        cm_mat m = random_matrix(1, load->width / 2, key);
        for (int64_t c = 0; c < m.cols; c++)
            m.data[c] = (float)pow(10000.0, -2.0 * (double)c / (double)load->width);
        return m;
    }
    case NONE:
        break;
    }
    return (cm_mat){0};
}

/* Operations of one call, 0 where elements are counted. */
static double operations(const workload *load, const int64_t *bounds) {
    double sum = 0;
    for (int s = 0; s < load->segments; s++) {
        double rows = (double)(bounds[s + 1] - bounds[s]), cols = (double)(load->heads * load->width);
        if (strcmp(load->op, "attention") == 0) sum += 4 * rows * rows * cols;
        if (strcmp(load->op, "linear_attention") == 0) sum += 8 * rows * cols * LINEAR_FEATURES;
    }
    return sum;
}

/* Best time of one call over about half a second. */
static double best_time(const cm_op_version *version, const cm_op_call *call) {
    double best = 1e9, until = seconds() + 0.5;
    do {
        double start = seconds();
        version->forward(call);
        double time = seconds() - start;
        best = time < best ? time : best;
    } while (seconds() < until);
    return best;
}

static void report(const workload *load, const cm_op_version *version, int threads, double time, double flops,
                   int64_t elements) {
    printf("%s\t%s\t%d x %lld..%lld\t%d x %lld\t%d\t%.3f\t", load->op, version->name, load->segments,
           (long long)load->shortest, (long long)load->longest, load->heads, (long long)load->width, threads,
           time * 1e3);
    if (flops > 0)
        printf("%.1f GFLOP/s\n", flops / time * 1e-9);
    else
        printf("%.3f ns\n", time / (double)elements * 1e9);
    fflush(stdout);
}

static void measure(const workload *load, const cm_op *op, cm_team *two) {
    int64_t bounds[MAX_SEGMENTS + 1] = {0};
    for (int s = 0; s < load->segments; s++)
        bounds[s + 1] =
            bounds[s] + load->shortest + (load->longest - load->shortest) * (s + 1) / load->segments;
    int64_t rows = bounds[load->segments];
    cm_op_attr attr = {.eps = 1e-5f, .heads = load->heads};
    cm_op_call call = {.attr = &attr, .n_in = 1, .segments = {cm_segments_of(bounds, load->segments)}};
    call.in[0] = random_matrix(rows, load->heads * load->width, 0);
    for (int i = 0; i < 3 && load->sides[i] != NONE; i++) call.in[call.n_in++] = side_matrix(load, rows, i);
    cm_op_shape shape;
    cm_error error = {0};
    if (op->shape(&call, &shape, &error) != CM_OK) {
        char line[400];
        fprintf(stderr, "bench_ops: %s\n", cm_error_line(&error, line, sizeof line));
        exit(1);
    }
    call.out = cm_mat_of(memory_of(shape.rows * shape.cols), shape.rows, shape.cols);
    call.saved = memory_of((int64_t)shape.saved_floats);
    call.scratch = memory_of((int64_t)shape.scratch_floats);
    for (int v = 0; v < 4 && op->versions[v].name; v++) {
        if (op->versions[v].supported && !op->versions[v].supported()) continue;
        for (int threads = 1; threads <= 2; threads++) {
            call.team = threads == 1 ? NULL : two;
            report(load, &op->versions[v], threads, best_time(&op->versions[v], &call),
                   operations(load, bounds), shape.rows * shape.cols);
        }
    }
    for (int i = 0; i < call.n_in; i++) cm_free(call.in[i].data);
    cm_free(call.out.data);
    cm_free(call.saved);
    cm_free(call.scratch);
}

int main(int argc, char **argv) {
    cm_team *two = cm_team_create(2);
    if (!two) {
        fprintf(stderr, "bench_ops: no team\n");
        return 1;
    }
    printf("op\tversion\tsegments\theads x width\tthreads\tms\tspeed\n");
    for (size_t t = 0; t < sizeof table / sizeof table[0]; t++) {
        bool chosen = argc < 2;
        for (int a = 1; a < argc; a++) chosen |= strcmp(argv[a], table[t].op) == 0;
        for (int i = 0; chosen && i < cm_ops_count; i++)
            if (strcmp(cm_ops[i]->name, table[t].op) == 0) measure(&table[t], cm_ops[i], two);
    }
    cm_team_destroy(two);
    return 0;
}
