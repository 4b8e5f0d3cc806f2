/* TSV and CSV reading: every kind of input is read as documented or refused with its line. */
#include "io/table.h"
#include "temp_file.h"

#include "fail_alloc.h"
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <sys/stat.h>

/* All rows as "cell|cell\n"; the status of the first call that fails. */
static cm_status read_all(const char *path, char *out, size_t size, cm_error *error) {
    cm_table *table = NULL;
    bool more = true;
    size_t used = 0; /* never over size: long cells are printed in part */
    out[0] = '\0';
    cm_status status = cm_table_open(&table, path, error);
    if (status != CM_OK) {
        assert_null(table);
        return status;
    }
    while ((status = cm_table_next(table, &more, error)) == CM_OK && more) {
        used += (size_t)snprintf(out + used, size - used, "%ld:", cm_table_line(table));
        for (int c = 0; c < 3 && size - used > 22; c++)
            used += (size_t)snprintf(out + used, size - used, "%.20s|", cm_table_cell(table, c));
    }
    cm_table_close(table);
    return status;
}

typedef struct table_case {
    const char *name, *bytes;
    size_t size; /* 0: strlen */
    cm_status status;
    const char *expected; /* rows, three cells each, or part of the message */
} table_case;

static const table_case cases[] = {
    {"tsv", "a\tb\tc\n1\t2\t3\n", 0, CM_OK, "2:1|2|3|"},
    {"csv", "a,b,c\n1,2,3\n", 0, CM_OK, "2:1|2|3|"},
    {"one column", "a\nx\ny\n", 0, CM_OK, "2:x|||3:y|||"},
    {"header alone", "a\tb\n", 0, CM_OK, ""},
    {"no final newline", "a\tb\n1\t2", 0, CM_OK, "2:1|2||"},
    {"CRLF", "a\tb\r\n1\t2\r\n", 0, CM_OK, "2:1|2||"},
    {"CR at the end of the file", "a\tb\n1\t2\r", 0, CM_OK, "2:1|2||"},
    {"byte order mark",
     "\xef\xbb\xbf"
     "a\tb\n1\t2\n",
     0, CM_OK, "2:1|2||"},
    {"blank lines", "\n\na\tb\n\n1\t2\n\r\n\n3\t4\n\n", 0, CM_OK, "5:1|2||8:3|4||"},
    {"empty cells", "a\tb\tc\n\t\t\n", 0, CM_OK, "2:|||"},
    {"UTF-8 stays", "a\tb\n\xc3\xa9\t2\n", 0, CM_OK, "2:\xc3\xa9|2||"},
    {"comma in tsv", "a\tb\n1,5\t2\n", 0, CM_OK, "2:1,5|2||"},
    {"quote in tsv", "a\tb\n\"1\t2\n", 0, CM_OK, "2:\"1|2||"},
    {"csv quotes", "a,b\n\"x,\"\"y\"\"\",2\n", 0, CM_OK, "2:x,\"y\"|2||"},
    {"csv quoted newline", "a,b\n\"x\r\ny\",2\n3,4\n", 0, CM_OK, "2:x\ny|2||4:3|4||"},
    {"csv quoted tab", "a,b\n\"x\ty\",2\n", 0, CM_OK, "2:x\ty|2||"},
    {"csv quoted empty", "a,b\n\"\",\n", 0, CM_OK, "2:|||"},
    {"csv quoted header", "\"a\",\"b\"\n1,2\n", 0, CM_OK, "2:1|2||"},
    {"formula cells stay", "a,b\n=1,@x\n", 0, CM_OK, "2:=1|@x||"},

    {"empty file", "", 0, CM_DATA, "expected a header line"},
    {"only blank lines", "\n\r\n\n", 0, CM_DATA, "expected a header line"},
    {"only a byte order mark", "\xef\xbb\xbf", 0, CM_DATA, "expected a header line"},
    {"duplicate column", "a\tb\ta\n", 0, CM_DATA, "line 1: found a second column 'a'"},
    {"short row", "a\tb\tc\n1\t2\t3\n\n1\t2\n", 0, CM_DATA, "line 4: found 2, expected 3 cells"},
    {"long row", "a\tb\n1\t2\t3\n", 0, CM_DATA, "line 2: found 3, expected 2 cells"},
    {"short csv row", "a,b\n1\n", 0, CM_DATA, "line 2: found 1, expected 2 cells"},
    {"NUL", "a\tb\n1\t\0\n", 8, CM_DATA, "line 2: found a NUL byte"},
    {"NUL in the header", "a\0b\n", 4, CM_DATA, "line 1: found a NUL byte"},
    {"UTF-16 LE",
     "\xff\xfe"
     "a\0\n\0",
     6, CM_DATA, "UTF-16"},
    {"UTF-16 BE", "\xfe\xff\0a\0\n", 6, CM_DATA, "UTF-16"},
    {"UTF-16 without mark", "a\0\t\0b\0\n\0", 8, CM_DATA, "UTF-16"},
    {"CR only", "a\tb\r1\t2\r", 0, CM_DATA, "line 1: found a carriage return"},
    {"unclosed quote", "a,b\n1,2\n\"3,4\n5,6\n", 0, CM_DATA, "line 3: found a quote that is never closed"},
    {"quote inside", "a,b\n5\" primer,2\n", 0, CM_DATA, "line 2: found a quote inside"},
    {"text behind quote", "a,b\n1,2\n\"3\"x,4\n", 0, CM_DATA, "line 3: found text behind a closing quote"},
    {"bad quotes on a later line", "a,b\n\"1\n2\"x,4\n", 0, CM_DATA, "line 3: found text behind"},
    {"NUL in a quoted cell", "a,b\n\"1\n\0\",4\n", 12, CM_DATA, "line 3: found a NUL byte"},
    {"tiny gzip", "\x1f\x8b\x08", 0, CM_DATA, "cut short"},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const table_case *at = &cases[i];
        temp_file file = temp_bytes(at->bytes, at->size > 0 ? at->size : strlen(at->bytes));
        char rows[512], line[1024];
        cm_error error = {.status = CM_OK};
        cm_status status = read_all(file.path, rows, sizeof rows, &error);
        unlink(file.path);
        if (status != at->status) fail_msg("%s: %s", at->name, cm_error_line(&error, line, sizeof line));
        if (status != CM_OK) {
            assert_string_equal(error.file, file.path);
            assert_says(&error, at->expected);
        } else if (strcmp(rows, at->expected) != 0) {
            fail_msg("%s: rows '%s'", at->name, rows);
        }
    }
}

static void test_columns(void **state) {
    (void)state;
    temp_file file = temp_bytes("smiles\tid \tlabel\nC\tx\t1\n", 24);
    cm_table *table = NULL;
    cm_error error;
    int column = -5;
    assert_int_equal(cm_table_open(&table, file.path, &error), CM_OK);
    assert_int_equal(cm_table_column(table, "label"), 2);
    assert_int_equal(cm_table_column(table, "id"), -1);
    assert_int_equal(cm_table_require(table, "smiles", &column, &error), CM_OK);
    assert_int_equal(column, 0);
    assert_int_equal(cm_table_require(table, "id", &column, &error), CM_DATA);
    assert_int_equal(column, 0);
    assert_says(&error, "found the columns 'smiles', 'id ', 'label', expected a column 'id'");
    assert_string_equal(cm_table_path(table), file.path);
    assert_string_equal(cm_table_cell(table, 0), "");
    cm_table_close(table);
    unlink(file.path);
}

typedef struct number_case {
    const char *text;
    cm_status status;
    double value;
} number_case;

static const number_case numbers[] = {
    {"1.5", CM_OK, 1.5},      {"-2e-3", CM_OK, -2e-3}, {"+7", CM_OK, 7},          {"0", CM_OK, 0},
    {"-0", CM_OK, 0},         {".5", CM_OK, 0.5},      {"5.", CM_OK, 5},          {"1E+2", CM_OK, 100},
    {"1e-400", CM_OK, 0},     {"1e308", CM_OK, 1e308}, {"1e400", CM_DATA, 0},     {"-1e400", CM_DATA, 0},
    {"1,5", CM_DATA, 0},      {"", CM_DATA, 0},        {" 1", CM_DATA, 0},        {"1 ", CM_DATA, 0},
    {"nan", CM_DATA, 0},      {"inf", CM_DATA, 0},     {"-Infinity", CM_DATA, 0}, {"0x10", CM_DATA, 0},
    {"1e", CM_DATA, 0},       {"1e+", CM_DATA, 0},     {".", CM_DATA, 0},         {"-", CM_DATA, 0},
    {"e5", CM_DATA, 0},       {"1.2.3", CM_DATA, 0},   {"--1", CM_DATA, 0},       {"1d5", CM_DATA, 0},
    {"\xd9\xa1", CM_DATA, 0}, {"1'000", CM_DATA, 0},   {"label", CM_DATA, 0},
};

static void check_numbers(void) {
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[64];
        int size = snprintf(text, sizeof text, "id\tlabel\nx\t%s\n", numbers[i].text);
        temp_file file = temp_bytes(text, (size_t)size);
        cm_table *table = NULL;
        cm_error error;
        bool more = false;
        double value = -99;
        assert_int_equal(cm_table_open(&table, file.path, &error), CM_OK);
        assert_int_equal(cm_table_next(table, &more, &error), CM_OK);
        assert_true(more);
        cm_status status = cm_table_number(table, 1, &value, &error);
        if (status != numbers[i].status) fail_msg("'%s' gives status %d", numbers[i].text, (int)status);
        assert_true(value == (status == CM_OK ? numbers[i].value : -99));
        assert_false(signbit(value) && value == 0);
        if (status != CM_OK) assert_says(&error, "line 2, column 'label'");
        cm_table_close(table);
        unlink(file.path);
    }
}

static void test_numbers(void **state) {
    (void)state;
    check_numbers();
}

static void test_numbers_foreign_locale(void **state) {
    (void)state;
    if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL && setlocale(LC_ALL, "fr_FR.UTF-8") == NULL) skip();
    check_numbers();
    setlocale(LC_ALL, "C");
}

static void test_compressed(void **state) {
    (void)state;
    static const char text[] = "a\tb\n1\t2\n3\t4\n";
    char rows[512];
    cm_error error;
    for (int gzip = 0; gzip < 2; gzip++) {
        temp_file file = temp_compressed(text, sizeof text - 1, gzip ? "wg" : "w");
        assert_int_equal(read_all(file.path, rows, sizeof rows, &error), CM_OK);
        assert_string_equal(rows, "2:1|2||3:3|4||");
        size_t size = 0;
        unsigned char *bytes = file_bytes(file.path, &size);
        unlink(file.path);
        for (size_t cut = 2; cut < size; cut++) {
            temp_file short_file = temp_bytes(bytes, cut);
            if (read_all(short_file.path, rows, sizeof rows, &error) != CM_DATA) fail_msg("cut at %zu", cut);
            unlink(short_file.path);
        }
        free(bytes);
    }
}

/* Lines and rows of 16 MiB and more. */
static void test_long_lines(void **state) {
    (void)state;
    static const size_t limit = (size_t)16 << 20;
    char rows[64], *text = malloc(limit + 64);
    cm_error error;
    assert_non_null(text);
    memcpy(text, "a\n", 2);
    memset(text + 2, 'x', limit);
    text[limit + 2] = '\n';
    temp_file file = temp_bytes(text, limit + 3);
    assert_int_equal(read_all(file.path, rows, sizeof rows, &error), CM_OK);
    unlink(file.path);
    text[limit + 2] = 'x';
    file = temp_bytes(text, limit + 3);
    assert_int_equal(read_all(file.path, rows, sizeof rows, &error), CM_DATA);
    assert_says(&error, "line 2: found a longer line, expected a line of at most 16 MiB");
    unlink(file.path);
    text[2] = '"';
    text[limit / 2] = '\n';
    text[limit] = '\n';
    file = temp_bytes(text, limit + 3);
    assert_int_equal(read_all(file.path, rows, sizeof rows, &error), CM_DATA);
    assert_says(&error, "line 2: found a quote that is never closed");
    unlink(file.path);
    for (size_t i = 3; i < limit; i += 1000) text[i] = '\n';
    memset(text + limit, 'x', 60);
    FILE *out = fopen(file.path, "wb");
    assert_non_null(out);
    fwrite(text, 1, limit, out);
    fwrite(text + 3, 1, limit, out);
    fclose(out);
    assert_int_equal(read_all(file.path, rows, sizeof rows, &error), CM_DATA);
    assert_says(&error, "line 2: found a longer row (is a quote left open?)");
    unlink(file.path);
    free(text);
}

static void test_many_columns(void **state) {
    (void)state;
    for (int columns = 10000; columns <= 10001; columns++) {
        char *text = malloc(80000), rows[512];
        size_t used = 0;
        assert_non_null(text);
        for (int c = 0; c < columns; c++)
            used += (size_t)snprintf(text + used, 80000 - used, "%sc%d", c > 0 ? "\t" : "", c);
        temp_file file = temp_bytes(text, used);
        cm_error error;
        assert_int_equal(read_all(file.path, rows, sizeof rows, &error), columns > 10000 ? CM_DATA : CM_OK);
        if (columns > 10000) assert_says(&error, "line 1: found more columns");
        unlink(file.path);
        free(text);
    }
}

static void test_kinds_of_files(void **state) {
    (void)state;
    temp_file file = temp_bytes("", 0);
    char rows[64];
    cm_error error;
    unlink(file.path);
    assert_int_equal(read_all(file.path, rows, sizeof rows, &error), CM_IO);
    assert_string_equal(error.file, file.path);
    assert_int_equal(read_all("/", rows, sizeof rows, &error), CM_DATA);
    assert_says(&error, "/: found a directory, expected a regular file");
    assert_int_equal(read_all("/dev/zero", rows, sizeof rows, &error), CM_DATA);
    assert_says(&error, "found a device");
    assert_int_equal(mkfifo(file.path, 0600), 0);
    assert_int_equal(read_all(file.path, rows, sizeof rows, &error), CM_DATA);
    assert_says(&error, "found a FIFO, expected a regular file, or \"-\"");
    unlink(file.path);
    assert_int_equal(read_all("http://127.0.0.1/x", rows, sizeof rows, &error), CM_IO);
}

static void test_standard_input(void **state) {
    (void)state;
    int saved = dup(STDIN_FILENO), ends[2];
    char rows[64];
    cm_error error;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "a\tb\n1\t2\n", 8), 8);
    close(ends[1]);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    cm_status status = read_all("-", rows, sizeof rows, &error);
    int folder = open("/", O_RDONLY);
    assert_int_equal(dup2(folder, STDIN_FILENO), STDIN_FILENO);
    cm_status from_folder = read_all("-", rows, sizeof rows, &error);
    close(STDIN_FILENO);
    cm_status from_closed = read_all("-", rows, sizeof rows, &error);
    close(ends[0]);
    close(folder);
    if (saved >= 0) {
        dup2(saved, STDIN_FILENO);
        close(saved);
    }
    assert_int_equal(status, CM_OK);
    assert_int_equal(from_folder, CM_DATA);
    assert_int_equal(from_closed, CM_IO);
}

static void test_out_of_memory(void **state) {
    (void)state;
    temp_file file = temp_bytes("a,b\n\"1\n2\",2\n", 12);
    cm_status status = CM_MEMORY;
    long n = 0;
    for (;; n++) {
        char rows[64];
        cm_error error;
        fail_alloc_from(n);
        status = read_all(file.path, rows, sizeof rows, &error);
        if (!fail_alloc_stop()) break;
        assert_int_equal(status, CM_MEMORY);
    }
    assert_int_equal(status, CM_OK);
    assert_true(n > 6);
    unlink(file.path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),          cmocka_unit_test(test_columns),
        cmocka_unit_test(test_numbers),        cmocka_unit_test(test_numbers_foreign_locale),
        cmocka_unit_test(test_compressed),     cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_many_columns),   cmocka_unit_test(test_kinds_of_files),
        cmocka_unit_test(test_standard_input), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
