/* AdamW over the flat parameter block, cut into fixed blocks so that the same sums are made whatever the
 * number of threads. */
#include "train/adamw.h"
#include "base/alloc.h"
#include "ops/vmath.h"
#include <math.h>
#include <string.h>

enum { BLOCK = 8192 };
static const double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;

/* At most BLOCK values of one parameter. */
typedef struct block {
    int64_t offset, count;
    bool decay;
} block;

struct cm_adamw {
    float *first, *second;
    int64_t size, steps;
    block *blocks;
    double *squares; /* per block: the sum of the squared gradients */
    int64_t n_blocks;
};

static int64_t list_blocks(const cm_params *params, block *blocks) {
    int64_t n = 0;
    for (int i = 0; i < cm_params_count(params); i++) {
        const cm_param *p = cm_params_get(params, i);
        for (int64_t at = 0; at < p->count; at += BLOCK, n++) {
            int64_t left = p->count - at;
            if (blocks) blocks[n] = (block){p->offset + at, left < BLOCK ? left : BLOCK, p->decay};
        }
    }
    return n;
}

cm_adamw *cm_adamw_create(const cm_params *params) {
    cm_adamw *adamw = cm_new(1, sizeof *adamw);
    if (!adamw) return NULL;
    size_t size = (size_t)cm_params_size(params);
    adamw->size = (int64_t)size;
    adamw->n_blocks = list_blocks(params, NULL);
    adamw->first = cm_new_aligned(size, sizeof(float));
    adamw->second = cm_new_aligned(size, sizeof(float));
    adamw->blocks = cm_new((size_t)adamw->n_blocks, sizeof *adamw->blocks);
    adamw->squares = cm_new((size_t)adamw->n_blocks, sizeof *adamw->squares);
    if (!adamw->first || !adamw->second || !adamw->blocks || !adamw->squares) {
        cm_adamw_destroy(adamw);
        return NULL;
    }
    cm_adamw_reset(adamw);
    list_blocks(params, adamw->blocks);
    return adamw;
}

void cm_adamw_reset(cm_adamw *adamw) {
    memset(adamw->first, 0, (size_t)adamw->size * sizeof(float));
    memset(adamw->second, 0, (size_t)adamw->size * sizeof(float));
    adamw->steps = 0;
}

void cm_adamw_destroy(cm_adamw *adamw) {
    if (!adamw) return;
    cm_free(adamw->first);
    cm_free(adamw->second);
    cm_free(adamw->blocks);
    cm_free(adamw->squares);
    cm_free(adamw);
}

float *cm_adamw_first(cm_adamw *adamw) {
    return adamw->first;
}

float *cm_adamw_second(cm_adamw *adamw) {
    return adamw->second;
}

int64_t cm_adamw_steps(const cm_adamw *adamw) {
    return adamw->steps;
}

void cm_adamw_set_steps(cm_adamw *adamw, int64_t steps) {
    adamw->steps = steps;
}

/* One step as its blocks see it. */
typedef struct step {
    const cm_adamw *adamw;
    float *values;
    const float *grads;
    float clip, keep; /* factors on gradients and on decaying values */
    float rate;       /* lr / (1 - beta1^t) */
    float unbias;     /* 1 / sqrt(1 - beta2^t) */
} step;

/* Sum of squares in sixteen running sums, which vectorise, added in order. */
CM_CLONES static double sum_squares(const float *x, int64_t n) {
    enum { LANES = 16 };
    double sums[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int lane = 0; lane < LANES; lane++) sums[lane] += (double)x[i + lane] * x[i + lane];
    for (; i < n; i++) sum += (double)x[i] * x[i];
    for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
    return sum;
}

static void square_blocks(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const step *s = context;
    for (int64_t b = begin; b < end; b++) {
        const block *at = &s->adamw->blocks[b];
        s->adamw->squares[b] = sum_squares(s->grads + at->offset, at->count);
    }
}

CM_CLONES static void update(const step *s, float keep, int64_t n, float *restrict p,
                             const float *restrict grad, float *restrict m, float *restrict v) {
    const float one_less_beta1 = (float)(1 - beta1), b2 = (float)beta2, one_less_beta2 = (float)(1 - beta2);
    const float eps = (float)epsilon, clip = s->clip, rate = s->rate, unbias = s->unbias;
    for (int64_t i = 0; i < n; i++) {
        float g = grad[i] * clip;
        m[i] += (g - m[i]) * one_less_beta1;
        v[i] = v[i] * b2 + one_less_beta2 * g * g;
        p[i] = p[i] * keep - rate * (m[i] / (sqrtf(v[i]) * unbias + eps));
    }
}

static void update_blocks(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const step *s = context;
    for (int64_t b = begin; b < end; b++) {
        const block *at = &s->adamw->blocks[b];
        int64_t o = at->offset;
        update(s, at->decay ? s->keep : 1, at->count, s->values + o, s->grads + o, s->adamw->first + o,
               s->adamw->second + o);
    }
}

double cm_adamw_step(cm_adamw *adamw, cm_params *params, cm_team *team, double learning_rate,
                     double weight_decay, double clip_norm) {
    step s = {.adamw = adamw, .values = cm_params_values(params), .grads = cm_params_grads(params)};
    cm_team_for(team, adamw->n_blocks, 4, square_blocks, &s);
    double sum = 0;
    for (int64_t b = 0; b < adamw->n_blocks; b++) sum += adamw->squares[b];
    double norm = sqrt(sum);
    if (!isfinite(norm)) return norm;
    double t = (double)++adamw->steps, clip = clip_norm > 0 ? clip_norm / (norm + 1e-6) : 1;
    s.clip = (float)(clip < 1 ? clip : 1);
    s.keep = (float)(1 - learning_rate * weight_decay);
    s.rate = (float)(learning_rate / (1 - pow(beta1, t)));
    s.unbias = (float)(1 / sqrt(1 - pow(beta2, t)));
    cm_team_for(team, adamw->n_blocks, 4, update_blocks, &s);
    return norm;
}
