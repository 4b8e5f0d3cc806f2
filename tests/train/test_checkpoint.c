/* Checkpoints of training: what is read back, what is refused, and which of the two files is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "checkpoint_run.h"
#include "fail_alloc.h"
#include "io/sealed.h"
#include "train/checkpoint.h"
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- two files ---- */

static void test_last_two_states(void **state) {
    (void)state;
    run r = run_create();
    cm_error error;
    bool found = true;
    assert_int_equal(read_into(&r, &found, &error), CM_OK);
    assert_false(found);
    write_at(&r, 0); /* moments of 0 */
    assert_int_equal(read_fresh(&error, 0), CM_OK);
    remove_files();
    r.checkpoint.current = false;
    write_at(&r, 7);
    assert_int_equal(access(previous, F_OK), -1);
    for (int step = 8; step <= STEPS; step += 8) {
        write_at(&r, step);
        assert_int_equal(read_fresh(&error, step), CM_OK);
    }
    assert_int_equal(rename(previous, path), 0);
    assert_int_equal(read_fresh(&error, 32), CM_OK);
    write_at(&r, 33);
    assert_int_equal(cm_train_checkpoint_remove(path, &error), CM_OK);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(previous, F_OK), -1);
    assert_int_equal(cm_train_checkpoint_remove(path, &error), CM_OK);
    run_clear(&r);
}

/* A run that has not read what is at PATH does not know that it is whole: it is replaced, and what is at
 * PATH.previous stays. */
static void test_first_write_keeps_the_previous(void **state) {
    (void)state;
    run r = run_create();
    cm_error error;
    write_at(&r, 5);
    write_at(&r, 6);
    run_clear(&r);
    r = run_create();
    write_at(&r, 9);
    assert_int_equal(read_fresh(&error, 9), CM_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(read_fresh(&error, 5), CM_OK);
    run_clear(&r);
    remove_files();
}

/* What is done to PATH and PATH.previous, of steps 12 and 11. */
typedef struct fall_row {
    const char *name;
    char last, before; /* w: whole, d: damaged, m: missing, f: of another key, e: empty */
    int step;          /* that is read; 0: none, -1: refused */
    const char *says;  /* the message or the log */
} fall_row;

static const fall_row fall_rows[] = {
    {"both whole", 'w', 'w', 12, ""},
    {"the first one", 'w', 'm', 12, ""},
    {"last damaged", 'd', 'w', 11, "run.checkpoint: sha256: found other contents: the file is damaged"},
    {"last empty", 'e', 'w', 11, "warning: "},
    {"between two renames", 'm', 'w', 11, "the last checkpoint was not finished"},
    {"previous damaged", 'w', 'd', 12, ""},
    {"both damaged", 'd', 'd', -1, "run.checkpoint.previous: sha256"},
    {"last damaged, no other", 'd', 'm', -1, "run.checkpoint: sha256"},
    {"last empty, no other", 'e', 'm', -1, "run.checkpoint: "},
    {"no last, previous damaged", 'm', 'd', -1, "run.checkpoint.previous: sha256"},
    {"last of another run", 'f', 'w', -1, "other data or options"},
    {"previous of another run", 'd', 'f', -1, "run.checkpoint.previous: key"},
    {"neither", 'm', 'm', 0, ""},
};

static void flip(const char *file, long at, int bit) {
    FILE *stream = fopen(file, "r+b");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(stream) ^ 1 << bit;
    assert_int_equal(fseek(stream, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    assert_int_equal(fputc(byte, stream), byte);
    assert_int_equal(fclose(stream), 0);
}

static void spoil(const char *file, char how) {
    if (how == 'd') flip(file, -1, 3);
    if (how == 'm') assert_int_equal(unlink(file), 0);
    if (how == 'e') assert_int_equal(truncate(file, 0), 0);
}

static void make_files(const fall_row *row) {
    run r = run_create();
    remove_files();
    if (row->before == 'f') r.checkpoint.key = OTHER_KEY;
    write_at(&r, 11);
    r.checkpoint.key = row->last == 'f' ? OTHER_KEY : KEY;
    write_at(&r, 12);
    spoil(path, row->last);
    spoil(previous, row->before);
    run_clear(&r);
}

static void check_fall(const fall_row *row) {
    run r = run_create();
    cm_error error;
    bool found = false;
    advance(&r, 1);
    cm_status status = read_into(&r, &found, &error);
    if (status != (row->step < 0 ? CM_DATA : CM_OK)) fail_msg("%s: status %d", row->name, (int)status);
    assert_int_equal(found, row->step > 0);
    assert_at(&r, row->step > 0 ? row->step : 1);
    if (row->step < 0)
        assert_says(&error, row->says);
    else if (!strstr(r.logged, row->says) || (row->step == 12 && r.logged[0]))
        fail_msg("%s: logged '%s'", row->name, r.logged);
    if (row->step == 11) assert_non_null(strstr(r.logged, "; going on from /tmp/test_checkpoint_"));
    run_clear(&r);
}

/* The state that was read is at PATH.previous still when the next one has been written beside it. */
static void check_next_write(const fall_row *row) {
    run r = run_create();
    cm_error error;
    bool found = false;
    assert_int_equal(read_into(&r, &found, &error), CM_OK);
    write_at(&r, 13);
    assert_int_equal(read_fresh(&error, 13), CM_OK);
    assert_int_equal(unlink(path), 0);
    if (row->before != 'm' || row->last == 'w') assert_int_equal(read_fresh(&error, row->step), CM_OK);
    run_clear(&r);
}

/* The error record may be missing; one that is given is only filled on failure. */
static void check_record(const fall_row *row) {
    run r = run_create();
    cm_error error = {.status = CM_OK, .found = "as it was"};
    bool found = false;
    cm_status wanted = row->step < 0 ? CM_DATA : CM_OK;
    assert_int_equal(cm_train_checkpoint_read(&r.checkpoint, r.params, r.adamw, &r.state, &found, NULL, NULL),
                     wanted);
    assert_int_equal(
        cm_train_checkpoint_read(&r.checkpoint, r.params, r.adamw, &r.state, &found, NULL, &error), wanted);
    assert_int_equal(error.status, wanted);
    if (row->step >= 0) assert_string_equal(error.found, "as it was");
    run_clear(&r);
}

static void test_which_file_is_taken(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof fall_rows / sizeof *fall_rows; i++) {
        make_files(&fall_rows[i]);
        check_record(&fall_rows[i]);
        check_fall(&fall_rows[i]);
        if (fall_rows[i].step > 0) check_next_write(&fall_rows[i]);
    }
    remove_files();
}

/* ---- damage ---- */

static size_t size_of(const char *file) {
    struct stat info;
    assert_int_equal(stat(file, &info), 0);
    return (size_t)info.st_size;
}

static void test_every_bit(void **state) {
    (void)state;
    run r = run_create();
    cm_error error;
    write_at(&r, 25);
    size_t size = size_of(path);
    for (size_t at = 0; at < size; at++)
        for (int bit = 0; bit < 8; bit++) {
            flip(path, (long)at, bit);
            cm_status status = read_fresh(&error, 25);
            if (status != CM_DATA)
                fail_msg("bit %d of byte %zu of %zu: status %d", bit, at, size, (int)status);
            assert_string_equal(error.file, path);
            flip(path, (long)at, bit);
        }
    assert_int_equal(read_fresh(&error, 25), CM_OK);
    run_clear(&r);
    remove_files();
}

/* A bit of every byte, and all of the version's digit: the previous one is taken. */
static void test_falls_at_every_byte(void **state) {
    (void)state;
    static char bytes[8192];
    run r = run_create();
    cm_error error;
    write_at(&r, 25);
    write_at(&r, 26);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    const char mark[] = "format_version\":\"";
    const char *version = memmem(bytes, size, mark, sizeof mark - 1);
    assert_non_null(version);
    size_t digit = (size_t)(version - bytes) + sizeof mark - 1;
    for (size_t i = 0; i < size + 8; i++) {
        size_t at = i < size ? i : digit;
        int bit = (int)(i < size ? i % 8 : i - size);
        flip(path, (long)at, bit);
        if (read_fresh(&error, 25) != CM_OK) fail_msg("bit %d of byte %zu of %zu", bit, at, size);
        flip(path, (long)at, bit);
    }
    assert_int_equal(read_fresh(&error, 26), CM_OK);
    run_clear(&r);
    remove_files();
}

static void test_every_length(void **state) {
    (void)state;
    run r = run_create();
    cm_error error;
    write_at(&r, 25);
    size_t size = size_of(path);
    assert_int_equal(truncate(path, (off_t)size + 1), 0);
    assert_int_equal(read_fresh(&error, 25), CM_DATA);
    for (size_t length = size; length-- > 0;) {
        assert_int_equal(truncate(path, (off_t)length), 0);
        assert_int_equal(read_fresh(&error, 25), CM_DATA);
        assert_string_equal(error.file, path);
    }
    run_clear(&r);
    remove_files();
}

/* ---- what is no file ---- */

static void test_files_that_are_none(void **state) {
    (void)state;
    cm_error error;
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(read_fresh(&error, 0), CM_IO);
    assert_says(&error, "a directory");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_int_equal(read_fresh(&error, 0), CM_IO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_int_equal(read_fresh(&error, 0), CM_IO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(path, path), 0); /* not even "not there" */
    assert_int_equal(read_fresh(&error, 0), CM_IO);
    assert_int_equal(unlink(path), 0);
}

/* ---- writing that fails ---- */

/* A full disk: the state before is still there and is read. */
static void test_full_disk(void **state) {
    (void)state;
    run r = run_create();
    cm_error error = {0};
    struct rlimit before, small;
    write_at(&r, 11);
    advance(&r, 12);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 512;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(cm_train_checkpoint_write(&r.checkpoint, r.params, r.adamw, &r.state, &error),
                         CM_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_string_equal(error.file, path);
    assert_int_equal(read_fresh(&error, 11), CM_OK);
    write_at(&r, 13);
    assert_int_equal(read_fresh(&error, 13), CM_OK);
    run_clear(&r);
    remove_files();
}

static void test_folder_removed(void **state) {
    (void)state;
    run r = run_create();
    cm_error error = {0};
    write_at(&r, 11);
    remove_files();
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(cm_train_checkpoint_write(&r.checkpoint, r.params, r.adamw, &r.state, &error), CM_IO);
    assert_string_equal(error.file, path);
    assert_int_equal(cm_train_checkpoint_remove(path, &error), CM_OK);
    assert_int_equal(mkdir(folder, 0777), 0);
    run_clear(&r);
}

static void test_previous_cannot_be_kept(void **state) {
    (void)state;
    run r = run_create();
    cm_error error = {0};
    char inside[128];
    snprintf(inside, sizeof inside, "%s/x", previous);
    write_at(&r, 11);
    assert_int_equal(mkdir(previous, 0777), 0);
    assert_int_equal(mkdir(inside, 0777), 0);
    advance(&r, 12);
    assert_int_equal(cm_train_checkpoint_write(&r.checkpoint, r.params, r.adamw, &r.state, &error), CM_IO);
    assert_says(&error, "cannot keep the checkpoint before");
    assert_int_equal(cm_train_checkpoint_remove(path, &error), CM_IO);
    assert_says(&error, "cannot remove");
    assert_int_equal(rmdir(inside), 0);
    assert_int_equal(rmdir(previous), 0);
    assert_int_equal(read_fresh(&error, 11), CM_OK);
    run_clear(&r);
    remove_files();
}

static void test_out_of_memory(void **state) {
    (void)state;
    run r = run_create();
    cm_error error = {0};
    write_at(&r, 11);
    write_at(&r, 12);
    for (long n = 0;; n++) {
        bool found;
        run fresh = run_create();
        advance(&fresh, 1);
        fail_alloc_from(n);
        cm_status status = read_into(&fresh, &found, &error);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        assert_at(&fresh, failed ? 1 : 12);
        run_clear(&fresh);
        if (!failed) break;
    }
    for (long n = 0;; n++) {
        advance(&r, 13);
        fail_alloc_from(n);
        cm_status status = cm_train_checkpoint_write(&r.checkpoint, r.params, r.adamw, &r.state, &error);
        if (!fail_alloc_stop()) break;
        assert_int_equal(status, CM_MEMORY);
        assert_int_equal(read_fresh(&error, 12), CM_OK);
    }
    run_clear(&r);
    remove_files();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_two_states),     cmocka_unit_test(test_first_write_keeps_the_previous),
        cmocka_unit_test(test_which_file_is_taken), cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_falls_at_every_byte), cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_files_that_are_none), cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_folder_removed),      cmocka_unit_test(test_previous_cannot_be_kept),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
