/* Encoder "kmer": the k-mer spectrum of each window. */
#include "bio/kmer.h"
#include "encoders/encoder.h"

static int64_t units(cm_molecule_type type, const char *text, int64_t length) {
    (void)type, (void)text;
    return length;
}

static cm_status encode(cm_molecule_type type, const char *text, int64_t length, int64_t n, float *out,
                        int64_t stride, cm_error *error) {
    (void)error;
    cm_kmer_spectrum(type, text, length, n, out, stride);
    return CM_OK;
}

const cm_encoder_part cm_encoder_kmer = {
    .name = "kmer",
    .help = "k-mer spectra: RNA k = 1 to 4; protein k = 1, 2 and conjoint triads",
    .types = 1u << CM_RNA | 1u << CM_PROTEIN,
    .width = cm_kmer_width,
    .units = units,
    .encode = encode,
};
