/* Normalising: every letter is spelled as documented or refused with its position. */
#include "bio/sequence.h"
#include "io/fasta.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct sequence_case {
    cm_molecule_type type;
    const char *text;
    const char *expected; /* the normalised sequence, or part of the message */
    cm_status status;
    cm_sequence_report report; /* unknown, chains, lower_case, thymine, stops */
} sequence_case;

static const sequence_case cases[] = {
    {CM_RNA, "ACGU", "ACGU", CM_OK, {0, 1, 0, 0, 0}},
    {CM_RNA, "acgtT", "ACGUU", CM_OK, {0, 1, 4, 2, 0}},
    {CM_RNA, "TUtu", "UUUU", CM_OK, {0, 1, 2, 2, 0}},
    {CM_RNA, "RYSWKMBDHVN", "NNNNNNNNNNN", CM_OK, {11, 1, 0, 0, 0}},
    {CM_RNA, "XIxi", "NNNN", CM_OK, {4, 1, 2, 0, 0}},
    {CM_RNA, "A-C.G_U", "ANCNGNU", CM_OK, {3, 1, 0, 0, 0}},
    {CM_RNA, "AC|GU|A", "AC|GU|A", CM_OK, {0, 3, 0, 0, 0}},
    {CM_PROTEIN, "ACDEFGHIKLMNPQRSTVWY", "ACDEFGHIKLMNPQRSTVWY", CM_OK, {0, 1, 0, 0, 0}},
    {CM_PROTEIN, "mkU", "MKC", CM_OK, {0, 1, 2, 0, 0}},
    {CM_PROTEIN, "OBZJXbzjx", "KXXXXXXXX", CM_OK, {8, 1, 4, 0, 0}},
    {CM_PROTEIN, "MK*", "MK", CM_OK, {0, 1, 0, 0, 1}},
    {CM_PROTEIN, "M*K**", "MXKX", CM_OK, {2, 1, 0, 0, 3}},
    {CM_PROTEIN, "M-K.L_|T", "MXKXLX|T", CM_OK, {3, 2, 0, 0, 0}},

    {CM_RNA, "", "found none (it is empty), expected a sequence", CM_DATA, {0}},
    {CM_PROTEIN, "*", "found none (it is empty)", CM_DATA, {0}},
    {CM_RNA,
     "ACGUACGUACGUACGULA",
     "'L' at position 17 (an amino acid letter), expected an RNA letter (A C G U T",
     CM_DATA,
     {0}},
    {CM_RNA, "ACe", "'e' at position 3 (an amino acid letter)", CM_DATA, {0}},
    {CM_RNA, "ACGU*", "'*' at position 5, expected an RNA letter", CM_DATA, {0}},
    {CM_RNA, "AC GU", "' ' at position 3", CM_DATA, {0}},
    {CM_RNA, "AC>GU", "'>' at position 3", CM_DATA, {0}},
    {CM_RNA, "AC\xc3\xa9", "'\\xC3' at position 3", CM_DATA, {0}},
    {CM_PROTEIN, "MK1", "'1' at position 3, expected an amino acid letter", CM_DATA, {0}},
    {CM_PROTEIN, "M?", "'?' at position 2", CM_DATA, {0}},
    {CM_RNA, "|AC", "an empty chain at position 1", CM_DATA, {0}},
    {CM_RNA, "AC||GU", "an empty chain at position 4", CM_DATA, {0}},
    {CM_RNA, "AC|", "an empty chain at position 3", CM_DATA, {0}},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sequence_case *at = &cases[i];
        char out[64] = "", line[1024];
        size_t length = 99;
        cm_sequence_report report = {.chains = -1};
        cm_error error = {.status = CM_OK};
        cm_status status = cm_sequence_normalise(at->type, at->text, strlen(at->text), out, &length, &report,
                                                 "x.fa", "id", &error);
        cm_error_line(&error, line, sizeof line);
        if (status != at->status) fail_msg("%s: status %d %s", at->text, (int)status, line);
        if (status == CM_OK) {
            assert_string_equal(out, at->expected);
            assert_int_equal(length, strlen(at->expected));
            assert_memory_equal(&report, &at->report, sizeof report);
        } else {
            assert_int_equal(length, 99);
            assert_int_equal(report.chains, -1);
            assert_string_equal(error.file, "x.fa");
            assert_string_equal(error.place, "record id");
            /* the case of hexadecimal digits is the error record's own business */
            if (strstr(line, at->expected) == NULL && strstr(at->expected, "\\x") == NULL)
                fail_msg("%s: %s", at->text, line);
        }
    }
}

static void test_limits(void **state) {
    (void)state;
    size_t length = 50000001, written = 0;
    char *text = malloc(length), *out = malloc(length + 1);
    cm_error error;
    assert_non_null(text);
    assert_non_null(out);
    memset(text, 'A', length);
    assert_int_equal(cm_sequence_normalise(CM_RNA, text, length, out, &written, NULL, NULL, NULL, &error),
                     CM_DATA);
    assert_string_equal(error.expected, "at most 50000000 residues");
    assert_string_equal(error.place, "");
    free(text);
    free(out);
}

static void test_nul_inside(void **state) {
    (void)state;
    char out[8];
    size_t written = 0;
    assert_int_equal(cm_sequence_normalise(CM_RNA, "A\0C", 3, out, &written, NULL, NULL, NULL, NULL),
                     CM_DATA);
}

static void test_names(void **state) {
    (void)state;
    assert_string_equal(cm_molecule_type_name(CM_RNA), "RNA");
    assert_string_equal(cm_molecule_type_name(CM_PROTEIN), "protein");
    assert_string_equal(cm_molecule_type_name(CM_MOLECULE), "small molecule");
}

/* Normalises every record of a file of CROSSMAMBA_DATA; counts those refused. */
static void normalise_file(const char *file, cm_molecule_type type, long *records, long *refused,
                           long *thymine, cm_error *error) {
    const char *data = getenv("CROSSMAMBA_DATA");
    if (data == NULL || *data == '\0') skip();
    char path[512];
    snprintf(path, sizeof path, "%s/%s", data, file);
    cm_fasta *fasta = NULL;
    cm_fasta_record record;
    bool more = true;
    assert_int_equal(cm_fasta_open(&fasta, path, error), CM_OK);
    while (cm_fasta_next(fasta, &record, &more, error) == CM_OK && more) {
        char *out = malloc(record.length + 1);
        size_t written = 0;
        cm_sequence_report report = {0};
        assert_non_null(out);
        ++*records;
        if (cm_sequence_normalise(type, record.sequence, record.length, out, &written, &report, path,
                                  record.name, error) != CM_OK) {
            ++*refused;
            assert_non_null(strstr(error->found, "at position"));
        }
        *thymine += report.thymine;
        free(out);
    }
    assert_false(more);
    cm_fasta_close(fasta);
}

static void test_data_rpi2241(void **state) {
    (void)state;
    long records = 0, refused = 0, thymine = 0;
    cm_error error;
    normalise_file("rpi2241/rna.fasta", CM_RNA, &records, &refused, &thymine, &error);
    assert_true(refused > 0 && refused < records);
    assert_non_null(strstr(error.found, "(an amino acid letter)"));
}

static void test_data_plant_mlnc(void **state) {
    (void)state;
    long records = 0, refused = 0, thymine = 0;
    cm_error error;
    normalise_file("plant_mlnc/rna.fasta", CM_RNA, &records, &refused, &thymine, &error);
    assert_int_equal(records, 9303);
    assert_int_equal(refused, 0);
    assert_int_equal(thymine, 1527893);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_nul_inside),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_data_rpi2241), cmocka_unit_test(test_data_plant_mlnc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
