/* FASTA reading from compressed files, from standard input, and without memory. The table of odd and bad
 * files is tests/bad_input/test_bad_fasta.c. */
#include "io/fasta.h"
#include "temp_file.h"
#include <htslib/hts_log.h>

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

/* However large, compressed text is no bomb while its file is not small: here it is stored as it is. */
static void test_large_compressed(void **state) {
    (void)state;
    enum { RECORDS = 3, LETTERS = 22000000 };
    temp_file file = temp_bytes("", 0);
    char *letters = malloc(LETTERS + 1), records[512];
    BGZF *out = bgzf_open(file.path, "wg0");
    cm_error error;
    assert_true(letters && out);
    memset(letters, 'A', LETTERS);
    letters[LETTERS] = '\n';
    for (int i = 0; i < RECORDS; i++) {
        assert_int_equal(bgzf_write(out, ">a\n", 3), 3);
        assert_int_equal(bgzf_write(out, letters, LETTERS + 1), LETTERS + 1);
    }
    assert_int_equal(bgzf_close(out), 0);
    assert_int_equal(read_all(file.path, records, sizeof records, &error), CM_OK);
    unlink(file.path);
    free(letters);
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
    /* htslib prints nothing of its own */
    assert_int_equal(hts_get_log_level(), HTS_LOG_OFF);
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
        cmocka_unit_test(test_compressed),         cmocka_unit_test(test_large_compressed),
        cmocka_unit_test(test_damaged_compressed), cmocka_unit_test(test_many_members),
        cmocka_unit_test(test_standard_input),     cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
