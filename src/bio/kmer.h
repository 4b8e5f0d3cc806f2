/* k-mer spectra over windows. A k-mer belongs to the window in which it starts; a k-mer with an unknown
 * residue or across a chain break is not counted. Each k's counts are divided by their sum over the window
 * (0 when there are none). */
#ifndef CM_BIO_KMER_H
#define CM_BIO_KMER_H

#include <crossmamba/tables.h>
#include <stdint.h>

/* Columns of the spectrum: RNA k = 1..4 (4 + 16 + 64 + 256 = 340); protein 1-mers and 2-mers of the 20 amino
 * acids and 3-mers of the 7 conjoint-triad classes AGV, ILFP, YMTS, HNQW, RK, DE, C (Shen et al. 2007)
 * (20 + 400 + 343 = 763). */
int64_t cm_kmer_width(cm_molecule_type type);

/* sequence: normalised (bio/sequence.h). Window w of n covers residues [w * length / n, (w + 1) * length /
 * n). out [n, stride >= width]. */
void cm_kmer_spectrum(cm_molecule_type type, const char *sequence, int64_t length, int64_t n, float *out,
                      int64_t stride);

#endif
