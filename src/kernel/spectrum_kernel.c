/* Spectrum kernels (Leslie, Eskin and Noble 2002): square roots of the counts of words, so that a repeat does
 * not drown the rest. Words over groups of residues see through exchanges of similar ones; pairs of residues
 * with a gap between them see order beyond neighbours. A word with a residue that is in no group (unknown,
 * chain break, SMILES characters beyond the common ones) is not counted. */
#include "kernel/molecule_kernel.h"
#include <math.h>
#include <string.h>

enum { NO_GROUP = 255 };

/* digit[byte]; the number of groups. */
static int fill_digits(const char *groups, uint8_t digit[256]) {
    uint8_t group = 0;
    memset(digit, NO_GROUP, 256);
    for (const char *at = groups; *at != '\0'; at++) {
        if (*at == ' ')
            group++;
        else
            digit[(unsigned char)*at] = group;
    }
    return group + 1;
}

static void count_words(const cm_molecule_kernel *kernel, const cm_kernel_molecule *molecule, float *out) {
    const char *text = molecule->text;
    int64_t length = molecule->length;
    uint8_t digit[256];
    int64_t base = fill_digits(kernel->groups, digit), code = 0;
    int known = 0;
    for (int64_t i = 0; i < length; i++) {
        uint8_t d = digit[(unsigned char)text[i]];
        known = d == NO_GROUP ? 0 : known + 1;
        if (known == 0) continue;
        code = (code * base + d) % kernel->width;
        if (known >= kernel->length) out[code]++;
    }
}

/* Column (gap, first, second). */
static void count_gapped_pairs(const cm_molecule_kernel *kernel, const cm_kernel_molecule *molecule,
                               float *out) {
    const char *text = molecule->text;
    int64_t length = molecule->length;
    uint8_t digit[256];
    int64_t base = fill_digits(kernel->groups, digit);
    for (int64_t gap = 0; gap <= kernel->gap; gap++)
        for (int64_t i = 0; i + gap + 1 < length; i++) {
            uint8_t first = digit[(unsigned char)text[i]], second = digit[(unsigned char)text[i + gap + 1]];
            if (first != NO_GROUP && second != NO_GROUP) out[(gap * base + first) * base + second]++;
        }
}

/* Column (part of the text in which the word starts, word). */
static void count_words_by_part(const cm_molecule_kernel *kernel, const cm_kernel_molecule *molecule,
                                float *out) {
    const char *text = molecule->text;
    int64_t length = molecule->length;
    uint8_t digit[256];
    int64_t base = fill_digits(kernel->groups, digit), words = kernel->width / kernel->parts, code = 0;
    int known = 0;
    for (int64_t i = 0; i < length; i++) {
        uint8_t d = digit[(unsigned char)text[i]];
        known = d == NO_GROUP ? 0 : known + 1;
        if (known == 0) continue;
        code = (code * base + d) % words;
        if (known < kernel->length) continue;
        int64_t part = (i + 1 - kernel->length) * kernel->parts / length;
        out[part * words + code]++;
    }
}

#define NUCLEOTIDES "A C G U"
#define AMINO_ACIDS "A C D E F G H I K L M N P Q R S T V W Y"
#define TRIAD_CLASSES "AGV ILFP YMTS HNQW RK DE C"  /* Shen et al. 2007 */
#define TEN_CLASSES "LVIM C A G ST P FYW EDNQ KR H" /* Murphy, Wallqvist and Levy 2000 */
#define SMILES_CHARACTERS "C c N n O o S s P F l B r I ( ) [ ] = # + - @ 1 2 3 4 5 / H"

#define WORDS(symbol, type, letters, word, columns, seen_as, text) \
    const cm_molecule_kernel cm_kernel_##symbol = {                \
        .name = #symbol,                                           \
        .help = text,                                              \
        .types = 1u << (type),                                     \
        .grain = (seen_as),                                        \
        .width = (columns),                                        \
        .groups = letters,                                         \
        .length = (word),                                          \
        .features = count_words,                                   \
        .value = sqrtf,                                            \
    }

extern const cm_molecule_kernel cm_kernel_rna3, cm_kernel_rna4, cm_kernel_rna5, cm_kernel_rna6,
    cm_kernel_protein1, cm_kernel_protein2, cm_kernel_protein3, cm_kernel_triads, cm_kernel_gapped,
    cm_kernel_gapped_classes, cm_kernel_rna_quarters, cm_kernel_smiles1, cm_kernel_smiles2, cm_kernel_smiles3;

WORDS(rna3, CM_RNA, NUCLEOTIDES, 3, 64, CM_KERNEL_COARSE, "3-mers of RNA");
WORDS(rna4, CM_RNA, NUCLEOTIDES, 4, 256, CM_KERNEL_COARSE | CM_KERNEL_FINE, "4-mers of RNA");
WORDS(rna5, CM_RNA, NUCLEOTIDES, 5, 1024, CM_KERNEL_FINE, "5-mers of RNA");
WORDS(rna6, CM_RNA, NUCLEOTIDES, 6, 4096, CM_KERNEL_FINE, "6-mers of RNA");
WORDS(protein1, CM_PROTEIN, AMINO_ACIDS, 1, 20, CM_KERNEL_COARSE, "amino acids");
WORDS(protein2, CM_PROTEIN, AMINO_ACIDS, 2, 400, CM_KERNEL_COARSE | CM_KERNEL_FINE, "2-mers of protein");
WORDS(triads, CM_PROTEIN, TRIAD_CLASSES, 3, 343, CM_KERNEL_COARSE, "3-mers of 7 classes of amino acids");
WORDS(protein3, CM_PROTEIN, TEN_CLASSES, 3, 1000, CM_KERNEL_FINE, "3-mers of 10 classes of amino acids");
WORDS(smiles1, CM_MOLECULE, SMILES_CHARACTERS, 1, 30, CM_KERNEL_COARSE, "SMILES characters");
WORDS(smiles2, CM_MOLECULE, SMILES_CHARACTERS, 2, 900, CM_KERNEL_COARSE, "2-mers of SMILES characters");
WORDS(smiles3, CM_MOLECULE, SMILES_CHARACTERS, 3, 27000, CM_KERNEL_COARSE, "3-mers of SMILES characters");

const cm_molecule_kernel cm_kernel_gapped = {
    .name = "gapped",
    .help = "pairs of amino acids with 0 to 7 residues between them",
    .types = 1u << CM_PROTEIN,
    .grain = CM_KERNEL_FINE,
    .width = 3200,
    .groups = AMINO_ACIDS,
    .gap = 7,
    .features = count_gapped_pairs,
    .value = sqrtf,
};

const cm_molecule_kernel cm_kernel_gapped_classes = {
    .name = "gapped-classes",
    .help = "pairs of 7 classes of amino acids with 0 to 15 residues between them",
    .types = 1u << CM_PROTEIN,
    .grain = CM_KERNEL_COARSE,
    .width = 784,
    .groups = TRIAD_CLASSES,
    .gap = 15,
    .features = count_gapped_pairs,
    .value = sqrtf,
};

const cm_molecule_kernel cm_kernel_rna_quarters = {
    .name = "rna-quarters",
    .help = "3-mers of the four quarters of an RNA",
    .types = 1u << CM_RNA,
    .grain = CM_KERNEL_COARSE,
    .width = 256,
    .groups = NUCLEOTIDES,
    .length = 3,
    .parts = 4,
    .features = count_words_by_part,
    .value = sqrtf,
};
