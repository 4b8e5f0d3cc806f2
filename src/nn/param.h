/* Named learnable parameters in one flat block, so that the optimiser, the norm of the gradient and a
 * checkpoint are plain loops over one array. */
#ifndef CM_NN_PARAM_H
#define CM_NN_PARAM_H

#include "base/fail.h"
#include "tensor/mat.h"
#include <stddef.h>

typedef struct cm_param {
    char *name;      /* "fusion.layers.0.forward.in_proj.weight" */
    int n_dims;      /* 1..3 */
    int64_t dims[3]; /* the shape in a file; as a matrix: rows = dims[0] (1 for 1-D), cols = the rest */
    int64_t offset;  /* of its first element in the flat block, a multiple of 16 floats */
    int64_t count;
    bool decay; /* weight decay applies */
} cm_param;

typedef struct cm_params cm_params;

cm_params *cm_params_create(void); /* NULL when out of memory */
void cm_params_destroy(cm_params *params);

/* Adds a parameter (values 0) and returns its number, or -1 when out of memory, when the name is taken
 * or after cm_params_seal. A failure is remembered and makes cm_params_seal fail, so that a builder
 * needs no check of its own. */
int cm_params_add(cm_params *params, const char *name, int n_dims, const int64_t *dims, bool decay);

/* Allocates the flat block of values, zeroed. No parameter can be added afterwards. */
cm_status cm_params_seal(cm_params *params, cm_error *error);

/* Allocates the flat block of gradients, zeroed, unless it is there; the backward pass does so. */
cm_status cm_params_open_gradients(cm_params *params, cm_error *error);

bool cm_params_failed(const cm_params *params); /* an addition failed */
int cm_params_count(const cm_params *params);
const cm_param *cm_params_get(const cm_params *params, int index);
int cm_params_find(const cm_params *params, const char *name); /* -1: not there */

cm_mat cm_params_value(const cm_params *params, int index); /* matrix view, see cm_param */
cm_mat cm_params_grad(const cm_params *params, int index);  /* with open gradients */

/* The flat blocks, size floats each; gaps between parameters are 0. Gradients are NULL until opened. */
float *cm_params_values(const cm_params *params);
float *cm_params_grads(const cm_params *params);
int64_t cm_params_size(const cm_params *params);

/* Fills: U(-bound, bound) and constants, keyed by (seed, name) so that the order of building does not
 * matter. */
void cm_params_init_uniform(cm_params *params, int index, uint64_t seed, double bound);
void cm_params_init_constant(cm_params *params, int index, float value);

/* The random key of a parameter, a function of (seed, name). */
uint64_t cm_params_key(const cm_params *params, int index, uint64_t seed);

#endif
