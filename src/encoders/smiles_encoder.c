/* Encoder "smiles": each SMILES token is a unit vector, a token the mean over its window; the fusion
 * network's first linear layer makes learnt token embeddings of them. */
#include "bio/smiles.h"
#include "encoders/encoder.h"

#include <string.h>

static int64_t width(cm_molecule_type type) {
    (void)type;
    return cm_smiles_vocabulary();
}

static int64_t units(cm_molecule_type type, const char *text, int64_t length) {
    (void)type;
    int64_t count = 0;
    size_t at = 0, start = 0;
    while (cm_smiles_next(text, (size_t)length, &at, &start, NULL) > 0) count++;
    return count;
}

/* Window w of n covers SMILES tokens [w * count / n, (w + 1) * count / n). */
static cm_status encode(cm_molecule_type type, const char *text, int64_t length, int64_t n, float *out,
                        int64_t stride, cm_error *error) {
    (void)error;
    int64_t columns = width(type), count = units(type, text, length);
    size_t at = 0, start = 0;
    for (int64_t window = 0; window < n; window++) {
        float *row = out + window * stride;
        int64_t members = (window + 1) * count / n - window * count / n;
        memset(row, 0, (size_t)columns * sizeof *row);
        for (int64_t i = 0; i < members; i++) {
            size_t token = cm_smiles_next(text, (size_t)length, &at, &start, NULL);
            row[cm_smiles_column(text + start, token)] += 1;
        }
        for (int64_t c = 0; c < columns; c++) row[c] = members > 0 ? row[c] / (float)members : 0;
    }
    return CM_OK;
}

const cm_encoder_part cm_encoder_smiles = {
    .name = "smiles",
    .help = "learnt SMILES token embeddings, averaged over windows",
    .types = 1u << CM_MOLECULE,
    .width = width,
    .units = units,
    .encode = encode,
};
