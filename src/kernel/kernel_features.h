/* The sparse feature vectors of many molecules under every kernel of their type, and raw kernel values
 * between them. Plain arrays that refer to nothing outside: they can be kept in a model file. */
#ifndef CM_KERNEL_KERNEL_FEATURES_H
#define CM_KERNEL_KERNEL_FEATURES_H

#include "base/team.h"
#include "kernel/molecule_kernel.h"

enum { CM_KERNELS_MAX = 8 }; /* of one molecule type */

/* Vectors of one kernel: molecule i has entries start[i] .. start[i + 1]; columns ascend; norm 1 (cosine; 0
 * without features) or as counted (Tanimoto). All this follows from the counts, which lie in
 * code[code_start[i]] .. code[code_start[i + 1]] (kernel/count_code.h): they are what a model file keeps. */
typedef struct cm_kernel_rows {
    int64_t *start; /* [n + 1] */
    int32_t *column;
    float *value;
    double *square;      /* [n] x.x */
    int64_t *code_start; /* [n + 1] */
    uint8_t *code;
    int64_t bytes; /* of code: code_start[n] */
} cm_kernel_rows;

typedef struct cm_kernel_features {
    cm_molecule_type type;
    int n_kernels;
    const cm_molecule_kernel *kernel[CM_KERNELS_MAX];
    cm_kernel_rows rows[CM_KERNELS_MAX];
    int64_t n;
} cm_kernel_features;

/* The table kernels of a molecule type in order; returns their number. */
int cm_kernels_of(cm_molecule_type type, const cm_molecule_kernel *kernels[CM_KERNELS_MAX]);

/* Which table kernels are averaged. */
typedef enum cm_kernel_mix { CM_MIX_ALL, CM_MIX_COARSE, CM_MIX_FINE, CM_MIXES } cm_kernel_mix;
/* "all", "coarse", "fine" */
const char *cm_kernel_mix_name(cm_kernel_mix mix);
enum { CM_EVERY_MIX = (1 << CM_MIXES) - 1 };
bool cm_kernel_in_mix(const cm_molecule_kernel *kernel, cm_kernel_mix mix);

/* Of n molecules in the normalised spelling, under the kernels of mixes (bits 1 << cm_kernel_mix); the rows
 * of the others stay empty. CM_DATA from chemistry. */
cm_status cm_kernel_features_create(cm_kernel_features **features, cm_molecule_type type, unsigned mixes,
                                    const char *const *text, const int64_t *length, int64_t n,
                                    cm_error *error);
/* Copies of molecules index[m] of features. */
cm_status cm_kernel_features_select(cm_kernel_features **selected, const cm_kernel_features *features,
                                    const int32_t *index, int64_t m, cm_error *error);
/* Room for n molecules with bytes[k] bytes of code under each kernel k of mix; the caller fills code_start
 * and code of those and then has them decoded, which checks them. CM_DATA from decoding: place names kernel
 * and molecule. */
cm_status cm_kernel_features_room(cm_kernel_features **features, cm_molecule_type type, cm_kernel_mix mix,
                                  int64_t n, const int64_t bytes[CM_KERNELS_MAX], cm_error *error);
cm_status cm_kernel_features_decode(cm_kernel_features *features, cm_kernel_mix mix, cm_error *error);
void cm_kernel_features_destroy(cm_kernel_features *features);

/* out[n, m]: kernel number k between molecules row[n] of x (NULL: the first n) and all m of y. */
cm_status cm_kernel_cross(const cm_kernel_features *x, const int32_t *row, int64_t n,
                          const cm_kernel_features *y, int k, double *out, cm_team *team, cm_error *error);
/* The kernel of molecule i with itself: 1, or 0 without features. */
double cm_kernel_self(const cm_kernel_features *features, int k, int64_t i);

#endif
