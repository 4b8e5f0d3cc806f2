/* GFLOP/s of the matrix product at the shapes of a training step (D = 256, inner width 512, dt rank 16,
 * 16 states) and its share of the fused multiply-add peak measured in the same run, with and without
 * packed weights, beside oneDNN's sgemm where it was found (else 0), on one and two threads.
 * Usage: bench_gemm [tokens...]     (default 64 512 4096) */
#include "base/alloc.h"
#include "base/rng.h"
#include "base/team.h"
#include "ops/gemm.h"
#include "ops/gemm_kernel.h"
#include <stdio.h>
#include <stdlib.h>
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

enum { CHAINS = 12, TURNS = 4000000 };

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
    float *a, *b, *c, *packed;
    cm_team *team;
} bench_case;

static void run_plain(const bench_case *x) {
    cm_gemm(x->team, x->trans_a, x->trans_b, x->m, x->n, x->k, x->a, x->trans_a ? x->m : x->k, x->b,
            x->trans_b ? x->k : x->n, false, x->c, x->n);
}

static void run_packed(const bench_case *x) {
    cm_gemm_packed(x->team, x->trans_a, x->m, x->n, x->k, x->a, x->trans_a ? x->m : x->k, x->packed, false,
                   x->c, x->n);
}

/* The best of the runs within 0.1 s, in GFLOP/s. */
static double measure(const bench_case *x, void (*run)(const bench_case *)) {
    double flops = 2.0 * (double)x->m * (double)x->n * (double)x->k, best = 1e30;
    int repeats = 1 + (int)(1e7 / flops);
    run(x);
    for (double begin = seconds(); seconds() - begin < 0.1;) {
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

static void report(bench_case x, double peak) {
    x.a = random_floats(x.m * x.k, 1);
    x.b = random_floats(x.n * x.k, 2);
    x.c = random_floats(x.m * x.n, 3);
    x.packed = random_floats((int64_t)cm_gemm_packed_floats(x.n, x.k), 4);
    cm_gemm_pack(x.trans_b, x.n, x.k, x.b, x.trans_b ? x.k : x.n, x.packed);
    double plain = measure(&x, run_plain), packed = measure(&x, run_packed);
    double onednn = measure_onednn(&x);
    printf("%s\t%d\t%lld\t%lld\t%lld\t%.1f\t%.2f\t%.1f\t%.2f\t%.1f\n", x.name, cm_team_size(x.team),
           (long long)x.m, (long long)x.n, (long long)x.k, plain, plain / peak, packed, packed / peak,
           onednn);
    fflush(stdout);
    cm_free(x.a), cm_free(x.b), cm_free(x.c), cm_free(x.packed);
}

static void report_layers(cm_team *team, double peak, int64_t tokens) {
    static const int64_t layers[][2] = {{256, 1024}, {512, 48}, {16, 512}, {512, 256}, {1103, 256}};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        int64_t in = layers[i][0], out = layers[i][1];
        report((bench_case){.name = "y", .trans_b = true, .m = tokens, .n = out, .k = in, .team = team},
               peak);
        report((bench_case){.name = "dX", .m = tokens, .n = in, .k = out, .team = team}, peak);
        report((bench_case){.name = "dW", .trans_a = true, .m = out, .n = in, .k = tokens, .team = team},
               peak);
    }
}

int main(int argc, char **argv) {
    static const int64_t usual[] = {64, 512, 4096};
    printf("product\tthreads\tm\tn\tk\tGFLOP/s\tof_peak\tpacked\tof_peak\toneDNN\n");
    for (int threads = 1; threads <= 2; threads++) {
        cm_team *team = cm_team_create(threads);
        if (!team) return 1;
        double peak = measure_peak(team);
        fprintf(stderr, "peak with %d thread(s): %.1f GFLOP/s\n", threads, peak);
        for (int i = 1; i < argc; i++) report_layers(team, peak, strtoll(argv[i], NULL, 10));
        for (int i = 0; i < 3 && argc < 2; i++) report_layers(team, peak, usual[i]);
        cm_team_destroy(team);
    }
    return 0;
}
