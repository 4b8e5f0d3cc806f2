/* The table of pair encoders. */
#include "encoders/pair_encoder.h"
#include <string.h>

#define X(symbol) extern const cm_pair_encoder cm_pair_encoder_##symbol;
#include "encoders/pair_encoders.def"

static const cm_pair_encoder *const rows[] = {
#define X(symbol) &cm_pair_encoder_##symbol,
#include "encoders/pair_encoders.def"
};
enum { N_ROWS = sizeof rows / sizeof *rows };

int cm_pair_encoder_row(int i, cm_table_row *row) {
    if (i < 0 || i >= N_ROWS) return 0;
    *row = (cm_table_row){rows[i]->name, rows[i]->help};
    return 1;
}

cm_status cm_pair_encoder_find(const cm_pair_encoder **encoder, const char *name, cm_molecule_type a,
                               cm_molecule_type b, cm_error *error) {
    *encoder = NULL;
    if (strcmp(name, "none") == 0) return CM_OK;
    bool automatic = strcmp(name, "auto") == 0;
    for (int i = 0; i < N_ROWS && *encoder == NULL; i++)
        if ((automatic || strcmp(rows[i]->name, name) == 0) && rows[i]->a == a && rows[i]->b == b)
            *encoder = rows[i];
    if (*encoder != NULL || automatic) return CM_OK;
    return cm_fail(error, CM_USAGE, NULL, "pair encoder", "auto, none, or duplex for two RNAs",
                   "'%s' for %s and %s", name, cm_molecule_type_name(a), cm_molecule_type_name(b));
}
