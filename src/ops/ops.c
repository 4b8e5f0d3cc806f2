/* The op table and the choice of a version. */
#include "ops/op.h"

#define CM_OP_ROW(name) &cm_op_##name,
const cm_op *const cm_ops[] = {
#include "ops/ops.def"
};
#undef CM_OP_ROW

const int cm_ops_count = (int)(sizeof cm_ops / sizeof cm_ops[0]);

const cm_op_version *cm_op_best(const cm_op *op) {
    const cm_op_version *best = &op->versions[0];
    for (int i = 1; i < (int)(sizeof op->versions / sizeof op->versions[0]) && op->versions[i].name; i++)
        if (!op->versions[i].supported || op->versions[i].supported()) best = &op->versions[i];
    return best;
}
