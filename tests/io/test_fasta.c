/* FASTA reading: every kind of input is read as documented or refused with its record. */
#include "io/fasta.h"
#include "temp_file.h"

#include "fail_alloc.h"
#include <sys/stat.h>

/* All records as "name=sequence;"; the status of the first call that fails. */
static cm_status read_all(const char *path, char *out, size_t size, cm_error *error) {
    cm_fasta *fasta = NULL;
    cm_fasta_record record = {0};
    bool more = true;
    size_t used = 0;
    out[0] = '\0';
    cm_status status = cm_fasta_open(&fasta, path, error);
    if (status != CM_OK) {
        assert_null(fasta);
        return status;
    }
    for (long number = 1; (status = cm_fasta_next(fasta, &record, &more, error)) == CM_OK && more; number++) {
        assert_int_equal(record.number, number);
        assert_int_equal(strlen(record.sequence), record.length);
        if (size - used > 64)
            used += (size_t)snprintf(out + used, size - used, "%.30s=%.30s;", record.name, record.sequence);
    }
    if (status == CM_OK) {
        assert_int_equal(cm_fasta_next(fasta, &record, &more, error), CM_OK);
        assert_false(more);
    }
    cm_fasta_close(fasta);
    return status;
}

typedef struct fasta_case {
    const char *name, *bytes;
    size_t size; /* 0: strlen */
    cm_status status;
    const char *expected; /* records, or part of the message */
} fasta_case;

static const fasta_case cases[] = {
    {"two records", ">a\nACGU\n>b\nGG\nCC\n", 0, CM_OK, "a=ACGU;b=GGCC;"},
    {"description", ">a some text > more\nACGU\n", 0, CM_OK, "a=ACGU;"},
    {"tab behind the name", ">a\tx\nACGU\n", 0, CM_OK, "a=ACGU;"},
    {"blank before the name", "> a b\nACGU\n", 0, CM_OK, "a=ACGU;"},
    {"no final newline", ">a\nACGU", 0, CM_OK, "a=ACGU;"},
    {"CRLF", ">a x\r\nAC\r\nGU\r\n>b\r\nGG\r\n", 0, CM_OK, "a=ACGU;b=GG;"},
    {"CR only", ">a x\rAC\rGU\r>b\rGG\r", 0, CM_OK, "a=ACGU;b=GG;"},
    {"mixed line ends", ">a\r\nAC\nGU\r>b\nGG\r\n", 0, CM_OK, "a=ACGU;b=GG;"},
    {"leading blank lines", "\n \t\r\n\r>a\nAC\n", 0, CM_OK, "a=AC;"},
    {"blank lines inside", ">a\nAC\n\n\nGU\n\n>b\n\nGG\n\n", 0, CM_OK, "a=ACGU;b=GG;"},
    {"byte order mark", "\xef\xbb\xbf>a\nAC\n", 0, CM_OK, "a=AC;"},
    {"blanks and digits", ">a\n  1 ACGU acgu\t10\n 61 GG\v\f\n", 0, CM_OK, "a=ACGUacguGG;"},
    {"empty in the middle", ">a\n>b\nGG\n", 0, CM_OK, "a=;b=GG;"},
    {"empty at the end", ">a\nAC\n>b\n", 0, CM_OK, "a=AC;b=;"},
    {"header without line end", ">a\nAC\n>b", 0, CM_OK, "a=AC;b=;"},
    {"header alone", ">a", 0, CM_OK, "a=;"},
    {"letters as written", ">a\nAcGuTn*-.|@;\n", 0, CM_OK, "a=AcGuTn*-.|@;;"},
    {"'>' inside a line stays", ">a\nAC>GU\n", 0, CM_OK, "a=AC>GU;"},
    {"non-ASCII stays", ">\xc3\xa9\nAC\xc3\n", 0, CM_OK, "\xc3\xa9=AC\xc3;"},
    {"control bytes stay",
     ">a\nA\x01"
     "C\n",
     0, CM_OK,
     "a=A\x01"
     "C;"},
    {"same name twice", ">a\nAC\n>a\nGG\n", 0, CM_OK, "a=AC;a=GG;"},

    {"empty file", "", 0, CM_DATA, "line 1: found no record"},
    {"only blank lines", "\n\r\n\r\n", 0, CM_DATA, "line 4: found no record"},
    {"only '>'", ">", 0, CM_DATA, "record 1, line 1: found nothing, expected a name"},
    {"'>' and a blank line", ">\n\nAC\n", 0, CM_DATA, "record 1, line 1: found nothing, expected a name"},
    {"'>' and blanks", ">a\nAC\n> \t\r\nAC\n", 0, CM_DATA, "record 2, line 3: found nothing"},
    {"text first", "\nACGU\n>a\nAC\n", 0, CM_DATA, "line 2: found text before the first record"},
    {"'>' not at the line start", " >a\nAC\n", 0, CM_DATA, "line 1: found text before"},
    {"comment first", ";x\n>a\nAC\n", 0, CM_DATA, "line 1: found text before"},
    {"FASTQ", "@r\nACGU\n+\nIIII\n", 0, CM_DATA, "found FASTQ"},
    {"NUL first", "\0>a\nAC\n", 7, CM_DATA, "line 1: found a NUL byte"},
    {"NUL in a name", ">a\nAC\n>b\0c\nGG\n", 14, CM_DATA, "record 2, line 3: found a NUL byte"},
    {"NUL in a sequence", ">a\nAC\nG\0G\n", 10, CM_DATA, "record 1, line 3: found a NUL byte"},
    {"UTF-16", "\xff\xfe>\0a\0", 6, CM_DATA, "UTF-16"},
    {"tiny gzip", "\x1f\x8b\x08", 0, CM_DATA, "cut short"},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const fasta_case *at = &cases[i];
        temp_file file = temp_bytes(at->bytes, at->size > 0 ? at->size : strlen(at->bytes));
        char records[512], line[1024];
        cm_error error = {.status = CM_OK};
        cm_status status = read_all(file.path, records, sizeof records, &error);
        unlink(file.path);
        if (status != at->status) fail_msg("%s: %s", at->name, cm_error_line(&error, line, sizeof line));
        if (status != CM_OK) {
            assert_string_equal(error.file, file.path);
            assert_says(&error, at->expected);
        } else if (strcmp(records, at->expected) != 0) {
            fail_msg("%s: records '%s'", at->name, records);
        }
    }
}

/* FASTA of more than one block, whose text does not repeat with the block. */
static char *long_text(size_t *size) {
    char *text = malloc(400000);
    size_t used = 0;
    assert_non_null(text);
    for (int i = 0; used < 300000; i++)
        used += (size_t)snprintf(text + used, 400000 - used, ">r%d text\nACGU%.*s\nGG\n", i, i % 13,
                                 "CCCCCCCCCCCCC");
    *size = used;
    return text;
}

static void test_compressed(void **state) {
    (void)state;
    size_t size = 0;
    char *text = long_text(&size), *expected = malloc(size), *records = malloc(size);
    cm_error error;
    temp_file file = temp_bytes(text, size);
    assert_int_equal(read_all(file.path, expected, size, &error), CM_OK);
    assert_non_null(strstr(expected, "r100=ACGUCCCCCCCCCGG;"));
    unlink(file.path);
    for (int gzip = 0; gzip < 2; gzip++) {
        file = temp_compressed(text, size, gzip ? "wg" : "w");
        assert_int_equal(read_all(file.path, records, size, &error), CM_OK);
        assert_string_equal(records, expected);
        unlink(file.path);
    }
    free(text);
    free(expected);
    free(records);
}

static void expect_broken(const unsigned char *bytes, size_t size, const char *what, size_t where) {
    char records[512];
    cm_error error = {.status = CM_OK};
    temp_file file = temp_bytes(bytes, size);
    cm_status status = read_all(file.path, records, sizeof records, &error);
    unlink(file.path);
    if (status != CM_DATA) fail_msg("%s at %zu gives status %d", what, where, (int)status);
}

/* Truncation at every byte, wrong checksum and length, bytes behind the end. */
static void test_damaged_compressed(void **state) {
    (void)state;
    size_t size = 0;
    char *text = long_text(&size);
    for (int gzip = 0; gzip < 2; gzip++) {
        temp_file file = temp_compressed(text, size, gzip ? "wg" : "w");
        size_t packed = 0;
        unsigned char *bytes = file_bytes(file.path, &packed);
        unlink(file.path);
        for (size_t cut = 1; cut < packed; cut += cut < 40 || packed - cut < 60 ? 1 : 997)
            expect_broken(bytes, cut, gzip ? "gzip cut" : "bgzf cut", cut);
        size_t tail = gzip ? 0 : 28; /* bgzf's end mark */
        for (size_t back = gzip ? 1 : 5; back <= 8;
             back++) { /* htslib does not look at a bgzf block's length */
            bytes[packed - tail - back] ^= 0x55;
            expect_broken(bytes, packed, gzip ? "gzip trailer" : "bgzf trailer", back);
            bytes[packed - tail - back] ^= 0x55;
        }
        bytes = realloc(bytes, packed + 64);
        assert_non_null(bytes);
        for (size_t extra = 1; extra <= 64; extra += 21) {
            memset(bytes + packed, 'A', extra);
            expect_broken(bytes, packed + extra, gzip ? "bytes behind gzip" : "bytes behind bgzf", extra);
        }
        free(bytes);
    }
    free(text);
}

static void test_many_members(void **state) {
    (void)state;
    temp_file parts[2] = {temp_compressed(">a\nAC\n", 6, "wg"), temp_compressed("GU\n>b\nGG\n", 9, "wg")};
    unsigned char joined[512];
    size_t used = 0;
    for (int i = 0; i < 2; i++) {
        size_t size = 0;
        unsigned char *bytes = file_bytes(parts[i].path, &size);
        memcpy(joined + used, bytes, size);
        used += size;
        free(bytes);
        unlink(parts[i].path);
    }
    temp_file file = temp_bytes(joined, used);
    char records[128];
    cm_error error;
    assert_int_equal(read_all(file.path, records, sizeof records, &error), CM_OK);
    assert_string_equal(records, "a=ACGU;b=GG;");
    unlink(file.path);
}

static void test_long_parts(void **state) {
    (void)state;
    static char text[12000000];
    char records[128];
    cm_error error;
    text[0] = '>';
    memset(text + 1, 'n', 4096);
    memset(text + 4097, ' ', 1000000); /* a description of 1 MB */
    memcpy(text + 1004097, "\nAC\n>", 5);
    memset(text + 1004102, 'n', 4097);
    text[1004102 + 4097] = '\n';
    temp_file file = temp_bytes(text, 1004101);
    assert_int_equal(read_all(file.path, records, sizeof records, &error), CM_OK);
    unlink(file.path);
    file = temp_bytes(text, 1004102 + 4098);
    assert_int_equal(read_all(file.path, records, sizeof records, &error), CM_DATA);
    assert_says(&error, "record 2, line 3: found a longer name");
    unlink(file.path);
    memcpy(text, ">a\n", 3);
    memset(text + 3, 'G', 10000000); /* one line of 10 million */
    file = temp_bytes(text, 10000003);
    assert_int_equal(read_all(file.path, records, sizeof records, &error), CM_OK);
    unlink(file.path);
}

/* 50,000,001 residues from a few kilobytes. */
static void test_bomb(void **state) {
    (void)state;
    temp_file file = temp_bytes("", 0);
    BGZF *out = bgzf_open(file.path, "wg1");
    char line[10001], records[128];
    cm_error error;
    assert_non_null(out);
    memset(line, 'A', 10000);
    line[10000] = '\n';
    assert_int_equal(bgzf_write(out, ">a\n", 3), 3);
    for (int i = 0; i < 5000; i++) assert_int_equal(bgzf_write(out, line, 10001), 10001);
    assert_int_equal(bgzf_write(out, "C", 1), 1);
    assert_int_equal(bgzf_close(out), 0);
    assert_int_equal(read_all(file.path, records, sizeof records, &error), CM_DATA);
    assert_says(&error, "record 1, line 5002: found a longer sequence, expected at most 50000000 residues");
    unlink(file.path);
}

static void test_kinds_of_files(void **state) {
    (void)state;
    char records[128];
    cm_error error;
    assert_int_equal(read_all("/nowhere/x.fa", records, sizeof records, &error), CM_IO);
    assert_says(&error, "/nowhere/x.fa");
    assert_int_equal(read_all("/", records, sizeof records, &error), CM_DATA);
    assert_says(&error, "found a directory");
}

static void test_standard_input(void **state) {
    (void)state;
    int saved = dup(STDIN_FILENO), ends[2];
    char records[128];
    cm_error error;
    temp_file file = temp_compressed(">a\nAC\n", 6, "w");
    size_t size = 0;
    unsigned char *bytes = file_bytes(file.path, &size);
    unlink(file.path);
    for (int cut = 0; cut < 2; cut++) { /* the second time bgzf's end mark of 28 bytes is missing */
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(write(ends[1], bytes, size - (cut ? 28 : 0)), size - (cut ? 28 : 0));
        close(ends[1]);
        assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
        assert_int_equal(read_all("-", records, sizeof records, &error), cut ? CM_DATA : CM_OK);
        if (!cut) assert_string_equal(records, "a=AC;");
        close(ends[0]);
    }
    if (saved >= 0) {
        dup2(saved, STDIN_FILENO);
        close(saved);
    }
    free(bytes);
}

static void test_out_of_memory(void **state) {
    (void)state;
    temp_file file = temp_bytes(">a\nAC\n>b\nGG\n", 12);
    cm_status status = CM_MEMORY;
    long n = 0;
    for (;; n++) {
        char records[128];
        cm_error error;
        fail_alloc_from(n);
        status = read_all(file.path, records, sizeof records, &error);
        if (!fail_alloc_stop()) break;
        assert_int_equal(status, CM_MEMORY);
    }
    assert_int_equal(status, CM_OK);
    assert_true(n > 4);
    unlink(file.path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_compressed),
        cmocka_unit_test(test_damaged_compressed),
        cmocka_unit_test(test_many_members),
        cmocka_unit_test(test_long_parts),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_kinds_of_files),
        cmocka_unit_test(test_standard_input),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
