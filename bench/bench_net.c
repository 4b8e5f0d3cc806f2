/* Speed of the fusion network: training steps and inference at the cases of bench/peer_torch.py, as TSV on
 * stdout: case, variant, median ms, min ms, repeats. Arguments: [--threads N] [--repeats N] [case ...].
 * Pairs have L tokens, half on each side; D = 256, 2 bidirectional layers, inputs 340 and 763 wide. */
#include "base/alloc.h"
#include "base/rng.h"
#include "fusion/net.h"
#include "train/adamw.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef struct bench_case {
    const char *name;
    bool train;
    int64_t length, pairs;
} bench_case;

static const bench_case cases[] = {
    {"train-L2-B32", true, 2, 32},      {"train-L2-B256", true, 2, 256},
    {"train-L512-B8", true, 512, 8},    {"train-L2048-B1", true, 2048, 1},
    {"infer-L2048-B1", false, 2048, 1}, {"infer-L256-B1", false, 256, 1},
    {"infer-L512-B1", false, 512, 1},   {"infer-L1024-B1", false, 1024, 1},
    {"infer-L4096-B1", false, 4096, 1}, {"infer-L8192-B1", false, 8192, 1},
};
enum { N_CASES = sizeof cases / sizeof *cases, MOST_REPEATS = 1000, WIDTH_A = 340, WIDTH_B = 763 };

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "bench_net: %s\n", what);
    exit(1);
}

/* One network with random inputs of a case. */
typedef struct rig {
    cm_net *net;
    cm_tape *tape;
    cm_adamw *adamw;
    cm_team *team;
    cm_net_input input;
    float *x[2], *label;
    int64_t *offsets[2];
} rig;

static void fill_side(rig *r, int side, int64_t tokens, int64_t pairs, int64_t width) {
    r->x[side] = cm_new_aligned((size_t)(tokens * pairs * width), sizeof(float));
    r->offsets[side] = cm_new((size_t)pairs + 1, sizeof(int64_t));
    if (!r->x[side] || !r->offsets[side]) die("out of memory");
    for (int64_t i = 0; i < tokens * pairs * width; i++)
        r->x[side][i] = (float)cm_rng_normal((uint64_t)side + 7, (uint64_t)i);
    for (int64_t i = 0; i <= pairs; i++) r->offsets[side][i] = i * tokens;
    r->input.x[side] = cm_mat_of(r->x[side], tokens * pairs, width);
    r->input.segments[side] = cm_segments_of(r->offsets[side], pairs);
}

static rig rig_make(const bench_case *c, int threads) {
    rig r = {.team = cm_team_create(threads)};
    cm_options options;
    cm_error error = {0};
    cm_options_default(&options);
    if (cm_net_create(&r.net, &options, WIDTH_A, WIDTH_B, &error) != CM_OK) die(error.found);
    cm_net_init(r.net, 1);
    r.tape = cm_tape_create(r.team, c->train);
    r.adamw = cm_adamw_create(r.net->params);
    r.label = cm_new((size_t)c->pairs, sizeof(float));
    if (!r.team || !r.tape || !r.adamw || !r.label) die("out of memory");
    for (int64_t i = 0; i < c->pairs; i++) r.label[i] = (float)(i % 2);
    r.input.pairs = c->pairs;
    fill_side(&r, 0, c->length / 2, c->pairs, WIDTH_A);
    fill_side(&r, 1, c->length / 2, c->pairs, WIDTH_B);
    return r;
}

static void rig_clear(rig *r) {
    for (int side = 0; side < 2; side++) {
        cm_free(r->x[side]);
        cm_free(r->offsets[side]);
    }
    cm_free(r->label);
    cm_adamw_destroy(r->adamw);
    cm_tape_destroy(r->tape);
    cm_net_destroy(r->net);
    cm_team_destroy(r->team);
}

static void step(rig *r, const bench_case *c, int number) {
    cm_error error = {0};
    cm_tape_reset(r->tape, cm_rng_key(1, 2, (uint64_t)number), c->train);
    cm_var *scores = cm_net_forward(r->net, r->tape, &r->input);
    if (c->train) {
        cm_apply with = {.attr = {.gamma = 2, .alpha = 0.5f}};
        cm_var *in[2] = {scores, cm_tape_input(r->tape, cm_mat_of(r->label, c->pairs, 1))};
        cm_var *loss = cm_tape_apply(r->tape, &cm_op_focal_loss, &with, 2, in);
        if (cm_tape_backward(r->tape, r->net->params, loss, &error) != CM_OK) die(error.found);
        cm_adamw_step(r->adamw, r->net->params, r->team, 1e-4, 1e-2, 1.0);
    }
    if (cm_tape_status(r->tape, &error) != CM_OK) die(error.found);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run_case(const bench_case *c, int threads, int repeats) {
    rig r = rig_make(c, threads);
    double times[MOST_REPEATS], begin = now_ms();
    int n = 0;
    for (int i = 0; i < 3; i++) step(&r, c, i); /* warm up */
    while (n < repeats && (n < 5 || now_ms() - begin < 20000)) {
        double start = now_ms();
        step(&r, c, n + 3);
        times[n++] = now_ms() - start;
    }
    qsort(times, (size_t)n, sizeof *times, by_size);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%s\tcrossmamba\t%.3f\t%.3f\t%d\n", c->name, times[n / 2], times[0], n);
    fprintf(stderr, "%s: tape %.1f MiB, process peak %.1f MiB\n", c->name,
            (double)cm_tape_peak_bytes(r.tape) / 1048576.0, (double)usage.ru_maxrss / 1024.0);
    fflush(stdout);
    rig_clear(&r);
}

int main(int argc, char **argv) {
    int threads = (int)sysconf(_SC_NPROCESSORS_ONLN), repeats = 50, chosen = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            threads = atoi(argv[++i]);
        else if (strcmp(argv[i], "--repeats") == 0 && i + 1 < argc)
            repeats = atoi(argv[++i]);
        else
            argv[1 + chosen++] = argv[i];
    }
    if (threads < 1 || repeats < 1 || repeats > MOST_REPEATS) die("--threads and --repeats: numbers from 1");
    printf("case\tvariant\tmedian_ms\tmin_ms\trepeats\n");
    for (int k = 0; k < N_CASES; k++) {
        bool wanted = chosen == 0;
        for (int i = 1; i <= chosen; i++) wanted = wanted || strcmp(argv[i], cases[k].name) == 0;
        if (wanted) run_case(&cases[k], threads, repeats);
    }
    return 0;
}
