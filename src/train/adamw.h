/* The optimiser AdamW (Loshchilov and Hutter 2019) as torch.optim.AdamW computes it (beta 0.9 and 0.999,
 * eps 1e-8, decoupled decay), after clipping of the gradient's norm. */
#ifndef CM_TRAIN_ADAMW_H
#define CM_TRAIN_ADAMW_H

#include "base/team.h"
#include "nn/param.h"

typedef struct cm_adamw cm_adamw;

/* State for params (sealed), all 0. NULL when out of memory. */
cm_adamw *cm_adamw_create(const cm_params *params);
/* Back to that state. */
void cm_adamw_reset(cm_adamw *adamw);
void cm_adamw_destroy(cm_adamw *adamw);

/* One step on the gradients in params, team as in cm_tape:
 *   g = grad * min(1, clip_norm / (norm + 1e-6))                    clip_norm 0: g = grad
 *   p = p (1 - lr decay)                                            where decay applies
 *   m = m + (g - m) (1 - beta1),  v = beta2 v + (1 - beta2) g^2
 *   p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 * Returns the norm of grad before clipping; when that is not finite nothing is changed. */
double cm_adamw_step(cm_adamw *adamw, cm_params *params, cm_team *team, double learning_rate,
                     double weight_decay, double clip_norm);

/* The state, for checkpoints: m and v lie as the values of params do; steps is t. */
float *cm_adamw_first(cm_adamw *adamw);
float *cm_adamw_second(cm_adamw *adamw);
int64_t cm_adamw_steps(const cm_adamw *adamw);
void cm_adamw_set_steps(cm_adamw *adamw, int64_t steps);

#endif
