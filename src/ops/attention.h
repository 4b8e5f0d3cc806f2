/* What the vector versions of attention (ops/x86/attention_*.c) share with the plain one. */
#ifndef CM_OPS_ATTENTION_H
#define CM_OPS_ATTENTION_H

#include "ops/op.h"

/* Queries of a block and keys of a tile at most, and the widest head that the vector versions take; for
 * wider ones they run the plain version. A block's working memory, about 0.7 MB, is on the stack. */
enum { CM_ATTENTION_QUERIES = 512, CM_ATTENTION_KEYS = 96, CM_ATTENTION_MAX_WIDTH = 128 };

/* Forward of some query rows of one head of one segment. */
typedef struct cm_attention_block {
    cm_mat q;    /* [queries, w], 1 <= queries <= CM_ATTENTION_QUERIES */
    cm_mat k, v; /* [rows of the segment, w] */
    cm_mat out;  /* [queries, w] */
    float scale; /* factor on the scores */
    float *lse;  /* log-sum-exp of query t goes to lse[t * lse_step] */
    int64_t lse_step;
} cm_attention_block;

typedef void cm_attention_kernel(const cm_attention_block *block);

/* Calls the kernel on all blocks of the call. */
void cm_attention_forward(const cm_op_call *call, cm_attention_kernel *kernel);

#if defined(__x86_64__)
bool cm_attention_avx2_supported(void);
bool cm_attention_avx512_supported(void);
bool cm_attention_avx512bf16_supported(void);
bool cm_attention_avx512int8_supported(void);
void cm_attention_avx2_forward(const cm_op_call *call);
void cm_attention_avx512_forward(const cm_op_call *call);
void cm_attention_avx512bf16(const cm_attention_block *block);
void cm_attention_avx512int8(const cm_attention_block *block);
#endif

#endif
