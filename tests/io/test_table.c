/* TSV and CSV reading: columns, numbers, compressed files, standard input, and without memory. The table of
 * odd and bad files is tests/bad_input/test_bad_table.c. */
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
    assert_int_equal(from_folder, CM_IO);
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

/* The first column is named, too. */
static void test_bad_number_is_placed(void **state) {
    (void)state;
    temp_file file = temp_bytes("value\tid\nx\ty\n", 13);
    cm_table *table = NULL;
    cm_error error;
    double value;
    bool more;
    assert_int_equal(cm_table_open(&table, file.path, &error), CM_OK);
    assert_int_equal(cm_table_next(table, &more, &error), CM_OK);
    assert_int_equal(cm_table_number(table, 0, &value, &error), CM_DATA);
    assert_string_equal(error.place, "line 2, column 'value'");
    cm_table_close(table);
    unlink(file.path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_number_is_placed),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_numbers_foreign_locale),
        cmocka_unit_test(test_compressed),
        cmocka_unit_test(test_standard_input),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
