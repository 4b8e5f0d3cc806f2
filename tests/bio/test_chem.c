/* Chemistry: fingerprints, graphs, and that the molecules of published tables are read. The table of SMILES
 * that are read and refused is tests/bad_input/test_bad_smiles.c. */
#include "bio/chem.h"
#include "bio/smiles.h"
#include "io/table.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fail_alloc.h"

static void test_output_size(void **state) {
    (void)state;
    char out[4] = "";
    cm_error error;
    assert_int_equal(cm_chem_canonical("OCC", out, 4, NULL, NULL, &error), CM_OK);
    assert_int_equal(cm_chem_canonical("OCCC", out, 4, NULL, NULL, &error), CM_DATA);
    assert_string_equal(error.expected, "a canonical SMILES below 4 characters");
    assert_string_equal(out, "CCO");
}

static void test_version(void **state) {
    (void)state;
    assert_true(strlen(cm_chem_version()) >= 4);
}

/* Methane has one environment at radius 0 and none beyond; every spelling gives the same columns. */
static void test_morgan(void **state) {
    (void)state;
    float methane[1024], a[1024], b[1024];
    double sum = 0;
    assert_int_equal(cm_chem_morgan("C", 1024, methane, NULL), CM_OK);
    for (int i = 0; i < 1024; i++) sum += (double)methane[i];
    assert_true(sum == (double)logf(2));
    assert_int_equal(cm_chem_morgan("CC(=O)Oc1ccccc1C(=O)O", 1024, a, NULL), CM_OK);
    assert_int_equal(cm_chem_morgan("OC(=O)C1=CC=CC=C1OC(C)=O", 1024, b, NULL), CM_OK);
    assert_memory_equal(a, b, sizeof a);
    sum = 0;
    for (int i = 0; i < 1024; i++) sum += expm1((double)a[i]);
    assert_true(sum > 25 && sum < 40);
    /* ethane: the carbon environment twice at radius 0, the bond once at radius 1 */
    float ethane[8];
    sum = 0;
    assert_int_equal(cm_chem_morgan("CC", 8, ethane, NULL), CM_OK);
    for (int i = 0; i < 8; i++) sum += expm1((double)ethane[i]);
    assert_true(fabs(sum - 3) < 1e-5);
}

static void test_morgan_refuses(void **state) {
    (void)state;
    float out[16];
    cm_error error;
    assert_int_equal(cm_chem_morgan("C(", 16, out, &error), CM_DATA);
    assert_int_equal(cm_chem_morgan("c1cccc1", 16, out, &error), CM_DATA);
}

static cm_chem_graph graph_of(const char *smiles) {
    cm_chem_graph graph;
    cm_error error;
    if (cm_chem_graph_make(&graph, smiles, &error) != CM_OK) fail_msg("%s: %s", smiles, error.found);
    return graph;
}

static void expect_values(const int32_t *found, const char *expected) {
    for (int i = 0; expected[i] != '\0'; i++) assert_int_equal(found[i], expected[i] - '0');
}

/* Atoms in the order of the text, each bond as two edges, the marks of stereochemistry kept. */
static void test_graph(void **state) {
    (void)state;
    cm_chem_graph graph = graph_of("F/C=C/C#N");
    assert_int_equal(graph.n_atoms, 5);
    assert_int_equal(graph.n_edges, 8);
    expect_values(graph.number, "96667");
    expect_values(graph.chirality, "00000");
    expect_values(graph.from, "01122334");
    expect_values(graph.to, "10213243");
    expect_values(graph.bond, "00110022");
    expect_values(graph.direction, "11001100");
    cm_chem_graph_clear(&graph);
    assert_null(graph.number);
    graph = graph_of("N[C@@H](C)C(=O)O");
    expect_values(graph.chirality, "010000");
    cm_chem_graph_clear(&graph);
    graph = graph_of("N[C@H](C)C(=O)O");
    expect_values(graph.chirality, "020000");
    cm_chem_graph_clear(&graph);
    graph = graph_of("c1ccccc1.[Cl-]");
    assert_int_equal(graph.n_atoms, 7);
    assert_int_equal(graph.number[6], 17);
    assert_int_equal(graph.n_edges, 12);
    expect_values(graph.bond, "333333333333");
    cm_chem_graph_clear(&graph);
    graph = graph_of("[H]O[H]");
    assert_int_equal(graph.n_atoms, 1);
    assert_int_equal(graph.n_edges, 0);
    cm_chem_graph_clear(&graph);
}

static void test_graph_refuses(void **state) {
    (void)state;
    static const struct {
        const char *smiles, *found;
    } refused[] = {{"", "none"},
                   {"C(", "'C('"},
                   {"C*", "without element"},
                   {"c1cccc1", "kekulize"},
                   {"C->[Fe]", "another between atoms 1 and 2"},
                   {"CCO name", "position 4"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        cm_chem_graph graph;
        cm_error error;
        assert_int_equal(cm_chem_graph_make(&graph, refused[i].smiles, &error), CM_DATA);
        assert_null(graph.number);
        assert_int_equal(graph.n_atoms, 0);
        if (strstr(error.found, refused[i].found) == NULL) fail_msg("%s: %s", refused[i].smiles, error.found);
    }
    cm_chem_graph graph;
    fail_alloc_from(0);
    cm_status made = cm_chem_graph_make(&graph, "CC", NULL);
    assert_true(fail_alloc_stop());
    assert_int_equal(made, CM_MEMORY);
    assert_null(graph.number);
}

/* RDKit's own messages stay off both standard streams. */
static void test_silent(void **state) {
    (void)state;
    char path[] = P_tmpdir "/cm_test_XXXXXX";
    int fd = mkstemp(path), saved_out = dup(1), saved_err = dup(2);
    assert_true(fd >= 0);
    fflush(stdout);
    fflush(stderr);
    dup2(fd, 1);
    dup2(fd, 2);
    cm_chem_canonical("C(", NULL, 0, NULL, NULL, NULL);
    cm_chem_canonical("c1cccc1", NULL, 0, NULL, NULL, NULL);
    fflush(stdout);
    fflush(stderr);
    dup2(saved_out, 1);
    dup2(saved_err, 2);
    close(saved_out);
    close(saved_err);
    off_t written = lseek(fd, 0, SEEK_END);
    close(fd);
    unlink(path);
    assert_int_equal(written, 0);
}

/* The molecules of a table of CROSSMAMBA_DATA are read, but for those with impossible valences or aromatic
 * atoms outside rings, which are refused with RDKit's reason. The canonical form is a fixed point, and nearly
 * all of its tokens have a column of their own. */
static void canonicalise_file(const char *file, long expected, long bad) {
    const char *data = getenv("CROSSMAMBA_DATA");
    if (data == NULL || *data == '\0') skip();
    char path[512], out[8192], again[8192];
    cm_table *table = NULL;
    cm_error error;
    bool more = true;
    int column = -1;
    long count = 0, refused = 0, tokens = 0, rare = 0;
    snprintf(path, sizeof path, "%s/%s", data, file);
    assert_int_equal(cm_table_open(&table, path, &error), CM_OK);
    assert_int_equal(cm_table_require(table, "smiles", &column, &error), CM_OK);
    for (; cm_table_next(table, &more, &error) == CM_OK && more; count++) {
        const char *smiles = cm_table_cell(table, column);
        if (cm_chem_canonical(smiles, out, sizeof out, path, "", &error) != CM_OK) {
            assert_non_null(
                strstr(error.found, strstr(error.found, "valence") != NULL ? "valence" : "aromatic"));
            refused++;
            continue;
        }
        assert_int_equal(cm_chem_canonical(out, again, sizeof again, path, "", &error), CM_OK);
        assert_string_equal(out, again);
        size_t at = 0, start = 0, token, skipped = 0;
        while ((token = cm_smiles_next(out, strlen(out), &at, &start, &skipped)) > 0) {
            tokens++;
            rare += cm_smiles_column(out + start, token) >= cm_smiles_vocabulary() - 2;
        }
        assert_int_equal(skipped, 0);
    }
    assert_false(more);
    assert_int_equal(count, expected);
    assert_int_equal(refused, bad);
    assert_true(rare * 1000 < tokens);
    cm_table_close(table);
}

static void test_data_rsim(void **state) {
    (void)state;
    canonicalise_file("rsim/molecules.tsv", 792, 10);
}

static void test_data_davis(void **state) {
    (void)state;
    canonicalise_file("dti_davis/molecules.tsv", 68, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_size), cmocka_unit_test(test_version),
        cmocka_unit_test(test_morgan),      cmocka_unit_test(test_morgan_refuses),
        cmocka_unit_test(test_graph),       cmocka_unit_test(test_graph_refuses),
        cmocka_unit_test(test_silent),      cmocka_unit_test(test_data_rsim),
        cmocka_unit_test(test_data_davis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
