/* "neighbour": the mean label of the k training pairs that are most alike on both sides. */
#include "base/alloc.h"
#include "eval/choice.h"
#include <math.h>

static const int sizes[] = {1, 3, 5, 9, 15, 25};
enum { SIZES = sizeof sizes / sizeof *sizes, MOST = 25 };

/* Weight of a neighbour that is unlike on one side, and of the mean label among the neighbours. */
static const double FLOOR = 0.05, PRIOR = 0.1;

typedef struct neighbour {
    double weight, label;
} neighbour;

/* The k best so far, best first. Of equals the one that came first is before. */
static int insert(neighbour *best, int count, neighbour next) {
    if (count == MOST && !(next.weight > best[count - 1].weight)) return count;
    int at = count < MOST ? count++ : count - 1;
    for (; at > 0 && next.weight > best[at - 1].weight; at--) best[at] = best[at - 1];
    best[at] = next;
    return count;
}

static double mean_label(const cm_predictor_call *call, const int64_t *fit, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)call->label[fit[i]];
    return sum / (double)n;
}

static cm_status score(const void *context, const int64_t *fit, int64_t n, const int64_t *target, int64_t m,
                       double *out, cm_error *error) {
    (void)error;
    const cm_predictor_call *call = context;
    const cm_pair *pairs = call->dataset->pairs;
    bool affinity = call->dataset->task->affinity != 0;
    double mean = mean_label(call, fit, n);
    for (int64_t i = 0; i < m; i++) {
        neighbour best[MOST];
        int count = 0;
        const float *a = cm_similarity_row(call->similarity, 0, pairs[target[i]].entity[0]);
        const float *b = cm_similarity_row(call->similarity, 1, pairs[target[i]].entity[1]);
        for (int64_t k = 0; k < n; k++) {
            const cm_pair *pair = &pairs[fit[k]];
            double weight = (FLOOR + (double)a[pair->entity[0]]) * (FLOOR + (double)b[pair->entity[1]]);
            count = insert(best, count, (neighbour){weight, (double)call->label[fit[k]]});
        }
        double sum = PRIOR * mean, mass = PRIOR;
        for (int c = 0, k = 0; c < SIZES; c++) {
            for (; k < sizes[c] && k < count; k++) {
                sum += best[k].weight * best[k].label;
                mass += best[k].weight;
            }
            double rate = fmin(fmax(sum / mass, 1e-4), 1 - 1e-4);
            out[c * m + i] = affinity ? sum / mass : log(rate / (1 - rate));
        }
    }
    return CM_OK;
}

static cm_status run(const cm_predictor_call *call, cm_error *error) {
    cm_choice choice = {.candidates = SIZES, .standard = 2, .score = score, .context = call};
    return cm_choice_run(&choice, call, error);
}

const cm_predictor cm_predictor_neighbour = {
    .name = "neighbour",
    .help = "baseline: mean label of the training pairs most alike on both sides (k-mers, fingerprints)",
    .serves = CM_SERVES_ALL,
    .kept = true,
    .similarity = true,
    .run = run,
};
