/* Linear warm-up, then cosine decay. */
#include "train/schedule.h"
#include <math.h>

double cm_schedule(double base, double warmup, int64_t step, int64_t steps) {
    double rise = ceil(warmup * (double)steps), rest = (double)steps - rise;
    if ((double)step < rise) return base * (double)(step + 1) / rise;
    return base * 0.5 * (1 + cos(M_PI * ((double)step - rise) / (rest > 1 ? rest : 1)));
}
