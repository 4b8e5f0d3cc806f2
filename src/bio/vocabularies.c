/* The tokens of published models. */
#include "bio/vocabularies.h"

#include <stddef.h>

const char *const cm_vocabulary_esm[] = {"<cls>", "<pad>",    "<eos>",  "<unk>", "L", "A", "G", "V", "S", "E",
                                         "R",     "T",        "I",      "D",     "P", "K", "Q", "N", "F", "Y",
                                         "M",     "H",        "W",      "C",     "X", "B", "U", "Z", "O", ".",
                                         "-",     "<null_1>", "<mask>", NULL};

const char *const cm_vocabulary_rinalmo[] = {"<cls>", "<pad>", "<eos>", "<unk>", "<mask>", "A", "C", "G",
                                             "T",     "I",     "R",     "Y",     "K",      "M", "S", "W",
                                             "B",     "D",     "H",     "V",     "N",      "-", NULL};

const char *const cm_vocabulary_rnafm[] = {"<cls>",    "<pad>",    "<eos>",    "<unk>",  "A", "C", "G",
                                           "U",        "R",        "Y",        "K",      "M", "S", "W",
                                           "B",        "D",        "H",        "V",      "N", "-", "<null_1>",
                                           "<null_2>", "<null_3>", "<null_4>", "<mask>", NULL};

const char *const cm_vocabulary_rnabert[] = {"PAD", "MASK", "A", "U", "G", "C", NULL};
