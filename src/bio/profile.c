/* Sparse counts of molecules. */
#include "bio/profile.h"
#include "base/alloc.h"
#include "bio/chem.h"
#include "bio/sequence.h"
#include <math.h>
#include <string.h>

/* The words of a type: k residues; k 0: fingerprints. */
typedef struct words {
    int k;
    int64_t width;
} words;

static const words words_of[] = {
    [CM_RNA] = {6, 4096},
    [CM_PROTEIN] = {3, 8000},
    [CM_MOLECULE] = {0, 1024},
};

int64_t cm_profile_width(cm_molecule_type type) {
    return words_of[type].width;
}

static void count_words(const words *w, cm_molecule_type type, const char *text, int64_t length,
                        float *dense) {
    const char *residues = cm_residues(type);
    int64_t code = 0, known = 0, base = (int64_t)strlen(residues);
    for (int64_t i = 0; i < length; i++) {
        const char *at = strchr(residues, text[i]);
        known = at ? known + 1 : 0;
        code = at ? (code * base + (at - residues)) % w->width : 0;
        if (known >= w->k) dense[code]++;
    }
}

void cm_profile_measure(cm_profile *profile, cm_molecule_type type) {
    bool fingerprint = words_of[type].k == 0;
    double sum = 0;
    for (int64_t e = 0; e < profile->n; e++) {
        double count = (double)profile->count[e];
        sum += fingerprint ? count : count * count;
    }
    profile->norm = fingerprint ? sum : sqrt(sum);
}

static cm_status gather(cm_profile *profile, const float *dense, int64_t width, cm_error *error) {
    int64_t at = 0;
    for (int64_t c = 0; c < width; c++) profile->n += dense[c] != 0;
    profile->column = cm_new((size_t)profile->n, sizeof *profile->column);
    profile->count = cm_new((size_t)profile->n, sizeof *profile->count);
    if (!profile->column || !profile->count) return cm_fail_memory(error, (size_t)profile->n * 8);
    for (int64_t c = 0; c < width; c++) {
        if (dense[c] == 0) continue;
        profile->column[at] = (int32_t)c;
        profile->count[at++] = dense[c];
    }
    return CM_OK;
}

cm_status cm_profile_make(cm_profile *profile, cm_molecule_type type, const char *text, int64_t length,
                          float *dense, cm_error *error) {
    const words *w = &words_of[type];
    cm_status status = CM_OK;
    *profile = (cm_profile){0};
    if (w->k)
        count_words(w, type, text, length, dense);
    else
        status = cm_chem_morgan(text, w->width, dense, error);
    if (status == CM_OK) status = gather(profile, dense, w->width, error);
    memset(dense, 0, (size_t)w->width * sizeof *dense);
    if (status == CM_OK) cm_profile_measure(profile, type);
    return status;
}

void cm_profile_clear(cm_profile *profile) {
    cm_free(profile->column);
    cm_free(profile->count);
    *profile = (cm_profile){0};
}

void cm_profile_spread(const cm_profile *profile, float *dense) {
    for (int64_t e = 0; e < profile->n; e++) dense[profile->column[e]] = profile->count[e];
}

void cm_profile_wipe(const cm_profile *profile, float *dense) {
    for (int64_t e = 0; e < profile->n; e++) dense[profile->column[e]] = 0;
}

float cm_profile_alike(cm_molecule_type type, const float *dense, double norm, const cm_profile *other) {
    double sum = 0;
    if (norm <= 0 || other->norm <= 0) return 0;
    if (words_of[type].k) {
        for (int64_t e = 0; e < other->n; e++)
            sum += (double)dense[other->column[e]] * (double)other->count[e];
        return (float)fmin(1, sum / (norm * other->norm));
    }
    for (int64_t e = 0; e < other->n; e++) sum += (double)fminf(dense[other->column[e]], other->count[e]);
    return (float)(sum / (norm + other->norm - sum));
}
