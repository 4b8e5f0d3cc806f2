/* SMILES: the tokens, and what RDKit makes of the text. RDKit runs on what the checks before it let through.
 */
#include "input.h"

#include "bio/chem.h"
#include "bio/smiles.h"
#include <stdlib.h>
#include <string.h>

static void tokens(const char *text, size_t length) {
    size_t at = 0, start = 0, skipped = 0, taken = 0, n;
    while ((n = cm_smiles_next(text, length, &at, &start, &skipped)) > 0) {
        int64_t column = cm_smiles_column(text + start, n);
        if (start + n > length || column < 0 || column >= cm_smiles_vocabulary()) abort();
        taken += n;
    }
    if (taken + skipped > length) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char canonical[8192];
    cm_error error = {0};
    cm_chem_graph graph = {0};
    float print[64];
    char *text = malloc(size + 1);
    if (!text) abort();
    memcpy(text, data, size);
    text[size] = '\0';
    fuzz_limit_memory(size);
    tokens(text, size);
    if (cm_chem_canonical(text, canonical, sizeof canonical, "input", "it", &error) == CM_OK) {
        cm_chem_morgan(text, 64, print, &error);
        cm_chem_surroundings(text, 64, print, &error);
        if (cm_chem_graph_make(&graph, text, &error) == CM_OK) {
            if (graph.n_atoms < 1 || graph.n_atoms > 1000) abort();
            fuzz_touch(graph.number, (size_t)graph.n_atoms * sizeof *graph.number);
            cm_chem_graph_clear(&graph);
        }
    }
    free(text);
    return 0;
}
