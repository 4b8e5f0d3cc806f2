/* Agreement of a precision with f32: the cosine similarity of every token of a built-in probe set. */
#include "base/alloc.h"
#include "encoders/pretrained_state.h"
#include <math.h>
#include <string.h>

/* Made up, with every letter of the alphabets in varied company; short, so that a probe costs little. */
static const char *const protein_probes[] = {
    "MKRWYHDNEQSTGPAVILCFMKKLLPTAAAGLLLLAAQPAMAEDYGQW", "GSHMACDEFGHIKLMNPQRSTVWYYWVTSRQPNMLKIHGFEDCA",
    "MSSGSSGRRPPPPEEEEDDKKRKRKGGFGGRGGFNNQQYYSSWHCTVI", "MADQLTEEQIAEFKEAFSLFDKDGDGTITTKELGTVMRSLGQNP", NULL};
static const char *const rna_probes[] = {"GGGAAACGCUUCAUAUAAUCCUAAUGAUAUGGUUUGGGAGUUUCUACCAAGAGCC",
                                         "ACGUACGUUGCAUGCAAAAAAAAGGGGGGGCCCCCCCCUUUUUUUUNACGGU",
                                         "GCGGAUUUAGCUCAGUUGGGAGAGCGCCAGACUGAAGAUCUGGAGGUCCUGUGUUCG", NULL};
static const char *const molecule_probes[] = {"CC(=O)Oc1ccccc1C(=O)O",
                                              "CN1C=NC2=C1C(=O)N(C)C(=O)N2C",
                                              "C[C@@H](N)C(=O)N[C@H](CS)C(=O)O",
                                              "F/C(Cl)=C\\c1ccc(Br)cc1",
                                              "O=S(=O)(N1CCOCC1)c1ccc2[nH]ccc2c1",
                                              "C#CCOP(=O)(O)OCC1OC(O)C(O)C1O",
                                              "[Na+].[O-]C(=O)CI",
                                              NULL};

static const char *const *probe_set(const cm_family *family) {
    if (family->tokenizer == NULL) return molecule_probes;
    switch (family->tokenizer->kind) {
    case CM_TOKENIZER_ESM:
        return protein_probes;
    case CM_TOKENIZER_RNA:
    case CM_TOKENIZER_LETTERS:
        return rna_probes;
    case CM_TOKENIZER_SMILES:
    case CM_TOKENIZER_BPE:
        break;
    }
    return molecule_probes;
}

enum { MAX_PROBES = 8 };

cm_status cm_probe_run(cm_probe *probe, cm_pretrained *p, cm_error *error) {
    const char *const *texts = probe_set(p->family);
    int64_t lengths[MAX_PROBES], tokens[MAX_PROBES], n = 0, rows = 0;
    for (; texts[n] != NULL; n++) {
        lengths[n] = (int64_t)strlen(texts[n]);
        /* a model for shorter inputs is probed with what it can take */
        for (;; lengths[n]--) {
            tokens[n] = p->engine->tokens(p->state, texts[n], lengths[n], NULL);
            if (p->longest == 0 || tokens[n] <= p->longest || lengths[n] == 0) break;
        }
        rows += tokens[n] > 0 ? tokens[n] : 0;
    }
    size_t floats;
    if (!cm_size_mul((size_t)rows, (size_t)p->width, &floats)) return cm_fail_memory(error, SIZE_MAX);
    *probe = (cm_probe){rows, p->width, cm_new(floats, sizeof(float))};
    if (probe->values == NULL) return cm_fail_memory(error, floats * sizeof(float));
    float *out[MAX_PROBES], *at = probe->values;
    for (int64_t i = 0; i < n; i++) {
        out[i] = at;
        at += (tokens[i] > 0 ? tokens[i] : 0) * p->width;
    }
    return p->engine->run(p->state, p->team, p->layer, n, texts, lengths, out, error);
}

void cm_probe_clear(cm_probe *probe) {
    cm_free(probe->values);
    *probe = (cm_probe){0};
}

/* Of two rows of zeros it is 1; what is not a number counts as disagreement. */
static double cosine(const float *a, const float *b, int64_t width) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t c = 0; c < width; c++) {
        ab += (double)a[c] * (double)b[c];
        aa += (double)a[c] * (double)a[c];
        bb += (double)b[c] * (double)b[c];
    }
    if (aa == 0 && bb == 0) return 1;
    double value = ab / sqrt(aa * bb);
    return isfinite(value) ? value : -1;
}

cm_status cm_probe_compare(const cm_probe *exact, const cm_probe *other, cm_precision_report *report,
                           cm_error *error) {
    if (exact->rows != other->rows || exact->width != other->width)
        return cm_fail(error, CM_USAGE, NULL, NULL, "two precisions of one checkpoint", "two checkpoints");
    double least = 1, sum = 0;
    for (int64_t i = 0; i < exact->rows; i++) {
        double value =
            cosine(exact->values + i * exact->width, other->values + i * other->width, exact->width);
        least = fmin(least, value);
        sum += value;
    }
    *report = (cm_precision_report){least, exact->rows > 0 ? sum / (double)exact->rows : 1, exact->rows};
    return CM_OK;
}

cm_status cm_pretrained_compare(cm_pretrained *exact, cm_pretrained *other, cm_precision_report *report,
                                cm_error *error) {
    if (strcmp(exact->sha256, other->sha256) != 0 || exact->layer != other->layer)
        return cm_fail(error, CM_USAGE, NULL, NULL, "two precisions of one checkpoint and layer", "%s and %s",
                       exact->id, other->id);
    cm_probe a = {0}, b = {0};
    cm_status status = cm_probe_run(&a, exact, error);
    if (status == CM_OK) status = cm_probe_run(&b, other, error);
    if (status == CM_OK) status = cm_probe_compare(&a, &b, report, error);
    cm_probe_clear(&a);
    cm_probe_clear(&b);
    return status;
}
