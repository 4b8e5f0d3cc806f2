/* Ridge regression with a product kernel on pairs: K[(a, b), (a', b')] = A[a, a'] B[b, b'], of which only the
 * n training pairs are sampled. The n x n matrix is never made: K v goes through the m x q matrix of sums
 * (the generalised vec trick of Airola and Pahikkala 2018), which takes n (m + q) multiplications.
 *
 * Sums have a fixed order; results do not depend on the team. */
#ifndef CM_KERNEL_PAIR_SOLVER_H
#define CM_KERNEL_PAIR_SOLVER_H

#include "base/fail.h"
#include "base/team.h"
#include <stdint.h>

/* A[m, m] and B[q, q], symmetric and positive semidefinite, not owned. */
typedef struct cm_pair_kernel {
    const double *a, *b;
    int64_t m, q;
} cm_pair_kernel;

/* n pairs of molecules by number, not owned. order: 0 to n - 1 as cm_pair_order puts them, or NULL. */
typedef struct cm_pair_list {
    const int32_t *a, *b;
    int64_t n;
    const int64_t *order;
} cm_pair_list;

/* The order in which a product touches as few cache lines as it can, for pairs of m and q molecules: tiles of
 * rows of B, and in a tile the pairs of one row of sums together. */
cm_status cm_pair_order(int64_t *order, const cm_pair_list *pairs, int64_t m, int64_t q, cm_error *error);

typedef struct cm_pair_solver cm_pair_solver;

/* For the training pairs train, which the solver copies. */
cm_status cm_pair_solver_create(cm_pair_solver **solver, int64_t m, int64_t q, const cm_pair_list *train,
                                cm_error *error);
void cm_pair_solver_destroy(cm_pair_solver *solver);

/* out[i] = sum over training pairs j of K[pair i of asked, j] v[j]. The order of asked changes no bit. */
void cm_pair_apply(cm_pair_solver *solver, const cm_pair_kernel *kernel, const double *v,
                   const cm_pair_list *asked, double *out, cm_team *team);

/* The path of ridge[count] in ascending order, all > 0: weights[l] with (K + ridge[l] I) weights[l] = y, into
 * weights[count, n], by conjugate gradients with shifts (one product with K a step for all of them). Stops
 * when the residual norm is below tolerance times the norm of y, or after most steps. */
typedef struct cm_ridge_path {
    const double *ridge;
    int count;
    double tolerance;
    int most;
} cm_ridge_path;
enum { CM_RIDGES_MAX = 12 };
cm_status cm_pair_ridge(cm_pair_solver *solver, const cm_pair_kernel *kernel, const cm_ridge_path *path,
                        const double *y, double *weights, cm_team *team, cm_error *error);

#endif
