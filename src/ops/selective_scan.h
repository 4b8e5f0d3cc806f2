/* What the versions of the selective scan share: the view of a call, the chunks, the layout of saved and
 * scratch memory, and the drivers.
 *
 * The rows of all segments are one stream, run from row 0 up or, when reverse, from the last row down.
 * The stream is cut into chunks of CM_SCAN_CHUNK tokens; bit t of starts[chunk] is set where token t
 * begins a segment, so that the state is zero before it. Forward saves the state before each chunk but
 * the first, unless attr.carry tells that no backward follows; backward computes the states of a chunk
 * again from there. Channels are worked on in groups
 * of CM_SCAN_GROUP: the unit of parallel work, and of the partial sums of the gradients of B and C. */
#ifndef CM_OPS_SELECTIVE_SCAN_H
#define CM_OPS_SELECTIVE_SCAN_H

#include "ops/op.h"

/* The chunk is at most 64 tokens, the bits of starts. With 16 forward is a twentieth faster than with 8 on a
 * Zen 4 and backward the same, and half as many states are saved. */
enum {
    CM_SCAN_CHUNK = 16,      /* tokens */
    CM_SCAN_GROUP = 64,      /* channels */
    CM_SCAN_LANES = 16,      /* most lanes of a version's vectors; divides the group */
    CM_SCAN_MAX_STATES = 256 /* n */
};

enum { CM_SCAN_U, CM_SCAN_DT, CM_SCAN_A, CM_SCAN_B, CM_SCAN_C, CM_SCAN_D, CM_SCAN_BIAS, CM_SCAN_Z };

typedef struct cm_scan {
    const cm_op_call *call;
    int64_t rows, d, n;     /* T, channels, states */
    int64_t groups, chunks; /* of channels, of tokens */
    const uint64_t *starts; /* [chunks] */
    float *work;            /* [groups, work_floats], for the version's use */
    int64_t work_floats;    /* n * (2 * chunk * lanes + 3 * group) + 2 * group */
    float *partial;         /* [groups, T, 2 * n]: gradients of B and C summed over a group's channels; not
                             there with attr.carry */
} cm_scan;

/* The rows of a chunk in the order of the stream: first, first + step, ... */
typedef struct cm_scan_rows {
    int64_t first, step, count;
} cm_scan_rows;

static inline cm_scan_rows cm_scan_chunk_rows(const cm_scan *scan, int64_t chunk) {
    int64_t position = chunk * CM_SCAN_CHUNK, left = scan->rows - position;
    int64_t count = left < CM_SCAN_CHUNK ? left : CM_SCAN_CHUNK;
    if (scan->call->attr->reverse) return (cm_scan_rows){scan->rows - 1 - position, -1, count};
    return (cm_scan_rows){position, 1, count};
}

/* The saved state before chunk (> 0) of the channels of group: [group, n] floats in the version's order. */
static inline float *cm_scan_saved(const cm_scan *scan, int64_t chunk, int64_t group) {
    return scan->call->saved + ((chunk - 1) * scan->groups + group) * CM_SCAN_GROUP * scan->n;
}

/* attr.carry at channel, [n] for each channel from there on, or NULL. */
static inline float *cm_scan_carry(const cm_scan *scan, int64_t channel) {
    float *carry = scan->call->attr->carry;
    return carry ? carry + channel * scan->n : NULL;
}

/* Runs body over ranges of groups of channels. backward: body writes scan->partial and all gradients but
 * those of B and C, which the driver then adds up over the groups in order. */
typedef void (*cm_scan_body)(const cm_scan *scan, int64_t begin, int64_t end);
void cm_scan_forward(const cm_op_call *call, cm_scan_body body);
void cm_scan_backward(const cm_op_call *call, cm_scan_body body);

#if defined(__x86_64__)
/* exp2: the version's exponential alone, out = 2^x for x <= 0, count a multiple of 64; what no scan can be
 * faster than. */
bool cm_scan_avx2_supported(void);
void cm_scan_avx2_forward(const cm_op_call *call);
void cm_scan_avx2_backward(const cm_op_call *call);
void cm_scan_avx2_exp2(const float *x, float *out, int64_t count);

bool cm_scan_avx512_supported(void);
void cm_scan_avx512_forward(const cm_op_call *call);
void cm_scan_avx512_backward(const cm_op_call *call);
void cm_scan_avx512_exp2(const float *x, float *out, int64_t count);
#endif

#endif
