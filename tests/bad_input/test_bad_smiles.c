/* SMILES: what is refused, and the odd ones that are accepted in a documented way, through RDKit's face, as
 * molecules of a table and through `crossmamba predict`. */
#include "bad_input.h"
#include "bad_molecules.h"

#include "bio/chem.h"
#include <crossmamba/crossmamba.h>

/* The input is one SMILES and nothing else. */
static cm_status read_smiles(const char *path, char *note, size_t size, cm_error *error) {
    static char text[1100000], out[32768];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    cm_status status = cm_chem_canonical(text, out, sizeof out, path, "m", error);
    if (status == CM_OK) snprintf(note, size, "%.100s", out);
    if (status == CM_OK && strlen(out) > 100) snprintf(note, size, "%zu characters", strlen(out));
    return status;
}

#define SMILES(name, smiles, status, says) \
    { name, smiles, 0, status, says, NULL, 0, NULL }

static const bad_row texts[] = {
    SMILES("another spelling", "OCC", CM_OK, "CCO"),
    SMILES("a ring in two ways", "C1=CC=CC=C1", CM_OK, "c1ccccc1"),
    SMILES("written hydrogens", "[H]O[H]", CM_OK, "O"),
    SMILES("a salt", "[Na+].[Cl-]", CM_OK, "[Cl-].[Na+]"),
    SMILES("ring number 100", "C%(100)CC%(100)", CM_OK, "C1CC1"),
    SMILES("a double bond with sides", "F/C=C/F", CM_OK, "F/C=C/F"),
    SMILES("a centre with a hand", "N[C@@H](C)C(=O)O", CM_OK, "C[C@H](N)C(=O)O"),
    SMILES("a mark where there is no centre is dropped", "C[C@H](C)C", CM_OK, "CC(C)C"),
    SMILES("an isotope", "[13CH4]", CM_OK, "[13CH4]"),
    SMILES("an arrow for a bond", "C->[Fe]", CM_OK, "C->[Fe]"),
    SMILES("isotope 999", "[999C]", CM_OK, "[999C]"),
    SMILES("ring bonds of two orders: the first counts", "C=1CC-1", CM_OK, "C1=CC1"),
    SMILES("nothing", "", CM_DATA, "found none (it is empty)"),
    SMILES("an open branch", "C(", CM_DATA, "found 'C(', expected a SMILES that RDKit can read"),
    SMILES("closed too often", "C)", CM_DATA, "RDKit can read"),
    SMILES("an open ring", "C1CC", CM_DATA, "RDKit can read"),
    SMILES("a percent sign alone", "%", CM_DATA, "RDKit can read"),
    SMILES("a percent sign and one digit", "C%1", CM_DATA, "RDKit can read"),
    SMILES("a ring number alone", "%(100)", CM_DATA, "RDKit can read"),
    SMILES("a ring of one atom", "C11", CM_DATA, "RDKit can read"),
    SMILES("a ring digit before the first atom", "1CC1", CM_DATA, "RDKit can read"),
    SMILES("a ring digit in a branch", "C(1)CC1", CM_DATA, ""),
    SMILES("an open bracket", "[C", CM_DATA, "RDKit can read"),
    SMILES("no element", "[Xx]", CM_DATA, "RDKit can read"),
    SMILES("empty brackets", "[]", CM_DATA, "RDKit can read"),
    SMILES("a dot alone", ".", CM_DATA, "RDKit can read"),
    SMILES("a dot first", ".C", CM_DATA, "RDKit can read"),
    SMILES("a dot last", "C.", CM_DATA, "RDKit can read"),
    SMILES("a reaction", "CC>>CO", CM_DATA, "RDKit can read"),
    SMILES("an arrow alone", "->", CM_DATA, "RDKit can read"),
    SMILES("an R group", "[R]", CM_DATA, "RDKit can read"),
    SMILES("a formula", "=SUM(A1)", CM_DATA, "RDKit can read"),
    SMILES("aromatic atoms that cannot be", "c1cccc1", CM_DATA, "kekulize"),
    SMILES("five bonds", "C(C)(C)(C)(C)C", CM_DATA, "valence"),
    SMILES("a star", "C*", CM_DATA, "an atom without element"),
    SMILES("a mapped star", "[*:1]CC", CM_DATA, "an atom without element"),
    SMILES("a name behind", "CCO ethanol", CM_DATA, "' ' at position 4, expected a SMILES alone"),
    SMILES("CXSMILES behind", "CCO |$;;R$|", CM_DATA, "' ' at position 4"),
    SMILES("a blank before", " CCO", CM_DATA, "' ' at position 1"),
    SMILES("a line end", "CCO\n", CM_DATA, "at position 4"),
    SMILES("non-ASCII", "C\xc3\xa9", CM_DATA, "at position 2"),
    SMILES("a charge of 99", "[C+99]", CM_OK, "[C+99]"),
    SMILES("a charge of 10^10", "[C+10000000000]", CM_DATA, ""),
    SMILES("an isotope of 10^10", "[10000000000C]", CM_DATA, ""),
    SMILES("element 119", "[#119]", CM_DATA, ""),
    SMILES("an element by number", "[#6]", CM_OK, "[C]"),
    SMILES("sides that contradict are dropped", "F/C=C(/F)/F", CM_OK, "FC=C(F)F"),
    SMILES("ring number %99 once", "C%99", CM_DATA, "RDKit can read"),
    SMILES("ring number %(", "C%(1", CM_DATA, "RDKit can read"),
    SMILES("ring number %(12345678901)", "C%(12345678901)CC%(12345678901)", CM_DATA, "RDKit can read"),
    SMILES("two bonds at once", "C==C", CM_DATA, "RDKit can read"),
    SMILES("a bond at the end", "C=", CM_DATA, "RDKit can read"),
    SMILES("a bond at the start", "=C", CM_DATA, "RDKit can read"),
    SMILES("an empty branch", "C()C", CM_DATA, "RDKit can read"),
    SMILES("a ring within a dot", "C1.C1", CM_OK, "CC"),
    SMILES("a tab inside", "C\tC", CM_DATA, "found '\\x09' at position 2"),
    SMILES("DEL inside", "C\x7f", CM_DATA, "found '\\x7f' at position 2"),
};

static void test_texts(void **state) {
    (void)state;
    BAD_RUN(texts, "in.smi", read_smiles);
}

/* ---- giants ---- */

/* The first part of text (up to '|') number times, then the second as often, as the one molecule of a table.
 */
static void make_giant(const bad_row *row, const char *path) {
    const char *bar = strchr(row->text, '|'), *parts[2] = {row->text, bar ? bar + 1 : ""};
    size_t length[2] = {bar ? (size_t)(bar - row->text) : strlen(row->text), strlen(parts[1])};
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("id\tsmiles\nm\t", file);
    for (int part = 0; part < 2; part++)
        for (size_t i = 0; i < row->number; i++) fwrite(parts[part], 1, length[part], file);
    fputs("\n", file);
    assert_int_equal(fclose(file), 0);
}

/* Two atoms with number bridges between them. */
static void make_bridges(const bad_row *row, const char *path) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("id\tsmiles\nm\t[Fe]", file);
    for (size_t i = 0; i < row->number; i++) fprintf(file, "(O%%(%zu))", 100 + i);
    fputs("[Fe]", file);
    for (size_t i = 0; i < row->number; i++) fprintf(file, "%%(%zu)", 100 + i);
    fputs("\n", file);
    assert_int_equal(fclose(file), 0);
}

#define GIANT(name, text, number, status, says)                                            \
    {                                                                                      \
        name, text, 0, status, says, make_giant, number,                                   \
            "predict --model rna-molecule --a examples/rna.fasta --b IN --out OUT --quiet" \
    }

/* PubChem CID 102128817: without a limit RDKit searches its rings for hours and takes 200 GB (issues 1281,
 * 1360). */
#define CAGE                                                                                  \
    "COC1=CC=C(C=C1)C2C3=C(C=CC4=CC=CC=C43)OC5=CC6=C(C=C5)C7=NC8=C9C=CC1=CC9=C(N8)N=C3C4=C5"  \
    "C=CC(=C4)OC4=C(C(C8=C(C=CC9=CC=CC=C98)OC8=CC9=C(C=C8)C8=NC9=NC9=C%10C=C(C=CC%10=C(N9)N=" \
    "C9C%10=C(C=C(C=C%10)OC%10=C2C2=CC=CC=C2C=C%10)C(=N9)NC2=NC(=N8)C8=C2C=C(C=C8)OC2=C(C(C8" \
    "=C(C=CC9=CC=CC=C98)OC8=CC9=C(C=C8)C(=NC5=N3)N=C9NC6=N7)C3=CC=C(C=C3)OC)C3=CC=CC=C3C=C2)" \
    "OC2=C(C(C3=C(O1)C=CC1=CC=CC=C13)C1=CC=C(C=C1)OC)C1=CC=CC=C1C=C2)C1=CC=C(C=C1)OC)C1=CC=C" \
    "C=C1C=C4"

static const bad_row giants[] = {
    GIANT("PubChem CID 102128817", CAGE, 1, CM_DATA, "expected a molecule that RDKit accepts"),
    GIANT("1,000 atoms", "C", 1000, CM_OK, "1 molecules"),
    GIANT("1,001 atoms", "C", 1001, CM_DATA, "record m: found 1001 atoms, expected at most 1000 atoms"),
    GIANT("5,000 atoms", "C", 5000, CM_DATA, "found 5000 atoms"),
    GIANT("5,001 characters", "C", 5001, CM_DATA,
          "found a longer one, expected a SMILES of at most 5000 characters"),
    GIANT("14,000 characters", "C", 14000, CM_DATA, "at most 5000 characters"),
    GIANT("10^6 characters", "C", 1000000, CM_DATA, "at most 5000 characters"),
    GIANT("branches 200 deep", "C(|)", 200, CM_DATA, "RDKit can read"),
    GIANT("branches 200 deep with an end", "C(C|)", 200, CM_OK, "1 molecules"),
    GIANT("branches 201 deep", "C(C|)", 201, CM_DATA,
          "found deeper ones, expected brackets at most 200 deep"),
    GIANT("branches 10^5 deep", "(", 100000, CM_DATA, "at most 5000 characters"),
    GIANT("5,000 opened branches", "(", 4999, CM_DATA, "deeper ones"),
    GIANT("square brackets", "[", 4999, CM_DATA, "deeper ones"),
    GIANT("1,000 fragments", "C.|", 999, CM_DATA, "RDKit can read"),
    GIANT("330 rings in a row", "C1CC1", 330, CM_OK, "1 molecules"),
    GIANT("330 centres", "[C@H](F)C", 330, CM_OK, "1 molecules"),
    GIANT("150 double bonds with sides", "C(/C=C/C|)", 150, CM_OK, "1 molecules"),
    GIANT("5,000 ring digits", "C1", 2500, CM_DATA, ""),
    GIANT("an atom with 16 neighbours", "[Fe]|", 1, CM_OK, "1 molecules"),
    {"two atoms with 16 bridges", NULL, 0, CM_DATA,
     "atom 1 with 17, expected at most 16 neighbours of an atom", make_bridges, 16, NULL},
    {"two atoms with 300 bridges", NULL, 0, CM_DATA, "expected at most 16 neighbours of an atom",
     make_bridges, 300, "predict --model rna-molecule --a examples/rna.fasta --b IN --out OUT --quiet"},
    {"two atoms with 15 bridges", NULL, 0, CM_OK, "1 molecules", make_bridges, 15, NULL},
};

static void test_giants(void **state) {
    (void)state;
    BAD_RUN(giants, "in.tsv", bad_read_molecules);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_texts), cmocka_unit_test(test_giants)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
