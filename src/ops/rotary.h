/* The table that the op rotary reads (ops/rotary.c). */
#ifndef CM_OPS_ROTARY_H
#define CM_OPS_ROTARY_H

#include "base/team.h"
#include "tensor/mat.h"

/* table [positions, 2 * half] becomes the cosines, then the sines of the angles p * frequencies[i], p from 0.
 * An angle is a float32 product, and its sine and cosine are those of that float, as the published models
 * compute them. frequencies [half] in radians a position. */
void cm_rotary_table(cm_team *team, const float *frequencies, cm_mat table);

#endif
