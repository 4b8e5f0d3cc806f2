/* TSV and CSV: what is refused, and the odd ones that are accepted in a documented way, through the reader,
 * as pairs with labels, as molecules, and through the program. */
#include "bad_input.h"
#include "bad_molecules.h"

#include "io/table.h"
#include <crossmamba/crossmamba.h>

/* ---- tables ---- */

/* All rows as "line:cell|cell|cell|", the first 400 bytes of them. */
static cm_status read_rows(const char *path, char *note, size_t size, cm_error *error) {
    cm_table *table = NULL;
    bool more = true;
    size_t used = 0;
    cm_status status = cm_table_open(&table, path, error);
    if (status != CM_OK) return status;
    while ((status = cm_table_next(table, &more, error)) == CM_OK && more) {
        if (used > 400) continue;
        used += (size_t)snprintf(note + used, size - used, "%ld:", cm_table_line(table));
        for (int c = 0; c < 3; c++)
            used += (size_t)snprintf(note + used, size - used, "%.20s|", cm_table_cell(table, c));
    }
    cm_table_close(table);
    return status;
}

/* text, then number bytes of 'x' (size of them a line; 0: one line). */
static void make_long(const bad_row *row, const char *path) {
    char *block = malloc(1 << 20);
    assert_non_null(block);
    memset(block, 'x', 1 << 20);
    for (size_t i = row->size; row->size && i < 1 << 20; i += row->size) block[i] = '\n';
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(row->text, file);
    for (size_t left = row->number; left > 0;) {
        size_t n = left < 1 << 20 ? left : 1 << 20;
        fwrite(block, 1, n, file);
        left -= n;
    }
    assert_int_equal(fclose(file), 0);
    free(block);
}

/* text and behind it a hole of number bytes: a line of a gigabyte that takes no disk. */
static void make_hole(const bad_row *row, const char *path) {
    bad_write(path, row->text, strlen(row->text));
    assert_int_equal(truncate(path, (off_t)(strlen(row->text) + row->number)), 0);
}

/* A header of number columns and a row of as many cells. */
static void make_columns(const bad_row *row, const char *path) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (size_t c = 0; c < row->number; c++) fprintf(file, "%sc%zu", c ? "\t" : "", c);
    for (size_t c = 0; c < row->number; c++) fputs(c ? "\tx" : "\nx", file);
    assert_int_equal(fclose(file), 0);
}

#define PREDICT                                                                                           \
    "predict --model rna-protein --a examples/rna.fasta --b examples/protein.fasta --pairs IN --out OUT " \
    "--quiet"
enum { LINE = 16 << 20 };

static const bad_row tables[] = {
    {"tsv", "a\tb\tc\n1\t2\t3\n", 0, CM_OK, "2:1|2|3|", NULL, 0, NULL},
    {"csv", "a,b,c\n1,2,3\n", 0, CM_OK, "2:1|2|3|", NULL, 0, NULL},
    {"one column", "a\nx\ny\n", 0, CM_OK, "2:x|||3:y|||", NULL, 0, NULL},
    {"header alone", "a\tb\n", 0, CM_OK, "", NULL, 0, NULL},
    {"no final newline", "a\tb\n1\t2", 0, CM_OK, "2:1|2||", NULL, 0, NULL},
    {"CRLF", "a\tb\r\n1\t2\r\n", 0, CM_OK, "2:1|2||", NULL, 0, NULL},
    {"CR at the end of the file", "a\tb\n1\t2\r", 0, CM_OK, "2:1|2||", NULL, 0, NULL},
    {"byte order mark",
     "\xef\xbb\xbf"
     "a\tb\n1\t2\n",
     0, CM_OK, "2:1|2||", NULL, 0, NULL},
    {"blank lines", "\n\na\tb\n\n1\t2\n\r\n\n3\t4\n\n", 0, CM_OK, "5:1|2||8:3|4||", NULL, 0, NULL},
    {"empty cells", "a\tb\tc\n\t\t\n", 0, CM_OK, "2:|||", NULL, 0, NULL},
    {"UTF-8 stays", "a\tb\n\xc3\xa9\t2\n", 0, CM_OK, "2:\xc3\xa9|2||", NULL, 0, NULL},
    {"comma in tsv", "a\tb\n1,5\t2\n", 0, CM_OK, "2:1,5|2||", NULL, 0, NULL},
    {"quote in tsv", "a\tb\n\"1\t2\n", 0, CM_OK, "2:\"1|2||", NULL, 0, NULL},
    {"csv quotes", "a,b\n\"x,\"\"y\"\"\",2\n", 0, CM_OK, "2:x,\"y\"|2||", NULL, 0, NULL},
    {"csv quoted newline", "a,b\n\"x\r\ny\",2\n3,4\n", 0, CM_OK, "2:x\ny|2||4:3|4||", NULL, 0, NULL},
    {"csv quoted tab", "a,b\n\"x\ty\",2\n", 0, CM_OK, "2:x\ty|2||", NULL, 0, NULL},
    {"csv quoted empty", "a,b\n\"\",\n", 0, CM_OK, "2:|||", NULL, 0, NULL},
    {"csv quoted header", "\"a\",\"b\"\n1,2\n", 0, CM_OK, "2:1|2||", NULL, 0, NULL},
    {"formula cells stay", "a,b\n=1,@x\n", 0, CM_OK, "2:=1|@x||", NULL, 0, NULL},

    {"empty file", "", 0, CM_DATA, "expected a header line", NULL, 0, PREDICT},
    {"only blank lines", "\n\r\n\n", 0, CM_DATA, "expected a header line", NULL, 0, PREDICT},
    {"only a byte order mark", "\xef\xbb\xbf", 0, CM_DATA, "expected a header line", NULL, 0, PREDICT},
    {"duplicate column", "a\tb\ta\n", 0, CM_DATA, "line 1: found a second column 'a'", NULL, 0, PREDICT},
    {"short row", "a\tb\tc\n1\t2\t3\n\n1\t2\n", 0, CM_DATA, "line 4: found 2, expected 3 cells", NULL, 0,
     NULL},
    {"long row", "a\tb\n1\t2\t3\n", 0, CM_DATA, "line 2: found 3, expected 2 cells", NULL, 0, NULL},
    {"short csv row", "a,b\n1\n", 0, CM_DATA, "line 2: found 1, expected 2 cells", NULL, 0, NULL},
    {"NUL", "a\tb\n1\t\0\n", 8, CM_DATA, "line 2: found a NUL byte", NULL, 0, NULL},
    {"NUL in the header", "a\0b\n", 4, CM_DATA, "line 1: found a NUL byte", NULL, 0, PREDICT},
    {"UTF-16 LE",
     "\xff\xfe"
     "a\0\n\0",
     6, CM_DATA, "UTF-16", NULL, 0, PREDICT},
    {"UTF-16 BE", "\xfe\xff\0a\0\n", 6, CM_DATA, "UTF-16", NULL, 0, PREDICT},
    {"UTF-16 without mark", "a\0\t\0b\0\n\0", 8, CM_DATA, "UTF-16", NULL, 0, PREDICT},
    {"CR only", "a\tb\r1\t2\r", 0, CM_DATA, "line 1: found a carriage return", NULL, 0, PREDICT},
    {"unclosed quote", "a,b\n1,2\n\"3,4\n5,6\n", 0, CM_DATA, "line 3: found a quote that is never closed",
     NULL, 0, NULL},
    {"quote inside", "a,b\n5\" primer,2\n", 0, CM_DATA, "line 2: found a quote inside", NULL, 0, NULL},
    {"text behind quote", "a,b\n1,2\n\"3\"x,4\n", 0, CM_DATA, "line 3: found text behind a closing quote",
     NULL, 0, NULL},
    {"bad quotes on a later line", "a,b\n\"1\n2\"x,4\n", 0, CM_DATA, "line 3: found text behind", NULL, 0,
     NULL},
    {"NUL in a quoted cell", "a,b\n\"1\n\0\",4\n", 12, CM_DATA, "line 3: found a NUL byte", NULL, 0, NULL},
    {"tiny gzip", "\x1f\x8b\x08", 0, CM_DATA, "cut short", NULL, 0, PREDICT},
    /* long and many */
    {"a line of 16 MiB", "a\n", 0, CM_OK, "2:xxxxxxxxxxxxxxxxxxxx|||", make_long, LINE, NULL},
    {"a line of 16 MiB and a byte", "id_a\tid_b\n", 0, CM_DATA,
     "line 2: found a longer line, expected a line of at most 16 MiB", make_long, LINE + 1, PREDICT},
    {"a line of 1 GB", "id_a\tid_b\n", 0, CM_DATA, "line 2: found a longer line", make_hole, 1000000000,
     PREDICT},
    {"a header of 1 GB", "a", 0, CM_DATA, "line 1: found a longer line", make_hole, 1000000000, PREDICT},
    {"an open quote over 15 MB", "id_a,id_b\n\"", 1000, CM_DATA, "line 2: found a quote that is never closed",
     make_long, 15 << 20, PREDICT},
    {"an open quote over 40 MB", "id_a,id_b\n\"", 1000, CM_DATA,
     "line 2: found a longer row (is a quote left open?)", make_long, 40 << 20, PREDICT},
    {"10,000 columns", NULL, 0, CM_OK, "2:x|x|x|", make_columns, 10000, NULL},
    {"10,001 columns", NULL, 0, CM_DATA, "line 1: found more columns, expected at most 10000", make_columns,
     10001, PREDICT},
    /* what is no file */
    {"a folder", NULL, 0, CM_IO, "found a directory, expected a regular file", bad_make_folder, 0, PREDICT},
    {"a FIFO", NULL, 0, CM_IO, "found a FIFO, expected a regular file, or \"-\"", bad_make_fifo, 0, PREDICT},
    {"/dev/zero", "/dev/zero", 0, CM_IO, "found a device", bad_make_link, 0, PREDICT},
    {"a link to nothing", "nothing", 0, CM_IO, "cannot open", bad_make_link, 0, PREDICT},
};

static void test_tables(void **state) {
    (void)state;
    BAD_RUN(tables, "in.tsv", read_rows);
}

/* ---- pairs with labels ---- */

static cm_status read_pairs(const char *task, const char *a, const char *b, const char *pairs, char *note,
                            size_t size, cm_error *error) {
    char path[2][512];
    const char *root = getenv("CROSSMAMBA_SOURCE");
    cm_dataset_options options = {.task = cm_task_find(task), .labels = 1};
    cm_dataset *dataset = NULL;
    snprintf(path[0], sizeof path[0], "%s/examples/%s", root ? root : ".", a);
    snprintf(path[1], sizeof path[1], "%s/examples/%s", root ? root : ".", b);
    cm_status status = cm_dataset_create(&dataset, &options, error);
    if (status == CM_OK) status = cm_dataset_add_files(dataset, path[0], path[1], pairs, NULL, error);
    if (status == CM_OK) snprintf(note, size, "%ld pairs", cm_dataset_pairs(dataset));
    cm_dataset_destroy(dataset);
    return status;
}

static cm_status read_binary(const char *path, char *note, size_t size, cm_error *error) {
    return read_pairs("rna-protein", "rna.fasta", "protein.fasta", path, note, size, error);
}

static cm_status read_affinities(const char *path, char *note, size_t size, cm_error *error) {
    return read_pairs("rna-molecule", "rna.fasta", "molecules.tsv", path, note, size, error);
}

#define TRAIN(task, b)                                                                 \
    "train --task " task " --predictor network --a examples/rna.fasta --b examples/" b \
    " --pairs IN --model OUT --dim 8 --layers 1 --epochs 1 --validation 0 --quiet"
#define HEADER "id_a\tid_b\tlabel\n"
#define YES "MS2-operator\tMS2-coat\t1\n"
#define NO "U1-SL2\tMS2-coat\t0\n"
#define PAIRS(name, text, status, says) \
    { name, text, sizeof text - 1, status, says, NULL, 0, TRAIN("rna-protein", "protein.fasta") }
#define ONE(name, label, says) PAIRS(name, HEADER YES "U1-SL2\tMS2-coat\t" label "\n", CM_DATA, says)

static const bad_row binary[] = {
    PAIRS("as it should be", HEADER YES NO, CM_OK, "2 pairs"),
    PAIRS("other order of columns",
          "x\tlabel\tid_b\tid_a\n7\t1\tMS2-coat\tMS2-operator\n7\t0\tlysozyme\tMS2-operator\n", CM_OK,
          "2 pairs"),
    PAIRS("CSV with CRLF, quotes and a byte order mark",
          "\xef\xbb\xbfid_a,id_b,label\r\n\"MS2-operator\",MS2-coat,1\r\nU1-SL2,\"MS2-coat\",0.0\r\n", CM_OK,
          "2 pairs"),
    PAIRS("blanks around ids", HEADER " MS2-operator\tMS2-coat \t 1\n" NO, CM_OK, "2 pairs"),
    PAIRS("a pair twice", HEADER YES NO YES, CM_OK, "2 pairs"),
    {"a pair with both labels", HEADER YES NO "MS2-operator\tMS2-coat\t0\n", 0, CM_OK, "1 pairs", NULL, 0,
     NULL},
    {"a header alone", HEADER, 0, CM_DATA, "only a header, expected at least one pair", NULL, 0,
     TRAIN("rna-protein", "protein.fasta")},
    PAIRS("no column id_b", "id_a\tlabel\nMS2-operator\t1\n", CM_DATA,
          "header: found the columns 'id_a', 'label', expected a column 'id_b'"),
    PAIRS("no column label", "id_a\tid_b\nMS2-operator\tMS2-coat\n", CM_DATA, "expected a column 'label'"),
    PAIRS("a column twice", "id_a\tid_b\tlabel\tlabel\n", CM_DATA, "line 1: found a second column 'label'"),
    PAIRS("semicolons", "id_a;id_b;label\nMS2-operator;MS2-coat;1\n", CM_DATA, "expected a column 'id_a'"),
    ONE("label 2", "2", "line 3: found label \"2\", expected label 0 or 1"),
    ONE("label -0", "-0", "line 3: found label \"-0\""),
    ONE("label nan", "nan", "line 3: found label \"nan\""),
    ONE("label inf", "inf", "line 3: found label \"inf\""),
    ONE("label 1e400", "1e400", "line 3: found label \"1e400\""),
    ONE("label 1,0", "1,0", "line 3: found label \"1,0\""),
    ONE("no label", "", "line 3: found label \"\""),
    ONE("label yes", "yes", "line 3: found label \"yes\""),
    ONE("label of another script", "\xd9\xa1", "line 3: found label \"\\xd9\\xa1\""),
    ONE("label =1", "=1", "line 3: found label \"=1\""),
    PAIRS("an unknown id", HEADER YES "nobody\tMS2-coat\t0\n", CM_DATA,
          "line 3: found id nobody: no record with this id"),
    PAIRS("an id in other letters", HEADER YES "u1-sl2\tMS2-coat\t0\n", CM_DATA,
          "line 3: found id u1-sl2: no record"),
    PAIRS("ids the wrong way round", HEADER "MS2-coat\tMS2-operator\t1\n", CM_DATA,
          "are id_a and id_b swapped?"),
    PAIRS("an empty id", HEADER YES "\tMS2-coat\t0\n", CM_DATA, "line 3: found id : no record"),
    PAIRS("a row too short", HEADER "MS2-operator\tMS2-coat\n", CM_DATA, "line 2: found 2, expected 3 cells"),
    PAIRS("a row too long", HEADER "MS2-operator\tMS2-coat\t1\t\n", CM_DATA,
          "line 2: found 4, expected 3 cells"),
};

static void test_binary(void **state) {
    (void)state;
    BAD_RUN(binary, "in.tsv", read_binary);
}

#define AFFINITY(name, label, status, says)                                                                  \
    {                                                                                                        \
        name, HEADER "tRNA-Phe\tcaffeine\t5.5\nU1-SL2\ttheophylline\t" label "\n", 0, status, says, NULL, 0, \
            TRAIN("rna-molecule", "molecules.tsv")                                                           \
    }

static const bad_row affinities[] = {
    AFFINITY("a number", "-6.25e0", CM_OK, "2 pairs"),
    AFFINITY("a number close to zero", "1e-400", CM_OK, "2 pairs"),
    AFFINITY("nan", "nan", CM_DATA, "line 3, column 'label': found 'nan', expected a decimal number"),
    AFFINITY("inf", "-inf", CM_DATA, "line 3, column 'label': found '-inf'"),
    AFFINITY("1e400", "1e400", CM_DATA,
             "line 3, column 'label': found '1e400', expected a number of at most 1.8e308"),
    AFFINITY("1e39", "1e39", CM_DATA, "line 3: found 1e+39, expected a label that fits a 32-bit float"),
    AFFINITY("nothing", "", CM_DATA, "line 3, column 'label': found ''"),
    AFFINITY("a decimal comma", "5,5", CM_DATA, "line 3, column 'label': found '5,5'"),
    AFFINITY("a thousands mark", "5'000", CM_DATA, "found '5'000'"),
    AFFINITY("a hexadecimal number", "0x5", CM_DATA, "found '0x5'"),
    AFFINITY("a comparison", ">5", CM_DATA, "found '>5'"),
};

static void test_affinities(void **state) {
    (void)state;
    BAD_RUN(affinities, "in.tsv", read_affinities);
}

/* ---- what training and evaluation need of them ---- */

#define EVAL(more)                                                                                          \
    "eval --task rna-protein --a examples/rna.fasta --b examples/protein.fasta --pairs IN --out OUT --dim " \
    "8 "                                                                                                    \
    "--layers 1 --epochs 1 --quiet " more
#define FOLDED "id_a\tid_b\tlabel\tfold\n"
#define RUN(name, text, command, status, says) \
    { name, text, 0, status, says, NULL, 0, command }

static const bad_row runs[] = {
    RUN("one class", HEADER YES "U1-SL2\tU1A-RRM1\t1\n", TRAIN("rna-protein", "protein.fasta"), CM_DATA,
        "label: found only 1 in 2 pairs, expected both classes among the training pairs"),
    RUN("one pair", HEADER YES, TRAIN("rna-protein", "protein.fasta"), CM_DATA,
        "found 1, expected at least two pairs"),
    RUN("one affinity", HEADER "tRNA-Phe\tcaffeine\t5.5\nU1-SL2\ttheophylline\t5.5\n",
        TRAIN("rna-molecule", "molecules.tsv"), CM_DATA, "expected labels that differ"),
    RUN("more folds than pairs", HEADER YES NO, EVAL("--folds 5"), CM_DATA, "pairs"),
    RUN("an empty fold", FOLDED "MS2-operator\tMS2-coat\t1\tx\nU1-SL2\tMS2-coat\t0\t\n",
        EVAL("--fold-column fold"), CM_DATA,
        "line 3: found an empty cell in column fold, expected the name of a fold"),
    RUN("one fold", FOLDED "MS2-operator\tMS2-coat\t1\tx\nU1-SL2\tMS2-coat\t0\tx\n",
        EVAL("--fold-column fold"), CM_USAGE, "a fold column with two or more values"),
    RUN("folds of one pair", FOLDED "MS2-operator\tMS2-coat\t1\tx\nU1-SL2\tMS2-coat\t0\ty\n",
        EVAL("--fold-column fold"), CM_DATA, ""),
};

static void test_runs(void **state) {
    (void)state;
    BAD_RUN(runs, "in.tsv", NULL);
}

/* ---- output ---- */

/* Ids that a spreadsheet takes for formulas come out as they went in: no silent quoting. */
static void test_output_cells(void **state) {
    (void)state;
    static const char molecules[] = "id\tsmiles\n=1+1\tCCO\n+x\tCCN\n-y\tCCC\n@SUM(A1)\tCCF\n";
    static const char *const wanted[] = {"\n\t=1+1\t", "\n\t+x\t", "\n\t-y\t", "\n\t@SUM(A1)\t"};
    char table[4096], command[256];
    bad_open_folder("in.tsv");
    bad_write(bad_path, molecules, sizeof molecules - 1);
    snprintf(command, sizeof command,
             "predict --model rna-molecule --a examples/rna.fasta --b IN --out OUT --quiet");
    bad_outcome got = bad_run_program(command);
    if (got.wait != 0) fail_msg("%s", got.line);
    snprintf(command, sizeof command, "%s/out", bad_folder);
    FILE *file = fopen(command, "r");
    assert_non_null(file);
    table[fread(table, 1, sizeof table - 1, file)] = '\0';
    fclose(file);
    for (int i = 0; i < 4; i++) {
        char cell[64];
        snprintf(cell, sizeof cell, "MS2-operator%s", wanted[i] + 1);
        if (!strstr(table, cell)) fail_msg("no '%s' in %s", cell, table);
    }
    bad_remove_folder();
}

/* ---- molecules ---- */

#define SCORE "predict --model rna-molecule --a examples/rna.fasta --b IN --out OUT --quiet"
#define MOLECULES(name, text, status, says) \
    { name, text, 0, status, says, NULL, 0, SCORE }

static const bad_row molecules[] = {
    MOLECULES("two molecules", "id\tsmiles\nm\tCCO\nn\tCCN\n", CM_OK, "2 molecules"),
    MOLECULES("one molecule in two spellings", "id\tsmiles\nm\tCCO\nn\tOCC\n", CM_OK, "1 molecules"),
    MOLECULES("an id twice, one molecule in two spellings", "id\tsmiles\nm\tCCO\nm\tOCC\n", CM_OK,
              "1 molecules"),
    MOLECULES("an id twice, two molecules", "id\tsmiles\nm\tCCO\nm\tCCN\n", CM_DATA,
              "line 3 (id m): found another small molecule than line 2 of the same id, expected one molecule "
              "for each id"),
    MOLECULES("no column smiles", "id\tSMILES\nm\tCCO\n", CM_DATA, "expected a column 'smiles'"),
    MOLECULES("an empty id", "id\tsmiles\n \tCCO\n", CM_DATA, "line 2: found none, expected an id"),
    MOLECULES("a header alone", "id\tsmiles\n", CM_DATA,
              "found only a header, expected at least one molecule"),
    MOLECULES("a tab in a quoted id", "id,smiles\n\"a\tb\",CCO\n", CM_DATA,
              "line 2: found a control byte at position 2, expected an id without tabs, line ends"),
    MOLECULES("a line end in a quoted id", "id,smiles\n\"a\nb\",CCO\n", CM_DATA,
              "line 2: found a control byte at position 2"),
    MOLECULES("an escape sequence in an id", "id\tsmiles\nm\x1b[31m\tCCO\n", CM_DATA,
              "line 2: found a control byte at position 2"),
};

static void test_molecules(void **state) {
    (void)state;
    BAD_RUN(molecules, "in.csv", bad_read_molecules);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables),       cmocka_unit_test(test_binary),
                                       cmocka_unit_test(test_affinities),   cmocka_unit_test(test_runs),
                                       cmocka_unit_test(test_output_cells), cmocka_unit_test(test_molecules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
