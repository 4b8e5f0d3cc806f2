/* Calibration on held-out scores.
 *
 * Binary, one of three maps from the raw score to a probability:
 *   platt        1 / (1 + exp(-(slope * score + offset))), Platt (1999)
 *   temperature  the same with offset 0, Guo et al. (2017)
 *   isotonic     a non-decreasing step function with interpolation (metrics/isotonic.h), Zadrozny, Elkan
 * (2002); its ends are kept within 1 / (n + 2) of 0 and 1, so that no probability is certain Platt and
 * temperature maximise the likelihood of Platt's smoothed targets, so that separable scores stay finite. auto
 * takes the map with the lowest log loss in 5-fold cross-validation on the same scores, of equals the first
 * named: isotonic wins only where the scores are many and a sigmoid does not fit.
 *
 * Affinity: value = slope * score + offset by least squares, slope kept in [0.5, 2]; spread is the standard
 * deviation of the residuals. The method is not asked. */
#ifndef CM_METRICS_CALIBRATE_H
#define CM_METRICS_CALIBRATE_H

#include "base/fail.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum cm_calibration_method {
    CM_CALIBRATION_PLATT,
    CM_CALIBRATION_TEMPERATURE,
    CM_CALIBRATION_ISOTONIC,
    CM_CALIBRATION_AUTO
} cm_calibration_method;
enum { CM_CALIBRATION_KNOTS = 64 };

typedef struct cm_calibration {
    double slope, offset, spread;
    cm_calibration_method method;
    int knots; /* isotonic: points of the map; else 0 */
    double at[CM_CALIBRATION_KNOTS], to[CM_CALIBRATION_KNOTS];
} cm_calibration;

/* "platt", "temperature", "isotonic", "auto" */
const char *cm_calibration_name(cm_calibration_method method);
cm_status cm_calibration_parse(cm_calibration_method *method, const char *name, cm_error *error);

/* By Platt's method, or the line. Falls back to slope 1, offset 0 when there are fewer than 10 pairs, a value
 * that is not finite, or (binary) one class only. The slope is never negative. */
cm_calibration cm_calibrate(bool affinity, const double *score, const double *label, int64_t n);

/* Binary, by the given method, with the same fallbacks. Fails only for want of memory. */
cm_status cm_calibrate_by(cm_calibration_method method, const double *score, const double *label, int64_t n,
                          cm_calibration *calibration, cm_error *error);

double cm_calibrated(const cm_calibration *calibration, bool affinity, double score);

#endif
