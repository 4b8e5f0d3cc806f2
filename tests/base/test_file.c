/* Mapping of regular files only, and replacing a file whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "fail_alloc.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[64];
static char path_text[400];

static const char *path_in(const char *name) {
    snprintf(path_text, sizeof path_text, "%s/%s", folder, name);
    return path_text;
}

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "test_file_XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    DIR *list = opendir(folder);
    if (!list) return -1;
    for (struct dirent *entry; (entry = readdir(list));) {
        if (entry->d_name[0] != '.') remove(path_in(entry->d_name));
    }
    closedir(list);
    return rmdir(folder);
}

static int entries_in_folder(void) {
    int count = 0;
    DIR *list = opendir(folder);
    for (struct dirent *entry; (entry = readdir(list));) count += entry->d_name[0] != '.';
    closedir(list);
    return count;
}

static cm_status replace_text(const char *path, const char *text, cm_error *error) {
    cm_file_part part = {.data = text, .size = strlen(text)};
    return cm_file_replace(path, &part, 1, error);
}

static void assert_content(const char *path, const char *text) {
    cm_file_map map;
    assert_int_equal(cm_file_map_open(&map, path, NULL), CM_OK);
    assert_int_equal(map.size, strlen(text));
    if (map.size > 0) assert_memory_equal(map.data, text, map.size);
    cm_file_map_close(&map);
    assert_null(map.data);
}

static void assert_map_refused(const char *path, const char *found) {
    cm_file_map map = {.size = 7};
    cm_error error;
    assert_int_equal(cm_file_map_open(&map, path, &error), CM_IO);
    assert_string_equal(error.file, path);
    assert_string_equal(error.found, found);
    assert_int_equal(map.size, 7);
}

/* What was opened stays as it was; a large file is mapped instead, and its pages can be dropped. */
static void copies_stay(void **state) {
    (void)state;
    cm_file_map map;
    assert_int_equal(replace_text(path_in("changed"), "before", NULL), CM_OK);
    assert_int_equal(cm_file_map_open(&map, path_in("changed"), NULL), CM_OK);
    assert_true(map.copied);
    assert_int_equal(truncate(path_in("changed"), 2), 0);
    cm_file_map_drop(&map, map.data, map.size);
    assert_memory_equal(map.data, "before", 6);
    cm_file_map_close(&map);
    assert_int_equal(truncate(path_in("changed"), CM_FILE_COPY), 0);
    assert_int_equal(cm_file_map_open(&map, path_in("changed"), NULL), CM_OK);
    assert_true(map.copied);
    cm_file_map_close(&map);
    assert_int_equal(truncate(path_in("changed"), CM_FILE_COPY + 1), 0);
    assert_int_equal(cm_file_map_open(&map, path_in("changed"), NULL), CM_OK);
    assert_false(map.copied);
    cm_file_map_drop(&map, map.data, map.size);
    assert_int_equal(map.data[CM_FILE_COPY], 0);
    cm_file_map_close(&map);
    assert_int_equal(remove(path_in("changed")), 0);
}

static void parts_are_joined(void **state) {
    (void)state;
    const char *path = path_in("joined");
    cm_file_part parts[] = {{"ab", 2}, {NULL, 0}, {"cde", 3}};
    assert_int_equal(cm_file_replace(path, parts, 3, NULL), CM_OK);
    assert_content(path, "abcde");
    assert_int_equal(cm_file_replace(path, NULL, 0, NULL), CM_OK);
    assert_content(path, "");
}

static void old_content_is_replaced(void **state) {
    (void)state;
    const char *path = path_in("twice");
    assert_int_equal(replace_text(path, "the first and longer text", NULL), CM_OK);
    assert_int_equal(replace_text(path, "second", NULL), CM_OK);
    assert_content(path, "second");
    assert_int_equal(entries_in_folder(), 2); /* joined, twice: nothing left behind */
}

static void relative_names_work(void **state) {
    (void)state;
    char name[80];
    snprintf(name, sizeof name, "%s_beside", folder);
    assert_int_equal(replace_text(name, "x", NULL), CM_OK);
    assert_content(name, "x");
    unlink(name);
}

/* Makes base.tmp.<pid>.number beside path; its descriptor. */
static int make_temporary(const char *path, int number) {
    char name[500];
    snprintf(name, sizeof name, "%s.tmp.%ld.%d", path, (long)getpid(), number);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0666);
    assert_true(fd >= 0);
    return fd;
}

/* What a killed process has left has no lock. */
static void a_leftover_temporary_is_removed(void **state) {
    (void)state;
    const char *path = path_in("stale");
    int before = entries_in_folder();
    close(make_temporary(path, 0));
    close(make_temporary(path, 7));
    assert_int_equal(replace_text(path, "new", NULL), CM_OK);
    assert_content(path, "new");
    assert_int_equal(entries_in_folder(), before + 1);
}

/* Names that only look like it stay. */
static void other_names_stay(void **state) {
    (void)state;
    static const char *const names[] = {"keep.tmp",      "keep.tmp.1",     "keep.tmp.1.",  "keep.tmp.x.1",
                                        "keep.tmp.1.1x", "keeper.tmp.1.1", "leek.tmp.1.1", "keep_tmp.1.1"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) fclose(fopen(path_in(names[i]), "w"));
    int before = entries_in_folder();
    cm_file_sweep(path_in("keep"));
    assert_int_equal(entries_in_folder(), before);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) assert_int_equal(unlink(path_in(names[i])), 0);
}

/* One that is being written, by whomever, is passed over; a hundred of them are not. */
static void a_locked_temporary_is_passed_over(void **state) {
    (void)state;
    cm_error error;
    const char *path = path_in("stale");
    int locked[100], before = entries_in_folder();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(replace_text(path, "newer", NULL), CM_OK);
        locked[i] = make_temporary(path, i);
        assert_int_equal(flock(locked[i], LOCK_EX), 0);
    }
    assert_int_equal(replace_text(path, "newest", &error), CM_IO);
    assert_string_equal(error.found, "cannot write: File exists");
    assert_content(path, "newer");
    for (int i = 0; i < 100; i++) close(locked[i]);
    cm_file_sweep(path);
    assert_int_equal(entries_in_folder(), before);
}

static void assert_replace_refused(const char *path, const char *found) {
    cm_error error;
    assert_int_equal(replace_text(path, "x", &error), CM_IO);
    assert_string_equal(error.file, path);
    assert_string_equal(error.found, found);
}

static void bad_targets_are_refused(void **state) {
    (void)state;
    char long_name[500];
    assert_replace_refused(path_in("none/file"), "cannot write: No such file or directory");
    assert_replace_refused(path_in("twice/file"), "cannot write: Not a directory");
    assert_replace_refused("/dev/null", "a device");
    assert_replace_refused(path_in(""), "the name of a folder");
    assert_replace_refused(path_in("."), "a directory");
    assert_replace_refused("", "the name of a folder");
    snprintf(long_name, sizeof long_name, "%s/%0250d", folder, 1); /* fits, but not with a suffix */
    cm_error error;
    assert_int_equal(replace_text(long_name, "x", &error), CM_IO);
    assert_string_equal(error.found, "cannot write: File name too long");
    snprintf(long_name, sizeof long_name, "%s/%0300d", folder, 1);
    assert_int_equal(replace_text(long_name, "x", NULL), CM_IO);
}

static void read_only_folder_is_refused(void **state) {
    (void)state;
    if (geteuid() == 0) skip(); /* root may write anywhere */
    assert_int_equal(replace_text(path_in("kept"), "old", NULL), CM_OK);
    chmod(folder, 0555);
    assert_replace_refused(path_in("kept"), "cannot write: Permission denied");
    chmod(folder, 0755);
    assert_content(path_in("kept"), "old");
}

/* A write that fails halfway, as on a full disk: here at the limit of the file size. */
static void failed_write_leaves_the_old_file(void **state) {
    (void)state;
    const char *path = path_in("limited");
    static char large[100000];
    struct rlimit old, small;
    assert_int_equal(replace_text(path, "old", NULL), CM_OK);
    int entries = entries_in_folder();
    cm_file_part part = {.data = large, .size = sizeof large};
    cm_error error;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){.rlim_cur = 50000, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    cm_status status = cm_file_replace(path, &part, 1, &error);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, CM_IO);
    assert_string_equal(error.found, "cannot write: File too large");
    assert_content(path, "old");
    assert_int_equal(entries_in_folder(), entries);
}

/* What a call before has left in errno is none of the file's business. */
static void an_old_errno_does_not_matter(void **state) {
    (void)state;
    static const int codes[] = {EWOULDBLOCK, EEXIST, EINTR, ENOENT};
    const char *path = path_in("errno");
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        assert_int_equal(replace_text(path, "old", NULL), CM_OK);
        errno = codes[i];
        assert_int_equal(replace_text(path, "new", NULL), CM_OK);
        errno = codes[i];
        assert_content(path, "new");
    }
    assert_int_equal(remove(path), 0);
}

/* Files of the kernel say a size that they do not have. */
static void a_file_shorter_than_it_says_is_refused(void **state) {
    (void)state;
    static const char name[] = "/sys/devices/system/cpu/possible";
    struct stat info;
    cm_file_map map;
    cm_error error;
    if (stat(name, &info) != 0 || info.st_size < 1024) skip();
    alarm(10); /* a reader that waits for the rest must not hold the test up */
    errno = EINTR;
    assert_int_equal(cm_file_map_open(&map, name, &error), CM_IO);
    alarm(0);
    assert_string_equal(error.expected, "a file that stays as it is while it is read");
}

/* With no descriptor left at one point or another of the way, the old file stays and nothing lies beside it.
 */
static void without_descriptors_nothing_is_left(void **state) {
    (void)state;
    const char *path = path_in("scarce");
    struct rlimit old, few;
    int failed = 0;
    assert_int_equal(replace_text(path, "old", NULL), CM_OK);
    int entries = entries_in_folder(), next = dup(STDOUT_FILENO);
    close(next);
    getrlimit(RLIMIT_NOFILE, &old);
    for (int more = 0; more < 6; more++) {
        few = (struct rlimit){.rlim_cur = (rlim_t)(next + more), .rlim_max = old.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        cm_status status = replace_text(path, "new", NULL);
        setrlimit(RLIMIT_NOFILE, &old);
        failed += status != CM_OK;
        assert_true(status == CM_OK || status == CM_IO);
        assert_int_equal(entries_in_folder(), entries);
        assert_content(path, status == CM_OK ? "new" : "old");
        assert_int_equal(replace_text(path, "old", NULL), CM_OK);
    }
    assert_true(failed >= 3);
    assert_int_equal(remove(path), 0);
}

static void out_of_memory(void **state) {
    (void)state;
    fail_alloc_from(0);
    cm_status status = replace_text(path_in("memory"), "x", NULL);
    assert_true(fail_alloc_stop());
    assert_int_equal(status, CM_MEMORY);
}

static void links_are_replaced_themselves(void **state) {
    (void)state;
    char target[400];
    snprintf(target, sizeof target, "%s", path_in("target"));
    assert_int_equal(replace_text(target, "target", NULL), CM_OK);
    const char *link_path = path_in("link");
    assert_int_equal(symlink("target", link_path), 0);
    assert_content(link_path, "target");
    assert_int_equal(replace_text(link_path, "link", NULL), CM_OK);
    assert_content(link_path, "link");
    assert_content(target, "target");
}

/* A link to a device is not a file's to replace. */
static void links_to_devices_are_refused(void **state) {
    (void)state;
    assert_int_equal(symlink("/dev/null", path_in("device")), 0);
    assert_replace_refused(path_in("device"), "a device");
}

static void only_regular_files_are_mapped(void **state) {
    (void)state;
    assert_map_refused(path_in("absent"), "cannot open: No such file or directory");
    assert_map_refused(folder, "a directory");
    assert_map_refused("/dev/zero", "a device");
    assert_int_equal(mkfifo(path_in("fifo"), 0600), 0);
    assert_map_refused(path_in("fifo"), "a FIFO"); /* and does not wait for a writer */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    const char *socket_path = path_in("socket");
    assert_true(strlen(socket_path) < sizeof address.sun_path);
    memcpy(address.sun_path, socket_path, strlen(socket_path));
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        assert_map_refused(path_in("socket"), "a socket");
    }
    close(fd);
}

static void unreadable_files_are_refused(void **state) {
    (void)state;
    if (geteuid() == 0) skip();
    assert_int_equal(replace_text(path_in("secret"), "x", NULL), CM_OK);
    chmod(path_in("secret"), 0);
    assert_map_refused(path_in("secret"), "cannot open: Permission denied");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_stay),
        cmocka_unit_test(parts_are_joined),
        cmocka_unit_test(old_content_is_replaced),
        cmocka_unit_test(relative_names_work),
        cmocka_unit_test(a_leftover_temporary_is_removed),
        cmocka_unit_test(other_names_stay),
        cmocka_unit_test(a_locked_temporary_is_passed_over),
        cmocka_unit_test(bad_targets_are_refused),
        cmocka_unit_test(read_only_folder_is_refused),
        cmocka_unit_test(failed_write_leaves_the_old_file),
        cmocka_unit_test(an_old_errno_does_not_matter),
        cmocka_unit_test(a_file_shorter_than_it_says_is_refused),
        cmocka_unit_test(without_descriptors_nothing_is_left),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(links_are_replaced_themselves),
        cmocka_unit_test(links_to_devices_are_refused),
        cmocka_unit_test(only_regular_files_are_mapped),
        cmocka_unit_test(unreadable_files_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
