/* Splitting SMILES into tokens. */
#include "bio/smiles.h"

#include <string.h>

/* "[...]" with something inside that is not ']'; 0 when there is none. close: the next ']' at or behind
 * at, NULL when there is none. */
static size_t bracket_atom(const char *at, const char *close) {
    return close != NULL && close > at + 1 ? (size_t)(close - at) + 1 : 0;
}

static int is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

/* Length of the token that begins at at[left] other than a bracket atom, 0 when none does. */
static size_t plain_token(const char *at, size_t left) {
    static const char single[] = "NOSPFIbcnosp().=#-+\\/:~@?>*$";
    if (*at == 'B') return left > 1 && at[1] == 'r' ? 2 : 1;
    if (*at == 'C') return left > 1 && at[1] == 'l' ? 2 : 1;
    if (*at == '%') return left > 2 && is_digit(at[1]) && is_digit(at[2]) ? 3 : 0;
    return is_digit(*at) || memchr(single, *at, sizeof single - 1) != NULL;
}

size_t cm_smiles_next(const char *smiles, size_t length, size_t *at, size_t *start, size_t *skipped) {
    const char *close = smiles;
    for (size_t i = *at; i < length; i++) {
        size_t token;
        if (smiles[i] == '[') {
            if (close != NULL && close <= smiles + i) close = memchr(smiles + i, ']', length - i);
            token = bracket_atom(smiles + i, close);
        } else {
            token = plain_token(smiles + i, length - i);
        }
        if (token > 0) {
            *start = i;
            *at = i + token;
            return token;
        }
        if (skipped != NULL) ++*skipped;
    }
    *at = length;
    return 0;
}

/* Columns in order; the place in this list is part of every model trained with it. */
static const char *const vocabulary[] = {
    /* organic subset and aromatic atoms */
    "C", "N", "O", "S", "P", "F", "Cl", "Br", "I", "B", "c", "n", "o", "s", "p", "b",
    /* bonds, branches, fragments */
    "(", ")", "=", "#", "-", "/", "\\", ".", ":", "+", "@",
    /* ring closures */
    "1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "%10", "%11", "%12", "%13", "%14",
    /* bracket atoms */
    "[C@H]", "[C@@H]", "[C@]", "[C@@]", "[nH]", "[O-]", "[N+]", "[NH+]", "[NH2+]", "[NH3+]", "[n+]", "[nH+]",
    "[N-]", "[n-]", "[O+]", "[o+]", "[S+]", "[s+]", "[S-]", "[S@]", "[S@@]", "[P+]", "[P@]", "[P@@]", "[N@+]",
    "[N@@+]", "[C-]", "[CH-]", "[C+]", "[CH]", "[CH2]", "[c-]", "[cH-]", "[H]", "[H+]", "[2H]", "[3H]",
    "[OH-]", "[OH]", "[NH]", "[NH2]", "[NH4+]", "[NH-]", "[Na+]", "[K+]", "[Li+]", "[Mg+2]", "[Ca+2]",
    "[Zn+2]", "[Cl-]", "[Br-]", "[I-]", "[F-]", "[B-]", "[Si]", "[Se]", "[se]", "[As]", "[Pt]", "[Fe]",
    "[Ru]"};

enum { LISTED = sizeof vocabulary / sizeof *vocabulary };

int64_t cm_smiles_vocabulary(void) {
    return LISTED + 2;
}

int64_t cm_smiles_column(const char *token, size_t length) {
    for (int64_t i = 0; i < LISTED; i++)
        if (strlen(vocabulary[i]) == length && memcmp(vocabulary[i], token, length) == 0) return i;
    return length > 1 && token[0] == '[' ? LISTED : LISTED + 1;
}
