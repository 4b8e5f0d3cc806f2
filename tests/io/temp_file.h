/* Temporary input files for the tests of the text readers. */
#ifndef TESTS_IO_TEMP_FILE_H
#define TESTS_IO_TEMP_FILE_H

#include <crossmamba/error.h>
#include <htslib/bgzf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct temp_file {
    char path[64];
} temp_file;

/* A new file with these bytes; remove it with unlink. */
static inline temp_file temp_bytes(const void *bytes, size_t size) {
    temp_file file = {P_tmpdir "/cm_test_XXXXXX"};
    int fd = mkstemp(file.path);
    assert_true(fd >= 0);
    FILE *stream = fdopen(fd, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, size, stream), size);
    assert_int_equal(fclose(stream), 0);
    return file;
}

/* mode "w": bgzf, "wg": gzip. */
static inline temp_file temp_compressed(const void *bytes, size_t size, const char *mode) {
    temp_file file = temp_bytes("", 0);
    BGZF *out = bgzf_open(file.path, mode);
    assert_non_null(out);
    assert_int_equal(bgzf_write(out, bytes, size), size);
    assert_int_equal(bgzf_close(out), 0);
    return file;
}

/* A file's bytes, to be freed. */
static inline unsigned char *file_bytes(const char *path, size_t *size) {
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, 0, SEEK_END), 0);
    *size = (size_t)ftell(stream);
    rewind(stream);
    unsigned char *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, stream), *size);
    fclose(stream);
    return bytes;
}

/* What the error record says, in one line, holds part. */
static inline void assert_says(const cm_error *error, const char *part) {
    char line[1024];
    cm_error_line(error, line, sizeof line);
    if (strstr(line, part) == NULL) fail_msg("'%s' does not hold '%s'", line, part);
}

#endif
