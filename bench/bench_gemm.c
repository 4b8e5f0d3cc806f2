/* GFLOP/s of the matrix product and its share of the fused multiply-add peak, measured anew beside each line
 * because a shared machine changes from one to the next: cm_gemm, packed weights in f32, bf16 and int8, and
 * oneDNN's sgemm where it was found (else 0), on one and two threads. First the shapes of a training step
 * (D = 256, inner width 512, dt rank 16, 16 states), then the layers of pretrained encoders.
 * Usage: bench_gemm [step|layers] [rows...]     (default 64 512 4096 for a step, 1 64 65 1000 for layers) */
#include "base/alloc.h"
#include "base/rng.h"
#include "base/team.h"
#include "ops/gemm.h"
#include "ops/gemm_kernel.h"
#include "ops/packed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef CM_BENCH_ONEDNN
#include <dnnl.h>
#include <omp.h>
#endif

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- peak: independent chains of multiply-adds in registers ---- */

enum { CHAINS = 12, TURNS = 1000000 };

#if defined(__x86_64__)
#define EACH_CHAIN(DO, r) \
    DO(r, 0)              \
    DO(r, 1) DO(r, 2) DO(r, 3) DO(r, 4) DO(r, 5) DO(r, 6) DO(r, 7) DO(r, 8) DO(r, 9) DO(r, 10) DO(r, 11)
#define CLEAR(r, i) "vxorps %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n\t"
#define MULTIPLY_ADD(r, i) "vfmadd231ps %%" r "12, %%" r "12, %%" r #i "\n\t"
#define CHAIN_LOOP(r)                                                                                        \
    __asm__ volatile(EACH_CHAIN(CLEAR, r)                                                                    \
                         CLEAR(r, 12) "1:\n\t" EACH_CHAIN(MULTIPLY_ADD, r) "dec %0\n\tjnz 1b"                \
                     : "+r"(turns)                                                                           \
                     :                                                                                       \
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", \
                       "xmm10", "xmm11", "xmm12")

static void run_chains(bool use_wide) {
    long turns = TURNS;
    if (use_wide)
        CHAIN_LOOP("zmm");
    else
        CHAIN_LOOP("ymm");
}
#else
static void run_chains(bool use_wide) {
    (void)use_wide;
}
#endif

static void chains_of_members(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    for (int64_t i = begin; i < end; i++) run_chains(*(const bool *)context);
}

/* GFLOP/s of all members together, the better of the two vector widths. */
static double measure_peak(cm_team *team) {
    double best = 0;
#if defined(__x86_64__)
    for (int turn = 0; turn < 10; turn++) {
        bool use_wide = turn % 2 && cm_gemm_avx512_supported();
        if (!cm_gemm_avx2_supported()) return 0;
        double start = seconds(), length = use_wide ? 16 : 8;
        cm_team_for(team, cm_team_size(team), 1, chains_of_members, &use_wide);
        double rate = 2.0 * TURNS * CHAINS * length * cm_team_size(team) / (seconds() - start) / 1e9;
        best = rate > best ? rate : best;
    }
#else
    (void)team;
    (void)chains_of_members;
#endif
    return best;
}

/* ---- products ---- */

typedef struct bench_case {
    const char *name;
    bool trans_a, trans_b;
    int64_t m, n, k;
    float *a, *b, *c, *scratch;
    cm_packed *packed;
    cm_team *team;
} bench_case;

static void run_plain(const bench_case *x) {
    cm_gemm(x->team, x->trans_a, x->trans_b, x->m, x->n, x->k, x->a, x->trans_a ? x->m : x->k, x->b,
            x->trans_b ? x->k : x->n, false, x->c, x->n);
}

static void run_packed(const bench_case *x) {
    cm_packed_multiply(x->team, x->packed, x->m, x->a, x->k, NULL, CM_ACT_NONE, NULL, 0, x->c, x->n,
                       x->scratch);
}

/* The best of the runs within 0.25 s, in GFLOP/s. */
static double measure(const bench_case *x, void (*run)(const bench_case *)) {
    double flops = 2.0 * (double)x->m * (double)x->n * (double)x->k, best = 1e30;
    int repeats = 1 + (int)(1e7 / flops);
    run(x);
    for (double begin = seconds(); seconds() - begin < 0.25;) {
        double start = seconds();
        for (int i = 0; i < repeats; i++) run(x);
        double time = (seconds() - start) / repeats;
        best = time < best ? time : best;
    }
    return flops / best / 1e9;
}

#ifdef CM_BENCH_ONEDNN
static void run_onednn(const bench_case *x) {
    dnnl_sgemm(x->trans_a ? 'T' : 'N', x->trans_b ? 'T' : 'N', x->m, x->n, x->k, 1, x->a,
               x->trans_a ? x->m : x->k, x->b, x->trans_b ? x->k : x->n, 0, x->c, x->n);
}

static double measure_onednn(const bench_case *x) {
    omp_set_num_threads(cm_team_size(x->team));
    return measure(x, run_onednn);
}
#else
static double measure_onednn(const bench_case *x) {
    (void)x;
    return 0;
}
#endif

static float *random_floats(int64_t count, uint64_t key) {
    float *memory = cm_new_aligned((size_t)count, sizeof *memory);
    if (!memory) {
        fprintf(stderr, "bench_gemm: out of memory\n");
        exit(1);
    }
    for (int64_t i = 0; i < count; i++) memory[i] = (float)cm_rng_uniform(key, (uint64_t)i) - 0.5f;
    return memory;
}

/* Packed weights; 0 for products that have none. */
static double measure_packed(bench_case x, cm_precision precision) {
    if (x.trans_a || !x.trans_b) return 0;
    cm_error error = {0};
    if (cm_packed_create(&x.packed, precision, x.n, x.k, x.b, x.k, &error) != CM_OK) exit(1);
    x.scratch = random_floats((int64_t)cm_packed_scratch_floats(x.packed, x.m) + 1, 4);
    double rate = measure(&x, run_packed);
    cm_packed_destroy(x.packed);
    cm_free(x.scratch);
    return rate;
}

static void report(bench_case x) {
    x.a = random_floats(x.m * x.k, 1);
    x.b = random_floats(x.n * x.k, 2);
    x.c = random_floats(x.m * x.n, 3);
    double peak = measure_peak(x.team), rate[5] = {measure(&x, run_plain)};
    for (int p = CM_F32; p <= CM_INT8; p++) rate[1 + p] = measure_packed(x, (cm_precision)p);
    rate[4] = measure_onednn(&x);
    double again = measure_peak(x.team);
    peak = again > peak ? again : peak;
    printf("%s\t%d\t%lld\t%lld\t%lld\t%.1f", x.name, cm_team_size(x.team), (long long)x.m, (long long)x.n,
           (long long)x.k, peak);
    for (int i = 0; i < 5; i++) printf("\t%.1f\t%.2f", rate[i], rate[i] / peak);
    printf("\n");
    fflush(stdout);
    cm_free(x.a), cm_free(x.b), cm_free(x.c);
}

static void report_step(cm_team *team, int64_t tokens) {
    static const int64_t layers[][2] = {{256, 1024}, {512, 48}, {16, 512}, {512, 256}, {1103, 256}};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        int64_t in = layers[i][0], out = layers[i][1];
        report((bench_case){.name = "y", .trans_b = true, .m = tokens, .n = out, .k = in, .team = team});
        report((bench_case){.name = "dX", .m = tokens, .n = in, .k = out, .team = team});
        report((bench_case){.name = "dW", .trans_a = true, .m = out, .n = in, .k = tokens, .team = team});
    }
}

static void report_layers(cm_team *team, int64_t rows) {
    static const int64_t layers[][2] = {{320, 320},   {320, 1280},  {1280, 320},  {640, 2560},
                                        {1280, 1280}, {1280, 5120}, {5120, 1280}, {5120, 5120}};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        report((bench_case){
            .name = "layer", .trans_b = true, .m = rows, .n = layers[i][1], .k = layers[i][0], .team = team});
}

static void report_all(int threads, bool step, bool layers, int count, char **rows) {
    static const int64_t of_step[] = {64, 512, 4096}, of_layers[] = {1, 64, 65, 1000};
    cm_team *team = cm_team_create(threads);
    if (!team) exit(1);
    for (int i = 0; step && i < (count ? count : 3); i++)
        report_step(team, count ? strtoll(rows[i], NULL, 10) : of_step[i]);
    for (int i = 0; layers && i < (count ? count : 4); i++)
        report_layers(team, count ? strtoll(rows[i], NULL, 10) : of_layers[i]);
    cm_team_destroy(team);
}

int main(int argc, char **argv) {
    bool step = argc > 1 && strcmp(argv[1], "step") == 0, layers = argc > 1 && strcmp(argv[1], "layers") == 0;
    int named = step || layers;
    printf(
        "product\tthreads\tm\tn\tk\tpeak\tgemm\tof_peak\tf32\tof_peak\tbf16\tof_peak\tint8\tof_peak\toneDNN"
        "\tof_peak\n");
    for (int threads = 1; threads <= 2; threads++)
        report_all(threads, step || !named, layers || !named, argc - 1 - named, argv + 1 + named);
    return 0;
}
