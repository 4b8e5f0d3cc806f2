/* Calibration on held-out scores. Binary: p = 1 / (1 + exp(-(slope * score + offset))), fitted by maximum
 * likelihood with Platt's (1999) smoothed targets. Affinity: value = slope * score + offset by least squares,
 * slope kept in [0.5, 2]; spread is the standard deviation of the residuals. */
#ifndef CM_METRICS_CALIBRATE_H
#define CM_METRICS_CALIBRATE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cm_calibration {
    double slope, offset, spread;
} cm_calibration;

/* Falls back to slope 1, offset 0 when there are fewer than 10 pairs or (binary) one class only. The slope
 * is never negative. */
cm_calibration cm_calibrate(bool affinity, const double *score, const double *label, int64_t n);
double cm_calibrated(const cm_calibration *calibration, bool affinity, double score);

#endif
