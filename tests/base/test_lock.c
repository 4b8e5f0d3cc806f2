/* Locks between processes: one holder at a time, nothing left behind by one that ends as it should, nobody
 * blocked by one that was killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/lock.h"
#include "fail_alloc.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], path[96];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "test_lock_XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/run.lock", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

static cm_status take(cm_lock **lock, cm_error *error) {
    *error = (cm_error){0};
    return cm_lock_take(lock, path, "held by somebody", "nobody", error);
}

static void test_one_at_a_time(void **state) {
    (void)state;
    cm_lock *first = NULL, *second = NULL;
    cm_error error;
    assert_int_equal(take(&first, &error), CM_OK);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(take(&second, &error), CM_IO);
    assert_null(second);
    assert_string_equal(error.file, path);
    assert_string_equal(error.found, "held by somebody");
    assert_string_equal(error.expected, "nobody");
    assert_int_equal(cm_lock_release(first, &error), CM_OK);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(take(&second, &error), CM_OK);
    assert_int_equal(cm_lock_release(second, &error), CM_OK);
    assert_int_equal(cm_lock_release(NULL, &error), CM_OK);
}

/* A child takes the lock and says so through the pipe, then waits. */
static pid_t holder(void) {
    int ends[2];
    char byte = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        cm_lock *lock;
        cm_error error;
        if (take(&lock, &error) != CM_OK || write(ends[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    assert_true(child > 0);
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return child;
}

static void test_killed_holder_blocks_nobody(void **state) {
    (void)state;
    cm_lock *lock = NULL;
    cm_error error;
    pid_t child = holder();
    assert_int_equal(take(&lock, &error), CM_IO);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(take(&lock, &error), CM_OK);
    assert_int_equal(cm_lock_release(lock, &error), CM_OK);
    assert_int_equal(access(path, F_OK), -1);
}

/* Many processes take and release; at no time do two hold it. Each holder makes and removes a file that must
 * not be there. */
static void test_many_processes(void **state) {
    (void)state;
    enum { PROCESSES = 4, ROUNDS = 200 };
    pid_t children[PROCESSES];
    char alone[128];
    snprintf(alone, sizeof alone, "%s/alone", folder);
    for (int c = 0; c < PROCESSES; c++) {
        children[c] = fork();
        if (children[c] != 0) continue;
        alarm(60); /* a broken lock must not hold the test up */
        for (int held = 0; held < ROUNDS;) {
            cm_lock *lock;
            cm_error error;
            if (take(&lock, &error) != CM_OK) continue;
            int fd = open(alone, O_WRONLY | O_CREAT | O_EXCL, 0666);
            if (fd < 0 || close(fd) != 0 || unlink(alone) != 0) _exit(1);
            if (cm_lock_release(lock, &error) != CM_OK) _exit(2);
            held++;
        }
        _exit(0);
    }
    for (int c = 0; c < PROCESSES; c++) {
        int status = -1;
        assert_int_equal(waitpid(children[c], &status, 0), children[c]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(access(path, F_OK), -1);
}

/* In a process without standard input the lock gets its descriptor. */
static void test_without_standard_input(void **state) {
    (void)state;
    cm_lock *lock = NULL;
    cm_error error;
    int saved = fcntl(STDIN_FILENO, F_DUPFD, 3);
    close(STDIN_FILENO);
    cm_status taken = take(&lock, &error);
    bool was_given = taken == CM_OK && fcntl(STDIN_FILENO, F_GETFD) >= 0;
    cm_status released = cm_lock_release(lock, &error);
    if (saved >= 0) {
        dup2(saved, STDIN_FILENO);
        close(saved);
    }
    assert_int_equal(taken, CM_OK);
    assert_true(was_given);
    assert_int_equal(released, CM_OK);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_what_cannot_be_locked(void **state) {
    (void)state;
    cm_lock *lock = NULL;
    cm_error error;
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(take(&lock, &error), CM_IO);
    assert_string_equal(error.found, "cannot lock: Is a directory");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("elsewhere", path), 0);
    assert_int_equal(take(&lock, &error), CM_IO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(cm_lock_take(&lock, "no/such/folder/lock", "held", "free", &error), CM_IO);
    assert_string_equal(error.file, "no/such/folder/lock");
    assert_string_equal(error.found, "cannot lock: No such file or directory");
}

static void test_file_that_cannot_be_removed(void **state) {
    (void)state;
    cm_lock *lock = NULL;
    cm_error error;
    assert_int_equal(take(&lock, &error), CM_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(cm_lock_release(lock, &error), CM_OK); /* somebody did it already */
    assert_int_equal(take(&lock, &error), CM_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(cm_lock_release(lock, &error), CM_IO);
    assert_string_equal(error.file, path);
    assert_int_equal(rmdir(path), 0);
}

static void test_out_of_memory(void **state) {
    (void)state;
    for (long n = 0;; n++) {
        cm_lock *lock = NULL;
        cm_error error;
        fail_alloc_from(n);
        cm_status status = take(&lock, &error);
        if (!fail_alloc_stop()) {
            assert_int_equal(cm_lock_release(lock, &error), CM_OK);
            break;
        }
        assert_int_equal(status, CM_MEMORY);
        assert_int_equal(access(path, F_OK), -1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_at_a_time),         cmocka_unit_test(test_killed_holder_blocks_nobody),
        cmocka_unit_test(test_many_processes),        cmocka_unit_test(test_without_standard_input),
        cmocka_unit_test(test_what_cannot_be_locked), cmocka_unit_test(test_file_that_cannot_be_removed),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
