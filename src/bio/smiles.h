/* SMILES tokens: the pattern of the MoLFormer tokenizer (IBM, molformer, finetune/tokenizer): bracket atoms,
 * Br and Cl, organic-subset atoms, bonds, branches, ring closures. */
#ifndef CM_BIO_SMILES_H
#define CM_BIO_SMILES_H

#include <stddef.h>
#include <stdint.h>

/* The next token of smiles[length] at or after *at: its start in *start, its length returned (0: no more);
 * *at moves behind it. Characters that begin no token are skipped and added to *skipped (NULL allowed). */
size_t cm_smiles_next(const char *smiles, size_t length, size_t *at, size_t *start, size_t *skipped);

/* Columns of a learnt one-hot SMILES token: a fixed list of common tokens; the last two columns are "other
 * bracket atom" and "other". */
int64_t cm_smiles_vocabulary(void);
/* The column of a token. */
int64_t cm_smiles_column(const char *token, size_t length);

#endif
