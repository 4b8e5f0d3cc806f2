/* Encoder "none": leaves a molecule out, so that a network sees the pair's own tokens alone. One column of
 * zeros. */
#include "encoders/encoder.h"

static int64_t width(cm_molecule_type type) {
    (void)type;
    return 1;
}

static cm_status encode(cm_molecule_type type, const char *text, int64_t length, int64_t n, float *out,
                        int64_t stride, cm_error *error) {
    (void)type, (void)text, (void)length, (void)error;
    for (int64_t i = 0; i < n; i++) out[i * stride] = 0;
    return CM_OK;
}

const cm_encoder_part cm_encoder_none = {
    .name = "none",
    .help = "nothing of the molecule: only a pair encoder's tokens say anything",
    .types = 1u << CM_RNA | 1u << CM_PROTEIN | 1u << CM_MOLECULE,
    .width = width,
    .encode = encode,
};
