/* Encoder "onehot": each residue is a unit vector, a token the mean over its window. The fusion network's
 * first linear layer maps it to the mean of one learnt vector a residue type, so training it trains residue
 * embeddings. */
#include "bio/sequence.h"
#include "encoders/encoder.h"

#include <string.h>

/* The last column, behind those of the residues, is for those without identity and chain breaks. */
static int64_t width(cm_molecule_type type) {
    return (int64_t)strlen(cm_residues(type)) + 1;
}

static int64_t units(cm_molecule_type type, const char *text, int64_t length) {
    (void)type, (void)text;
    return length;
}

static cm_status encode(cm_molecule_type type, const char *text, int64_t length, int64_t n, float *out,
                        int64_t stride, cm_error *error) {
    (void)error;
    const char *known = cm_residues(type);
    int64_t columns = width(type);
    uint8_t column[256];
    memset(column, (int)columns - 1, sizeof column);
    for (int64_t c = 0; c < columns - 1; c++) column[(unsigned char)known[c]] = (uint8_t)c;
    for (int64_t window = 0; window < n; window++) {
        int64_t begin = window * length / n, end = (window + 1) * length / n;
        uint32_t counts[32] = {0};
        for (int64_t i = begin; i < end; i++) counts[column[(unsigned char)text[i]]]++;
        double members = end > begin ? (double)(end - begin) : 1;
        for (int64_t c = 0; c < columns; c++) out[window * stride + c] = (float)(counts[c] / members);
    }
    return CM_OK;
}

const cm_encoder_part cm_encoder_onehot = {
    .name = "onehot",
    .help = "learnt residue embeddings, averaged over windows",
    .types = 1u << CM_RNA | 1u << CM_PROTEIN,
    .width = width,
    .units = units,
    .encode = encode,
};
