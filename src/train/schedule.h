/* The learning rate over the steps. */
#ifndef CM_TRAIN_SCHEDULE_H
#define CM_TRAIN_SCHEDULE_H

#include <stdint.h>

/* Step (from 0) of steps: a linear rise over the first W = ceil(warmup * steps) steps, then half a cosine
 * down to 0:
 *   base (step + 1) / W                                              step < W
 *   base (1 + cos(pi (step - W) / max(1, steps - W))) / 2            else */
double cm_schedule(double base, double warmup, int64_t step, int64_t steps);

#endif
