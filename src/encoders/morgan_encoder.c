/* Encoder "morgan": the Morgan fingerprint of the whole molecule (Rogers and Hahn 2010), computed by
 * RDKit. */
#include "base/alloc.h"
#include "bio/chem.h"
#include "encoders/encoder.h"

static int64_t width(cm_molecule_type type) {
    (void)type;
    return 1024;
}

static cm_status encode(cm_molecule_type type, const char *text, int64_t length, int64_t n, float *out,
                        int64_t stride, cm_error *error) {
    (void)n, (void)stride;
    char *smiles = cm_copy_text(text, (size_t)length);
    if (smiles == NULL) return cm_fail_memory(error, (size_t)length);
    cm_status status = cm_chem_morgan(smiles, width(type), out, error);
    cm_free(smiles);
    return status;
}

const cm_encoder_part cm_encoder_morgan = {
    .name = "morgan",
    .help = "Morgan fingerprint counts, radius 2, 1024 columns, log(1 + count)",
    .types = 1u << CM_MOLECULE,
    .width = width,
    .units = NULL,
    .encode = encode,
};
