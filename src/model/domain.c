/* Sketches of the training molecules. */
#include "model/domain.h"
#include "base/alloc.h"
#include "base/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEWEST = 10, BITS = 64 * CM_DOMAIN_WORDS, KEY_SKETCH = 31 };

cm_status cm_domain_create(cm_domain *domain, int64_t n, cm_error *error) {
    cm_domain_clear(domain);
    domain->bits = cm_new((size_t)n * CM_DOMAIN_WORDS, sizeof *domain->bits);
    if (!domain->bits) return cm_fail_memory(error, (size_t)n * CM_DOMAIN_WORDS * sizeof *domain->bits);
    domain->n = n;
    return CM_OK;
}

void cm_domain_clear(cm_domain *domain) {
    cm_free(domain->bits);
    *domain = (cm_domain){0};
}

/* ---- one molecule ---- */

static void mean_of_tokens(const cm_tokens *tokens, int64_t width, double *mean) {
    memset(mean, 0, (size_t)width * sizeof *mean);
    for (int64_t t = 0; tokens->dense && t < tokens->tokens; t++)
        for (int64_t c = 0; c < width; c++) mean[c] += (double)tokens->dense[t * width + c];
    for (int32_t e = 0; !tokens->dense && e < tokens->start[tokens->tokens]; e++)
        mean[tokens->column[e]] += (double)tokens->value[e];
    for (int64_t c = 0; c < width && tokens->tokens > 0; c++) mean[c] /= (double)tokens->tokens;
}

/* Bit b of word w is the sign of the sum of the columns, each with a random sign. */
static void sketch(const cm_tokens *tokens, const cm_standard *standard, double clip, double *work,
                   uint64_t bits[CM_DOMAIN_WORDS]) {
    double sum[BITS] = {0};
    mean_of_tokens(tokens, standard->width, work);
    for (int64_t c = 0; c < standard->width; c++) {
        double z = (work[c] - (double)standard->mean[c]) * (double)standard->scale[c];
        z = fmin(clip, fmax(-clip, z));
        for (int w = 0; w < CM_DOMAIN_WORDS; w++) {
            uint64_t signs = cm_rng_bits(KEY_SKETCH, (uint64_t)(c * CM_DOMAIN_WORDS + w));
            for (int b = 0; b < 64; b++) sum[w * 64 + b] += signs >> b & 1 ? z : -z;
        }
    }
    for (int w = 0; w < CM_DOMAIN_WORDS; w++) {
        bits[w] = 0;
        for (int b = 0; b < 64; b++) bits[w] |= (uint64_t)(sum[w * 64 + b] >= 0) << b;
    }
}

static int different(const uint64_t *a, const uint64_t *b) {
    int count = 0;
    for (int w = 0; w < CM_DOMAIN_WORDS; w++) count += __builtin_popcountll(a[w] ^ b[w]);
    return count;
}

/* Similarity to the nearest sketch other than number except (-1: none is left out). */
static double nearest_of(const cm_domain *domain, const uint64_t *bits, int64_t except) {
    int least = BITS;
    for (int64_t i = 0; i < domain->n; i++) {
        int d = i == except ? BITS : different(bits, domain->bits + i * CM_DOMAIN_WORDS);
        if (d < least) least = d;
    }
    return cos(acos(-1.0) * least / BITS);
}

/* ---- the training set ---- */

static int by_size(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The first percentile of the leave-one-out similarities. work[n] */
static double first_percentile(const cm_domain *domain, double *work) {
    for (int64_t i = 0; i < domain->n; i++)
        work[i] = nearest_of(domain, domain->bits + i * CM_DOMAIN_WORDS, i);
    qsort(work, (size_t)domain->n, sizeof *work, by_size);
    return work[domain->n / 100];
}

/* The entities that the pairs name, thinned to CM_DOMAIN_MOST. */
static int64_t choose(const cm_dataset *dataset, int side, const int64_t *index, int64_t n, bool *used,
                      int64_t *entity) {
    int64_t count = 0, kept = 0;
    for (int64_t i = 0; i < n; i++) used[dataset->pairs[index[i]].entity[side]] = true;
    for (int64_t e = 0; e < dataset->n_entities[side]; e++)
        if (used[e]) entity[count++] = e;
    int64_t step = (count + CM_DOMAIN_MOST - 1) / CM_DOMAIN_MOST;
    for (int64_t i = 0; i < count; i += step) entity[kept++] = entity[i];
    return kept;
}

cm_status cm_domain_fit(cm_domain *domain, const cm_features *features, const cm_standard *standard,
                        double clip, const cm_dataset *dataset, int side, const int64_t *index, int64_t n,
                        cm_error *error) {
    size_t entities = (size_t)dataset->n_entities[side];
    size_t room = (size_t)standard->width > CM_DOMAIN_MOST ? (size_t)standard->width : CM_DOMAIN_MOST;
    bool *used = cm_new(entities, sizeof *used);
    int64_t *entity = cm_new(entities, sizeof *entity);
    double *work = cm_new(room, sizeof *work);
    cm_status status = used && entity && work ? CM_OK : cm_fail_memory(error, entities * sizeof *entity);
    int64_t kept = status == CM_OK ? choose(dataset, side, index, n, used, entity) : 0;
    if (status == CM_OK && kept >= FEWEST) {
        status = cm_domain_create(domain, kept, error);
        for (int64_t i = 0; i < kept && status == CM_OK; i++)
            sketch(&features->entities[side][entity[i]], standard, clip, work,
                   domain->bits + i * CM_DOMAIN_WORDS);
        if (status == CM_OK) domain->threshold = first_percentile(domain, work);
    }
    cm_free(used);
    cm_free(entity);
    cm_free(work);
    return status;
}

cm_status cm_domain_nearest(const cm_domain *domain, const cm_features *features, const cm_standard *standard,
                            double clip, int side, double *nearest, cm_error *error) {
    double *work = cm_new((size_t)standard->width, sizeof *work);
    if (!work) return cm_fail_memory(error, (size_t)standard->width * sizeof *work);
    for (int64_t e = 0; e < features->n_entities[side]; e++) {
        uint64_t bits[CM_DOMAIN_WORDS];
        sketch(&features->entities[side][e], standard, clip, work, bits);
        nearest[e] = nearest_of(domain, bits, -1);
    }
    cm_free(work);
    return CM_OK;
}
