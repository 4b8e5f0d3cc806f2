/* The reliability table. */
#include "metrics/reliability.h"
#include <math.h>

int cm_reliability_bin_of(double value) {
    double bin = ceil(value * CM_RELIABILITY_BINS) - 1;
    return bin < 0 ? 0 : bin > CM_RELIABILITY_BINS - 1 ? CM_RELIABILITY_BINS - 1 : (int)bin;
}

double cm_reliability(const double *value, const double *label, int64_t n,
                      cm_reliability_bin bins[CM_RELIABILITY_BINS]) {
    double predicted[CM_RELIABILITY_BINS] = {0}, observed[CM_RELIABILITY_BINS] = {0}, error = 0;
    for (int b = 0; b < CM_RELIABILITY_BINS; b++)
        bins[b] = (cm_reliability_bin){.low = (double)b / CM_RELIABILITY_BINS,
                                       .high = (double)(b + 1) / CM_RELIABILITY_BINS};
    for (int64_t i = 0; i < n; i++) {
        int b = cm_reliability_bin_of(value[i]);
        bins[b].count++;
        predicted[b] += value[i];
        observed[b] += label[i];
    }
    for (int b = 0; b < CM_RELIABILITY_BINS; b++) {
        double count = (double)bins[b].count;
        bins[b].predicted = count > 0 ? predicted[b] / count : NAN;
        bins[b].observed = count > 0 ? observed[b] / count : NAN;
        error += fabs(predicted[b] - observed[b]);
    }
    return n > 0 ? error / (double)n : 0;
}
