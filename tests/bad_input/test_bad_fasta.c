/* FASTA files, plain and gzip: what is refused, and the odd ones that are accepted in a documented way,
 * through the reader, through the molecules it becomes and through `crossmamba predict`. */
#include "bad_input.h"

#include "base/alloc.h"
#include "io/fasta.h"
#include "model/molecule_stream.h"
#include <htslib/bgzf.h>

/* All records as "name=sequence;", the first 400 bytes of them; longer parts only by their lengths. */
static cm_status read_records(const char *path, char *note, size_t size, cm_error *error) {
    cm_fasta *fasta = NULL;
    cm_fasta_record record = {0};
    bool more = true;
    size_t used = 0;
    long count = 0;
    cm_status status = cm_fasta_open(&fasta, path, error);
    if (status != CM_OK) return status;
    for (; (status = cm_fasta_next(fasta, &record, &more, error)) == CM_OK && more; count++)
        if (used < 400 && record.length < 100 && count < 1000)
            used += (size_t)snprintf(note + used, size - used, "%.30s=%s;", record.name, record.sequence);
        else
            used = (size_t)snprintf(note, size, "record %ld: %zu", count + 1, record.length);
    cm_fasta_close(fasta);
    return status;
}

/* ---- making files ---- */

/* A name and a description of number bytes together. */
static void make_header(const bad_row *row, const char *path) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(row->text, file);
    for (size_t i = 0; i < row->number; i++) fputc('n', file);
    fputs("\nAC\n", file);
    assert_int_equal(fclose(file), 0);
}

/* One line of number residues. */
static void make_line(const bad_row *row, const char *path) {
    char *line = malloc(row->number);
    assert_non_null(line);
    memset(line, 'G', row->number);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(">a\n", file);
    fwrite(line, 1, row->number, file);
    assert_int_equal(fclose(file), 0);
    free(line);
}

/* The text number times. */
static void make_repeated(const bad_row *row, const char *path) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (size_t i = 0; i < row->number; i++) fputs(row->text, file);
    assert_int_equal(fclose(file), 0);
}

/* The text number times (at least once), packed by gzip. */
static void make_packed(const bad_row *row, const char *path) {
    BGZF *out = bgzf_open(path, "wg");
    size_t length = strlen(row->text);
    assert_non_null(out);
    for (size_t i = 0; i == 0 || i < row->number; i++)
        assert_int_equal(bgzf_write(out, row->text, length), length);
    assert_int_equal(bgzf_close(out), 0);
}

/* The same twice, one gzip member behind the other. */
static void make_members(const bad_row *row, const char *path) {
    char bytes[4096];
    make_packed(row, path);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    assert_true(size < sizeof bytes);
    rewind(file);
    fseek(file, 0, SEEK_END);
    fwrite(bytes, 1, size, file);
    assert_int_equal(fclose(file), 0);
}

/* Packed text whose byte number from the end is changed; 0: its last byte is missing. */
static void make_damaged(const bad_row *row, const char *path) {
    make_packed(&(bad_row){.text = row->text}, path);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, -(long)(row->number ? row->number : 1), SEEK_END), 0);
    long at = ftell(file);
    int byte = fgetc(file);
    fseek(file, at, SEEK_SET);
    if (row->number)
        fputc(byte ^ 0x55, file);
    else
        assert_int_equal(ftruncate(fileno(file), at), 0);
    assert_int_equal(fclose(file), 0);
}

/* Packed text and number other bytes behind it. */
static void make_tail(const bad_row *row, const char *path) {
    make_packed(&(bad_row){.text = row->text}, path);
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    for (size_t i = 0; i < row->number; i++) fputc('A', file);
    assert_int_equal(fclose(file), 0);
}

/* ---- records ---- */

#define PREDICT "predict --model rna-protein --a IN --b examples/protein.fasta --out OUT --quiet"
#define LINE_OF_64 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
#define KILOBYTE                                                                                       \
    LINE_OF_64 LINE_OF_64 LINE_OF_64 LINE_OF_64 LINE_OF_64 LINE_OF_64 LINE_OF_64 LINE_OF_64 LINE_OF_64 \
        LINE_OF_64 LINE_OF_64 LINE_OF_64 LINE_OF_64 LINE_OF_64 LINE_OF_64 LINE_OF_64

static const bad_row records[] = {

    {"two records", ">a\nACGU\n>b\nGG\nCC\n", 0, CM_OK, "a=ACGU;b=GGCC;", NULL, 0, NULL},
    {"description", ">a some text > more\nACGU\n", 0, CM_OK, "a=ACGU;", NULL, 0, NULL},
    {"tab behind the name", ">a\tx\nACGU\n", 0, CM_OK, "a=ACGU;", NULL, 0, NULL},
    {"blank before the name", "> a b\nACGU\n", 0, CM_OK, "a=ACGU;", NULL, 0, NULL},
    {"no final newline", ">a\nACGU", 0, CM_OK, "a=ACGU;", NULL, 0, NULL},
    {"CRLF", ">a x\r\nAC\r\nGU\r\n>b\r\nGG\r\n", 0, CM_OK, "a=ACGU;b=GG;", NULL, 0, NULL},
    {"CR only", ">a x\rAC\rGU\r>b\rGG\r", 0, CM_OK, "a=ACGU;b=GG;", NULL, 0, NULL},
    {"mixed line ends", ">a\r\nAC\nGU\r>b\nGG\r\n", 0, CM_OK, "a=ACGU;b=GG;", NULL, 0, NULL},
    {"leading blank lines", "\n \t\r\n\r>a\nAC\n", 0, CM_OK, "a=AC;", NULL, 0, NULL},
    {"blank lines inside", ">a\nAC\n\n\nGU\n\n>b\n\nGG\n\n", 0, CM_OK, "a=ACGU;b=GG;", NULL, 0, NULL},
    {"byte order mark", "\xef\xbb\xbf>a\nAC\n", 0, CM_OK, "a=AC;", NULL, 0, NULL},
    {"blanks and digits", ">a\n  1 ACGU acgu\t10\n 61 GG\v\f\n", 0, CM_OK, "a=ACGUacguGG;", NULL, 0, NULL},
    {"empty in the middle", ">a\n>b\nGG\n", 0, CM_OK, "a=;b=GG;", NULL, 0, NULL},
    {"empty at the end", ">a\nAC\n>b\n", 0, CM_OK, "a=AC;b=;", NULL, 0, NULL},
    {"header without line end", ">a\nAC\n>b", 0, CM_OK, "a=AC;b=;", NULL, 0, NULL},
    {"header alone", ">a", 0, CM_OK, "a=;", NULL, 0, NULL},
    {"letters as written", ">a\nAcGuTn*-.|@;\n", 0, CM_OK, "a=AcGuTn*-.|@;;", NULL, 0, NULL},
    {"'>' inside a line stays", ">a\nAC>GU\n", 0, CM_OK, "a=AC>GU;", NULL, 0, NULL},
    {"non-ASCII stays", ">\xc3\xa9\nAC\xc3\n", 0, CM_OK, "\xc3\xa9=AC\xc3;", NULL, 0, NULL},
    {"control bytes stay",
     ">a\nA\x01"
     "C\n",
     0, CM_OK,
     "a=A\x01"
     "C;",
     NULL, 0, NULL},
    {"same name twice", ">a\nAC\n>a\nGG\n", 0, CM_OK, "a=AC;a=GG;", NULL, 0, NULL},

    {"empty file", "", 0, CM_DATA, "line 1: found no record", NULL, 0, PREDICT},
    {"only blank lines", "\n\r\n\r\n", 0, CM_DATA, "line 4: found no record", NULL, 0, PREDICT},
    {"only '>'", ">", 0, CM_DATA, "record 1, line 1: found nothing, expected a name", NULL, 0, PREDICT},
    {"'>' and a blank line", ">\n\nAC\n", 0, CM_DATA, "record 1, line 1: found nothing, expected a name",
     NULL, 0, PREDICT},
    {"'>' and blanks", ">a\nAC\n> \t\r\nAC\n", 0, CM_DATA, "record 2, line 3: found nothing", NULL, 0,
     PREDICT},
    {"text first", "\nACGU\n>a\nAC\n", 0, CM_DATA, "in.fa: line 2: found text before the first record", NULL,
     0, PREDICT},
    {"'>' not at the line start", " >a\nAC\n", 0, CM_DATA, "line 1: found text before", NULL, 0, PREDICT},
    {"comment first", ";x\n>a\nAC\n", 0, CM_DATA, "line 1: found text before", NULL, 0, PREDICT},
    {"FASTQ", "@r\nACGU\n+\nIIII\n", 0, CM_DATA, "found FASTQ", NULL, 0, PREDICT},
    {"NUL first", "\0>a\nAC\n", 7, CM_DATA, "line 1: found a NUL byte", NULL, 0, PREDICT},
    {"NUL in a name", ">a\nAC\n>b\0c\nGG\n", 14, CM_DATA, "record 2, line 3: found a NUL byte", NULL, 0,
     PREDICT},
    {"NUL in a sequence", ">a\nAC\nG\0G\n", 10, CM_DATA, "record 1, line 3: found a NUL byte", NULL, 0,
     PREDICT},
    {"UTF-16", "\xff\xfe>\0a\0", 6, CM_DATA, "UTF-16", NULL, 0, PREDICT},
    {"a byte order mark of UTF-16 alone", "\xff\xfe", 0, CM_DATA, "found UTF-16 text", NULL, 0, NULL},
    {"the same, big-endian", "\xfe\xff", 0, CM_DATA, "found UTF-16 text", NULL, 0, NULL},
    {"tiny gzip", "\x1f\x8b\x08", 0, CM_DATA, "cut short", NULL, 0, PREDICT},
    /* long and many */
    {"a name of 4,096 bytes", ">", 0, CM_OK, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnn=AC;", make_header, 4096, NULL},
    {"a name of 4,097 bytes", ">", 0, CM_DATA, "record 1, line 1: found a longer name", make_header, 4097,
     PREDICT},
    {"a description of 1 MB", ">a ", 0, CM_OK, "a=AC;", make_header, 1000000, NULL},
    {"a line of 10 million", NULL, 0, CM_OK, "record 1: 10000000", make_line, 10000000, NULL},
    {"a line of 50,000,000", NULL, 0, CM_OK, "record 1: 50000000", make_line, 50000000, NULL},
    {"a line of 50,000,001", NULL, 0, CM_DATA,
     "record 1, line 2: found a longer sequence, expected at most 50000000 residues", make_line, 50000001,
     PREDICT},
    {"10^6 records", ">r\nACGU\n", 0, CM_OK, "record 1000000: 4", make_repeated, 1000000, NULL},
    /* gzip */
    {"gzip named .fa", ">a\nACGU\n", 0, CM_OK, "a=ACGU;", make_packed, 0, PREDICT},
    {"two gzip members", ">a\nACGU\n", 0, CM_OK, "a=ACGU;a=ACGU;", make_members, 0, PREDICT},
    {"gzip cut short", ">a\nACGU\n", 0, CM_DATA, "cut short, damaged or followed by other bytes",
     make_damaged, 0, PREDICT},
    {"gzip with a wrong length", ">a\nACGU\n", 0, CM_DATA, "cut short, damaged", make_damaged, 4, PREDICT},
    {"gzip with a wrong CRC", ">a\nACGU\n", 0, CM_DATA, "cut short, damaged", make_damaged, 8, PREDICT},
    {"gzip with changed data", ">a\nACGU\n", 0, CM_DATA, "", make_damaged, 10, PREDICT},
    {"a byte behind gzip", ">a\nACGU\n", 0, CM_DATA, "followed by other bytes", make_tail, 1, PREDICT},
    {"64 bytes behind gzip", ">a\nACGU\n", 0, CM_DATA, "followed by other bytes", make_tail, 64, NULL},
    {"a bomb of 60 MB of records", ">a\n" KILOBYTE, 0, CM_OK, "record 60000: 1008", make_packed, 60000, NULL},
    {"a bomb of 100 MB of records", ">a\n" KILOBYTE, 0, CM_DATA,
     "found data that unpack to more than 100 times their size, expected text", make_packed, 100000, PREDICT},
    /* what is no file */
    {"a folder", NULL, 0, CM_IO, "found a directory, expected a regular file", bad_make_folder, 0, PREDICT},
    {"a FIFO", NULL, 0, CM_IO, "found a FIFO, expected a regular file", bad_make_fifo, 0, PREDICT},
    {"/dev/zero", "/dev/zero", 0, CM_IO, "found a device or socket", bad_make_link, 0, PREDICT},
    {"a link to nothing", "nothing", 0, CM_IO, "cannot open", bad_make_link, 0, PREDICT},
};

static void test_records(void **state) {
    (void)state;
    BAD_RUN(records, "in.fa", read_records);
}

/* ---- molecules ---- */

static cm_status read_molecules(cm_molecule_type type, const char *path, char *note, size_t size,
                                cm_error *error) {
    cm_molecule_stream *stream = NULL;
    bool more = true;
    size_t used = 0;
    cm_status status = cm_molecule_stream_open(&stream, type, path, false, CM_BAD_REFUSE, error);
    while (status == CM_OK) {
        cm_molecule_text molecule;
        status = cm_molecule_stream_next(stream, &molecule, &more, error);
        if (status != CM_OK || !more) break;
        used += (size_t)snprintf(note + used, size - used, "%s=%s;", molecule.id, molecule.text);
        cm_free(molecule.id);
        cm_free(molecule.text);
    }
    cm_molecule_stream_close(stream);
    return status;
}

static cm_status read_rna(const char *path, char *note, size_t size, cm_error *error) {
    return read_molecules(CM_RNA, path, note, size, error);
}

static cm_status read_proteins(const char *path, char *note, size_t size, cm_error *error) {
    return read_molecules(CM_PROTEIN, path, note, size, error);
}

#define OF_RNA(name, text, status, says) \
    { name, text, 0, status, says, NULL, 0, PREDICT }
#define OF_PROTEIN(name, text, status, says)                                              \
    {                                                                                     \
        name, text, 0, status, says, NULL, 0,                                             \
            "predict --model rna-protein --a examples/rna.fasta --b IN --out OUT --quiet" \
    }

static const bad_row rna[] = {
    OF_RNA("lower case", ">a\nacgu\n", CM_OK, "a=ACGU;"),
    OF_RNA("T for U", ">a\nACGT\n", CM_OK, "a=ACGU;"),
    OF_RNA("T and U mixed", ">a\nTUtu\n", CM_OK, "a=UUUU;"),
    OF_RNA("IUPAC codes", ">a\nARYSWKMBDHVNXI\n", CM_OK, "a=ANNNNNNNNNNNNN;"),
    OF_RNA("gaps", ">a\nA-C.G_U\n", CM_OK, "a=ANCNGNU;"),
    OF_RNA("digits and blanks", ">a\n 1 ACGU 5\n", CM_OK, "a=ACGU;"),
    OF_RNA("chains", ">a\nAC|GU\n", CM_OK, "a=AC|GU;"),
    OF_RNA("an empty chain", ">a\nAC||GU\n", CM_DATA, "record a: found an empty chain at position 4"),
    OF_RNA("a star", ">a\nAC*GU\n", CM_DATA, "record a: found '*' at position 3, expected an RNA letter"),
    OF_RNA("a protein", ">a\nMKVL\n", CM_DATA, "found 'L' at position 4 (an amino acid letter)"),
    OF_RNA("non-ASCII", ">a\nAC\xc3\xa9\n", CM_DATA, "found '\\xc3' at position 3"),
    OF_RNA("a control byte", ">a\nAC\x01\n", CM_DATA, "found '\\x01' at position 3"),
    OF_RNA("an empty sequence", ">a\nAC\n>b\n", CM_DATA,
           "record b: found none (it is empty), expected a sequence"),
    OF_RNA("an empty sequence between", ">a\n>b\nAC\n", CM_DATA, "record a: found none (it is empty)"),
    OF_RNA("an id twice", ">a\nACGU\n>a\nACGU\n", CM_OK, "a=ACGU;"),
    OF_RNA("an id twice, two sequences", ">a\nACGU\n>a\nACGG\n", CM_DATA, "record 2 (id a): found another"),
    OF_RNA("one sequence, two ids", ">a\nACGU\n>b\nACGU\n", CM_OK, "a=ACGU;b=ACGU;"),
};

static const bad_row proteins[] = {
    OF_PROTEIN("a stop at the end", ">p\nMKV*\n", CM_OK, "p=MKV;"),
    OF_PROTEIN("a stop inside", ">p\nMK*V\n", CM_OK, "p=MKXV;"),
    OF_PROTEIN("nothing but a stop", ">p\n*\n", CM_DATA, "record p: found none (it is empty)"),
    OF_PROTEIN("rare residues", ">p\nUOBZJX\n", CM_OK, "p=CKXXXX;"),
    OF_PROTEIN("gaps", ">p\nM-K.V_\n", CM_OK, "p=MXKXVX;"),
    OF_PROTEIN("lower case", ">p\nmkv\n", CM_OK, "p=MKV;"),
    OF_PROTEIN("an at sign", ">p\nMK@V\n", CM_DATA,
               "record p: found '@' at position 3, expected an amino acid letter"),
};

static void test_rna(void **state) {
    (void)state;
    BAD_RUN(rna, "in.fasta", read_rna);
}

static void test_proteins(void **state) {
    (void)state;
    BAD_RUN(proteins, "in.fasta", read_proteins);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_records), cmocka_unit_test(test_rna),
                                       cmocka_unit_test(test_proteins)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
