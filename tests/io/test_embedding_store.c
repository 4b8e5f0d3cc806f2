/* The embedding store: records come back to the bit, also after growth, damage, kill -9, and with several
 * threads and processes; what is no store is refused with its reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "fail_alloc.h"
#include "io/embedding_store.h"
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[64], data_path[96], line_text[1024];
enum { WIDTH = 24 };

static void shell(const char *format, const char *argument) {
    char command[256];
    snprintf(command, sizeof command, format, argument);
    if (system(command) != 0) abort();
}

/* Each test has a name of its own that does not exist yet. */
static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/crossmamba-store-XXXXXX");
    if (!mkdtemp(folder) || rmdir(folder) != 0) return -1;
    snprintf(data_path, sizeof data_path, "%s/data.mdb", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    shell("rm -rf '%s'", folder);
    return 0;
}

static cm_embeddings *open_store(size_t map) {
    cm_embeddings *store = NULL;
    cm_error error;
    if (cm_embeddings_open_sized(&store, folder, true, map, &error) != CM_OK)
        fail_msg("%s", cm_error_line(&error, line_text, sizeof line_text));
    return store;
}

/* The record number i of a writer: rows and floats follow from the number. */
static int64_t rows_of(int i) {
    return 1 + i * 7 % 50;
}

static float *floats_of(int i, int64_t rows) {
    float *floats = malloc((size_t)rows * WIDTH * sizeof *floats);
    for (int64_t j = 0; j < rows * WIDTH; j++)
        floats[j] = (float)cm_rng_uniform((uint64_t)i, (uint64_t)j) - 0.5F;
    return floats;
}

static cm_status put_one(cm_embeddings *store, const char *id, int i, cm_error *error) {
    char text[32];
    snprintf(text, sizeof text, "text %d", i);
    int64_t rows = rows_of(i);
    float *floats = floats_of(i, rows);
    cm_embeddings_record record = {text, (int64_t)strlen(text), rows, floats};
    cm_status status = cm_embeddings_put(store, id, WIDTH, &record, 1, error);
    free(floats);
    return status;
}

/* 1 there and right, 0 absent, -1 anything else. */
static int check_one(cm_embeddings *store, const char *id, int i) {
    char text[32];
    snprintf(text, sizeof text, "text %d", i);
    int64_t rows = 77, length = (int64_t)strlen(text);
    if (cm_embeddings_get(store, id, text, length, WIDTH, &rows, NULL, NULL) != CM_OK) return -1;
    if (rows == -1) return 0;
    if (rows != rows_of(i)) return -1;
    float *wanted = floats_of(i, rows), *got = calloc((size_t)rows * WIDTH, sizeof *got);
    cm_status status = cm_embeddings_get(store, id, text, length, WIDTH, &rows, got, NULL);
    bool equal = status == CM_OK && memcmp(wanted, got, (size_t)rows * WIDTH * sizeof *got) == 0;
    free(wanted);
    free(got);
    return equal ? 1 : -1;
}

static void must_put(cm_embeddings *store, const char *id, int first, int end) {
    for (int i = first; i < end; i++) assert_int_equal(put_one(store, id, i, NULL), CM_OK);
}

static void must_hold(cm_embeddings *store, const char *id, int first, int end, int wanted) {
    for (int i = first; i < end; i++) assert_int_equal(check_one(store, id, i), wanted);
}

static void assert_says(const cm_error *error, const char *says) {
    const char *line = cm_error_line(error, line_text, sizeof line_text);
    if (!strstr(line, says)) fail_msg("got \"%s\", wanted \"%s\"", line, says);
}

static void assert_open_refused(bool create, cm_status wanted, const char *says) {
    cm_embeddings *store = NULL;
    cm_error error = {0};
    cm_status status = cm_embeddings_open(&store, folder, create, &error);
    assert_null(store);
    assert_says(&error, says);
    assert_int_equal(status, wanted);
}

/* ---- records ---- */

static void records_come_back(void **state) {
    (void)state;
    cm_embeddings *store = open_store(1 << 20);
    int64_t width = 5;
    assert_int_equal(cm_embeddings_width(store, "a", &width, NULL), CM_OK);
    assert_int_equal(width, 0);
    must_hold(store, "a", 0, 3, 0);
    assert_int_equal(cm_embeddings_encoder(store, "a", WIDTH, "first", NULL), CM_OK);
    must_put(store, "a", 0, 40);
    must_put(store, "b", 20, 60);
    for (int again = 0; again < 2; again++) {
        must_hold(store, "a", 0, 40, 1);
        must_hold(store, "a", 40, 60, 0);
        must_hold(store, "b", 0, 20, 0);
        must_hold(store, "b", 20, 60, 1);
        assert_int_equal(cm_embeddings_width(store, "b", &width, NULL), CM_OK);
        assert_int_equal(width, WIDTH);
        cm_embeddings_close(store);
        assert_int_equal(cm_embeddings_open(&store, folder, false, NULL), CM_OK);
    }
    cm_embeddings_close(store);
}

/* Texts are bytes: empty, with NUL, and such that the end of the id cannot pass for the begin of the text. */
static void texts_are_bytes(void **state) {
    (void)state;
    static const float values[4] = {1, 2, 3, 4};
    static const cm_embeddings_record records[] = {
        {"", 0, 1, values}, {"\0", 1, 1, values + 1}, {"\0x", 2, 1, values + 2}, {"none", 4, 0, NULL}};
    cm_embeddings *store = open_store(1 << 20);
    assert_int_equal(cm_embeddings_put(store, "a", 1, records, 4, NULL), CM_OK);
    for (int i = 0; i < 3; i++) {
        int64_t rows = 1;
        float got = 0;
        assert_int_equal(
            cm_embeddings_get(store, "a", records[i].text, records[i].length, 1, &rows, &got, NULL), CM_OK);
        assert_true(rows == 1 && got == values[i]);
    }
    int64_t rows = -5;
    assert_int_equal(cm_embeddings_get(store, "a", "none", 4, 1, &rows, NULL, NULL), CM_OK);
    assert_int_equal(rows, 0);
    assert_int_equal(cm_embeddings_put(store, "ab", 1, &(cm_embeddings_record){"c", 1, 1, values}, 1, NULL),
                     CM_OK);
    assert_int_equal(cm_embeddings_get(store, "a", "bc", 2, 1, &rows, NULL, NULL), CM_OK);
    assert_int_equal(rows, -1);
    cm_embeddings_close(store);
}

static void a_record_stays_as_it_is(void **state) {
    (void)state;
    static const float first[2] = {1, 2}, second[4] = {3, 4, 5, 6};
    cm_embeddings *store = open_store(1 << 20);
    cm_embeddings_record record = {"t", 1, 1, first};
    assert_int_equal(cm_embeddings_put(store, "a", 2, &record, 1, NULL), CM_OK);
    record = (cm_embeddings_record){"t", 1, 2, second};
    assert_int_equal(cm_embeddings_put(store, "a", 2, &record, 1, NULL), CM_OK);
    int64_t rows = 1;
    float got[4] = {0};
    assert_int_equal(cm_embeddings_get(store, "a", "t", 1, 2, &rows, got, NULL), CM_OK);
    assert_true(rows == 1 && got[0] == 1 && got[1] == 2 && got[2] == 0);
    cm_error error;
    rows = 2;
    assert_int_equal(cm_embeddings_get(store, "a", "t", 1, 2, &rows, got, &error), CM_DATA);
    assert_says(&error, "found a record of 1 rows, expected 2");
    cm_embeddings_close(store);
}

static void bad_arguments(void **state) {
    (void)state;
    cm_embeddings *store = open_store(1 << 20);
    cm_error error;
    char id[600];
    memset(id, 'i', sizeof id);
    id[512] = '\0';
    int64_t rows;
    assert_int_equal(cm_embeddings_encoder(store, id, 3, "", &error), CM_USAGE);
    assert_says(&error, "an encoder id of 512 bytes, expected 1 to 511");
    assert_int_equal(cm_embeddings_encoder(store, "", 3, "", &error), CM_USAGE);
    id[511] = '\0';
    assert_int_equal(cm_embeddings_encoder(store, id, 3, "long", &error), CM_OK);
    assert_int_equal(cm_embeddings_encoder(store, id, 4, "long", &error), CM_DATA);
    assert_says(&error, "found width 4, expected width 3");
    assert_int_equal(cm_embeddings_encoder(store, "a", 0, "", &error), CM_USAGE);
    must_put(store, "a", 0, 1);
    assert_int_equal(cm_embeddings_get(store, "a", "text 0", 6, WIDTH + 1, &rows, NULL, &error), CM_DATA);
    static const float values[1] = {0};
    static const int64_t bad_rows[] = {-1, INT64_MAX, INT64_MAX / 8, ((int64_t)1 << 32) / 4 / WIDTH + 1};
    for (size_t i = 0; i < 4; i++) {
        cm_embeddings_record record = {"x", 1, bad_rows[i], values};
        assert_int_equal(cm_embeddings_put(store, "a", WIDTH, &record, 1, &error), CM_USAGE);
        assert_says(&error, "expected records of less than 4 GiB");
    }
    int64_t width = -1;
    assert_int_equal(cm_embeddings_put(store, "none", WIDTH, NULL, 0, &error), CM_OK);
    assert_int_equal(cm_embeddings_width(store, "none", &width, &error), CM_OK);
    assert_int_equal(width, 0); /* nothing was put */
    cm_embeddings_close(store);
}

/* ---- growth ---- */

static void the_map_grows(void **state) {
    (void)state;
    enum { ROWS = 20000 };
    cm_embeddings *store = open_store(1 << 20);
    float *floats = calloc((size_t)ROWS * WIDTH, sizeof *floats);
    for (int i = 0; i < ROWS * WIDTH; i++) floats[i] = (float)i;
    cm_embeddings_record records[3];
    static const char *const texts[] = {"A", "B", "C"};
    for (int i = 0; i < 3; i++) records[i] = (cm_embeddings_record){texts[i], 1, ROWS, floats};
    must_put(store, "a", 0, 10);
    assert_int_equal(cm_embeddings_put(store, "a", WIDTH, records, 3, NULL), CM_OK);
    must_put(store, "a", 10, 20);
    must_hold(store, "a", 0, 20, 1);
    float *got = calloc((size_t)ROWS * WIDTH, sizeof *got);
    int64_t rows = ROWS;
    assert_int_equal(cm_embeddings_get(store, "a", "C", 1, WIDTH, &rows, got, NULL), CM_OK);
    assert_memory_equal(got, floats, (size_t)ROWS * WIDTH * sizeof *got);
    cm_embeddings_close(store);
    store = open_store(1 << 20); /* the map is smaller than the data */
    must_put(store, "a", 20, 30);
    must_hold(store, "a", 0, 30, 1);
    cm_embeddings_close(store);
    free(floats);
    free(got);
}

typedef struct reader {
    cm_embeddings *store;
    int first, bad;
    atomic_bool *stop;
} reader;

static void *read_along(void *context) {
    reader *self = context;
    for (int i = self->first; !atomic_load(self->stop); i = (i + 1) % 200)
        self->bad += check_one(self->store, "a", i) < 0;
    return NULL;
}

static void *write_along(void *context) {
    reader *self = context;
    for (int i = self->first; i < self->first + 200; i++)
        self->bad += put_one(self->store, "a", i, NULL) != CM_OK;
    return NULL;
}

/* Readers and two writers through growth of the map from its least size. */
static void threads_share_a_handle(void **state) {
    (void)state;
    cm_embeddings *store = open_store(1 << 17);
    atomic_bool stop = false;
    reader work[5];
    pthread_t threads[5];
    for (int i = 0; i < 5; i++) {
        work[i] = (reader){store, i < 2 ? i * 100 : i * 30, 0, &stop};
        assert_int_equal(pthread_create(&threads[i], NULL, i < 2 ? write_along : read_along, &work[i]), 0);
    }
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    atomic_store(&stop, true);
    for (int i = 2; i < 5; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 5; i++) assert_int_equal(work[i].bad, 0);
    must_hold(store, "a", 0, 300, 1);
    struct stat info;
    assert_int_equal(stat(data_path, &info), 0);
    assert_true(info.st_size > 1 << 17);
    cm_embeddings_close(store);
}

/* ---- processes ---- */

/* Writes records [first, end) in a process of its own; the exit status is 0 when all went well.
 */
static pid_t start_writer(int first, int end, size_t map) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid != 0) return pid;
    cm_embeddings *store = NULL;
    if (cm_embeddings_open_sized(&store, folder, true, map, NULL) != CM_OK) _exit(2);
    for (int i = first; i < end; i++) {
        if (put_one(store, "a", i, NULL) != CM_OK) _exit(3);
    }
    cm_embeddings_close(store);
    _exit(0);
}

static int exit_of(pid_t pid) {
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* Two processes create and fill one store, with overlap; a third that looked on with its small map follows.
 */
static void two_processes_write(void **state) {
    (void)state;
    cm_embeddings *store = open_store(1 << 17);
    must_put(store, "a", 1000, 1001);
    pid_t one = start_writer(0, 120, 1 << 17), two = start_writer(60, 180, 1 << 20);
    assert_int_equal(exit_of(one), 0);
    assert_int_equal(exit_of(two), 0);
    must_hold(store, "a", 0, 180, 1);
    must_hold(store, "a", 1000, 1001, 1);
    must_put(store, "a", 300, 301);
    must_hold(store, "a", 300, 301, 1);
    cm_embeddings_close(store);
}

static void processes_create_together(void **state) {
    (void)state;
    pid_t pids[4];
    for (int i = 0; i < 4; i++) pids[i] = start_writer(i * 5, i * 5 + 8, 1 << 20);
    for (int i = 0; i < 4; i++) assert_int_equal(exit_of(pids[i]), 0);
    cm_embeddings *store = open_store(1 << 20);
    must_hold(store, "a", 0, 23, 1);
    cm_embeddings_close(store);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int count_damaged(void *context, const cm_embeddings_info *info) {
    *(int64_t *)context += info->damaged;
    return 0;
}

/* The writer says by a pipe which records are committed, and is killed at a random moment: every one of them
 * is there and whole, and nothing is half there. */
static void killed_writer(int round, int *from) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        cm_embeddings *store = NULL;
        if (cm_embeddings_open_sized(&store, folder, true, 1 << 17, NULL) != CM_OK) _exit(2);
        for (int i = *from;; i++) {
            if (put_one(store, "a", i, NULL) != CM_OK || write(ends[1], &i, sizeof i) != sizeof i) _exit(3);
        }
    }
    close(ends[1]);
    int last = *from - 1, next;
    /* on a busy machine the writer may not have begun when the time is up: here it has */
    if (round % 4 == 0 && read(ends[0], &next, sizeof next) == sizeof next) last = next;
    uint64_t wait = cm_rng_below(99, (uint64_t)round, 40000);
    nanosleep(&(struct timespec){0, (long)(wait + 500) * 1000}, NULL);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(exit_of(pid), 256 + SIGKILL);
    while (read(ends[0], &next, sizeof next) == sizeof next) last = next;
    close(ends[0]);
    cm_embeddings *store = open_store(1 << 17);
    int64_t damaged = 0;
    must_hold(store, "a", *from, last + 1, 1);
    assert_true(check_one(store, "a", last + 1) >= 0); /* committed and not yet told, or absent */
    must_hold(store, "a", last + 2, last + 4, 0);
    assert_int_equal(cm_embeddings_list(store, count_damaged, &damaged, NULL), CM_OK);
    assert_int_equal(damaged, 0);
    must_put(store, "b", round, round + 1); /* and it can be written */
    cm_embeddings_close(store);
    *from = last + 2;
}

static void kill_at_any_moment(void **state) {
    (void)state;
    int round = 0, from = 0;
    for (double begin = seconds(); round < 8 || seconds() - begin < 1.8; round++) killed_writer(round, &from);
    cm_embeddings *store = open_store(1 << 17);
    int whole = 0;
    for (int i = 0; i < from; i++) whole += check_one(store, "a", i) == 1;
    assert_true(whole > 0);
    cm_embeddings_close(store);
}

/* ---- damage ---- */

/* Flips a byte of the floats of record i in the data file. */
static void damage(int i) {
    float *floats = floats_of(i, rows_of(i));
    size_t bytes = (size_t)rows_of(i) * WIDTH * sizeof *floats;
    FILE *file = fopen(data_path, "r+b");
    struct stat info;
    assert_true(file && fstat(fileno(file), &info) == 0);
    char *image = malloc((size_t)info.st_size);
    assert_int_equal(fread(image, 1, (size_t)info.st_size, file), info.st_size);
    char *at = memmem(image, (size_t)info.st_size, floats, bytes);
    assert_non_null(at);
    for (; at; at = memmem(at, (size_t)(image + info.st_size - at), floats, bytes)) {
        at[bytes / 2] ^= 1;
        fseek(file, at - image + (long)bytes / 2, SEEK_SET);
        fputc(at[bytes / 2], file);
    }
    fclose(file);
    free(image);
    free(floats);
}

typedef struct infos {
    int n;
    struct {
        char id[16], description[16];
        int64_t width, records, rows, bytes, damaged;
    } of[4];
} infos;

static int keep_info(void *context, const cm_embeddings_info *info) {
    infos *all = context;
    snprintf(all->of[all->n].id, 16, "%s", info->id);
    snprintf(all->of[all->n].description, 16, "%s", info->description);
    all->of[all->n].width = info->width;
    all->of[all->n].records = info->records;
    all->of[all->n].rows = info->rows;
    all->of[all->n].bytes = info->bytes;
    all->of[all->n].damaged = info->damaged;
    return ++all->n == 4;
}

static infos list_of(cm_embeddings *store) {
    infos all = {0};
    assert_int_equal(cm_embeddings_list(store, keep_info, &all, NULL), CM_OK);
    return all;
}

static void damaged_records_are_absent(void **state) {
    (void)state;
    cm_embeddings *store = open_store(1 << 20);
    must_put(store, "a", 0, 20);
    cm_embeddings_close(store);
    damage(7); /* in a leaf page or in one of its own, by its size */
    damage(13);
    store = open_store(1 << 20);
    for (int i = 0; i < 20; i++) assert_int_equal(check_one(store, "a", i), i != 7 && i != 13);
    assert_int_equal(list_of(store).of[0].damaged, 2);
    assert_int_equal(list_of(store).of[0].records, 18);
    must_put(store, "a", 7, 8); /* encoded again */
    must_hold(store, "a", 7, 8, 1);
    int64_t removed = 0;
    assert_int_equal(cm_embeddings_gc(store, NULL, false, &removed, NULL), CM_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(list_of(store).of[0].damaged, 0);
    assert_int_equal(list_of(store).of[0].records, 19);
    cm_embeddings_close(store);
}

/* A file cut anywhere is an error or lacks records; it never ends the process. In a process of its own,
 * because SIGBUS is what it must not be. */
static void a_cut_file_is_survived(void **state) {
    (void)state;
    cm_embeddings *store = open_store(1 << 20);
    must_put(store, "a", 0, 60);
    cm_embeddings_close(store);
    struct stat info;
    assert_int_equal(stat(data_path, &info), 0);
    shell("cp '%s' /tmp/crossmamba-store-whole", data_path);
    int worse = 0;
    for (off_t size = 0; size < info.st_size; size += 4096 * 3 + 100) {
        shell("cp /tmp/crossmamba-store-whole '%s'", data_path);
        assert_int_equal(truncate(data_path, size), 0);
        pid_t pid = fork();
        if (pid == 0) {
            cm_error error = {0};
            int good = 0;
            if (cm_embeddings_open(&store, folder, false, &error) != CM_OK)
                _exit(error.status == CM_DATA ? 1 : 9);
            for (int i = 0; i < 60; i++) good += check_one(store, "a", i) == 1;
            cm_embeddings_close(store);
            _exit(good < 60 ? 1 : 0);
        }
        int code = exit_of(pid);
        assert_true(code == 0 || code == 1);
        worse += code;
    }
    unlink("/tmp/crossmamba-store-whole");
    assert_true(worse >= 5);
}

/* ---- list and gc ---- */

static void encoders_are_listed(void **state) {
    (void)state;
    cm_embeddings *store = open_store(1 << 20);
    assert_int_equal(list_of(store).n, 0);
    must_put(store, "b", 0, 3);
    assert_int_equal(cm_embeddings_encoder(store, "a", 8, "about a", NULL), CM_OK);
    assert_int_equal(cm_embeddings_encoder(store, "a", 8, "other", NULL), CM_OK);
    assert_int_equal(cm_embeddings_encoder(store, "b", WIDTH, "late", NULL), CM_OK);
    infos all = list_of(store);
    assert_int_equal(all.n, 2);
    assert_string_equal(all.of[0].id, "a");
    assert_string_equal(all.of[0].description, "about a");
    assert_true(all.of[0].width == 8 && all.of[0].records == 0);
    assert_string_equal(all.of[1].id, "b");
    assert_string_equal(all.of[1].description, "late");
    int64_t rows = rows_of(0) + rows_of(1) + rows_of(2);
    assert_true(all.of[1].width == WIDTH && all.of[1].records == 3 && all.of[1].rows == rows);
    assert_int_equal(all.of[1].bytes, rows * WIDTH * 4);
    cm_embeddings_close(store);
}

static void encoders_are_removed(void **state) {
    (void)state;
    cm_embeddings *store = open_store(1 << 17);
    must_put(store, "a", 0, 5);
    cm_embeddings_record records[50]; /* more than one share */
    char texts[50][8];
    static const float values[3] = {1, 2, 3};
    for (int k = 0; k < 24; k++) {
        for (int i = 0; i < 50; i++) {
            snprintf(texts[i], sizeof texts[i], "%d", k * 50 + i);
            records[i] = (cm_embeddings_record){texts[i], (int64_t)strlen(texts[i]), 1, values};
        }
        assert_int_equal(cm_embeddings_put(store, "c", 3, records, 50, NULL), CM_OK);
    }
    int64_t removed = 0, width = 9;
    cm_error error;
    assert_int_equal(cm_embeddings_gc(store, "c", false, &removed, NULL), CM_OK);
    assert_int_equal(removed, 1200);
    assert_int_equal(list_of(store).n, 1);
    assert_int_equal(cm_embeddings_width(store, "c", &width, NULL), CM_OK);
    assert_int_equal(width, 0);
    must_hold(store, "a", 0, 5, 1);
    assert_int_equal(cm_embeddings_gc(store, "c", false, &removed, &error), CM_USAGE);
    assert_says(&error, "found encoder c, expected an encoder of the store");
    assert_int_equal(cm_embeddings_encoder(store, "c", 4, "", NULL), CM_OK); /* now free for another width */
    cm_embeddings_close(store);
}

static off_t data_size(void) {
    struct stat info;
    assert_int_equal(stat(data_path, &info), 0);
    return info.st_size;
}

static void compaction_gives_space_back(void **state) {
    (void)state;
    cm_embeddings *store = open_store(1 << 17);
    must_put(store, "a", 0, 30);
    must_put(store, "b", 0, 100);
    off_t before = data_size();
    int64_t removed = 0;
    assert_int_equal(cm_embeddings_gc(store, "b", true, &removed, NULL), CM_OK);
    assert_int_equal(removed, 100);
    assert_true(data_size() < before / 2);
    must_hold(store, "a", 0, 30, 1);
    must_put(store, "a", 30, 60);
    must_hold(store, "a", 0, 60, 1);
    assert_int_equal(exit_of(start_writer(60, 70, 1 << 17)), 0); /* others find the new file */
    must_hold(store, "a", 0, 70, 1);
    cm_embeddings_close(store);
    char name[96];
    snprintf(name, sizeof name, "%s/data.mdb.compact", folder);
    assert_int_equal(access(name, F_OK), -1);
}

static void compaction_needs_the_store_alone(void **state) {
    (void)state;
    cm_embeddings *store = open_store(1 << 20);
    must_put(store, "a", 0, 5);
    int ready[2], done[2];
    char byte = 0;
    assert_true(pipe(ready) == 0 && pipe(done) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        cm_embeddings *other = NULL;
        close(done[1]);
        if (cm_embeddings_open(&other, folder, false, NULL) != CM_OK || write(ready[1], &byte, 1) != 1)
            _exit(2);
        if (read(done[0], &byte, 1) != 0) _exit(3);
        _exit(check_one(other, "a", 3) == 1 ? 0 : 4);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    cm_error error;
    assert_int_equal(cm_embeddings_gc(store, NULL, true, NULL, &error), CM_IO);
    assert_says(&error, "found another user, expected a store that nobody else has open");
    must_hold(store, "a", 0, 5, 1);
    close(done[1]);
    assert_int_equal(exit_of(pid), 0);
    assert_int_equal(cm_embeddings_gc(store, NULL, true, NULL, NULL), CM_OK);
    cm_embeddings_close(store);
    close(done[0]);
    close(ready[0]);
    close(ready[1]);
}

/* ---- what is no store ---- */

static void folders_that_are_no_store(void **state) {
    (void)state;
    assert_open_refused(false, CM_IO, "cannot open the embedding store: No such file");
    assert_int_equal(mkdir(folder, 0777), 0);
    assert_open_refused(false, CM_DATA, "a folder without data.mdb, expected an embedding store");
    shell("echo hello > '%s/notes.txt'", folder);
    assert_open_refused(true, CM_DATA, "found other files (notes.txt)");
}

static void data_files_that_are_no_store(void **state) {
    (void)state;
    assert_int_equal(mkdir(folder, 0777), 0);
    shell(": > '%s'", data_path);
    assert_open_refused(false, CM_DATA, "data.mdb: found an empty file");
    shell("seq 1 5000 > '%s'", data_path);
    assert_open_refused(true, CM_DATA, "data.mdb: found MDB_INVALID");
    shell("rm '%s'", data_path);
    shell("mkdir '%s'", data_path);
    assert_open_refused(true, CM_DATA, "expected a regular file");
    remove_folder(NULL);
    shell(": > '%s'", folder);
    assert_open_refused(true, CM_IO, "Not a directory");
}

/* Another environment of LMDB, and then a store of format 2. */
static void other_environments(void **state) {
    (void)state;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    uint32_t format = 2;
    assert_int_equal(mkdir(folder, 0777), 0);
    for (int newer = 0; newer < 2; newer++) {
        mdb_env_create(&env);
        mdb_env_set_maxdbs(env, 3);
        assert_int_equal(mdb_env_open(env, folder, 0, 0666), 0);
        assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
        assert_int_equal(mdb_dbi_open(txn, newer ? "meta" : NULL, MDB_CREATE, &dbi), 0);
        MDB_val key = {6, (void *)(uintptr_t) "format"}, value = {sizeof format, &format};
        if (newer) {
            assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
            assert_int_equal(mdb_dbi_open(txn, "encoders", MDB_CREATE, &dbi), 0);
            assert_int_equal(mdb_dbi_open(txn, "records", MDB_CREATE, &dbi), 0);
        } else {
            key = (MDB_val){1, (void *)(uintptr_t) "k"};
            assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
        }
        assert_int_equal(mdb_txn_commit(txn), 0);
        mdb_env_close(env);
        assert_open_refused(true, CM_DATA,
                            newer ? "format version 2 of the embedding store, expected at most 1"
                                  : "expected an embedding store");
    }
}

/* As somebody who is not root, for whom permissions mean nothing. */
/* Puts a value past the store into one of its tables. */
static void put_raw(const char *table, const void *key, size_t key_size, const void *value, size_t size) {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val k = {key_size, (void *)(uintptr_t)key}, v = {size, (void *)(uintptr_t)value};
    mdb_env_create(&env);
    mdb_env_set_maxdbs(env, 3);
    assert_int_equal(mdb_env_open(env, folder, 0, 0666), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, table, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

/* Under which key a record lies is part of the format: sha256 of the encoder's id, a NUL and the text. */
static void keys_are_hashes_of_id_and_text(void **state) {
    (void)state;
    static const unsigned char wanted[32] = {0x22, 0x2e, 0xd7, 0xf1, 0x60, 0x14, 0x19, 0xa5, 0x5c, 0xf5, 0xd8,
                                             0xd6, 0xf7, 0x47, 0x75, 0x43, 0xf4, 0x02, 0x4a, 0xd6, 0xc2, 0x8e,
                                             0x69, 0xa3, 0x75, 0x9c, 0x42, 0xb4, 0xcd, 0xda, 0x88, 0xa1};
    static const float data[WIDTH] = {0};
    const cm_embeddings_record record = {"ACGU", 4, 1, data};
    cm_embeddings *store = open_store(1 << 20);
    assert_int_equal(cm_embeddings_put(store, "encoder", WIDTH, &record, 1, NULL), CM_OK);
    cm_embeddings_close(store);
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val key = {sizeof wanted, (void *)(uintptr_t)wanted}, value;
    mdb_env_create(&env);
    mdb_env_set_maxdbs(env, 3);
    assert_int_equal(mdb_env_open(env, folder, MDB_RDONLY, 0666), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "records", 0, &dbi), 0);
    assert_int_equal(mdb_get(txn, dbi, &key, &value), 0);
    assert_true(value.mv_size > sizeof data);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* Values of wrong sizes, as another program or a fault may leave them. */
static void values_of_wrong_sizes(void **state) {
    (void)state;
    static const char zeros[64] = {0};
    static const float data[WIDTH] = {0};
    const cm_embeddings_record record = {"t", 1, 1, data};
    cm_error error;
    int64_t width, all = 0;
    cm_embeddings *store = open_store(1 << 20);
    must_put(store, "a", 0, 2);
    cm_embeddings_close(store);

    put_raw("encoders", "b", 1, zeros, 3);
    store = open_store(1 << 20);
    assert_int_equal(cm_embeddings_width(store, "b", &width, &error), CM_DATA);
    assert_says(&error, "MDB_CORRUPTED");
    assert_int_equal(cm_embeddings_put(store, "b", WIDTH, &record, 1, &error), CM_DATA);
    assert_int_equal(cm_embeddings_list(store, count_damaged, &all, &error), CM_DATA);
    must_hold(store, "a", 0, 2, 1);
    cm_embeddings_close(store);

    put_raw("encoders", "b", 1, zeros, 16); /* width 0 */
    store = open_store(1 << 20);
    assert_int_equal(cm_embeddings_list(store, count_damaged, &all, &error), CM_DATA);
    cm_embeddings_close(store);

    const int64_t head[2] = {7, WIDTH};
    put_raw("encoders", "b", 1, head, sizeof head);
    put_raw("records", zeros, 32, zeros, 5);
    put_raw("records", zeros, 7, zeros, 64);
    put_raw("records", zeros + 1, 31, zeros, 24);
    store = open_store(1 << 20);
    all = 0;
    assert_int_equal(cm_embeddings_list(store, count_damaged, &all, &error), CM_OK);
    assert_int_equal(all, 3);
    assert_int_equal(cm_embeddings_gc(store, "b", false, NULL, &error),
                     CM_OK); /* a record too short is nobody's */
    int64_t removed = 0;
    assert_int_equal(cm_embeddings_gc(store, NULL, false, &removed, &error), CM_OK);
    assert_int_equal(removed, 3);
    cm_embeddings_close(store);

    put_raw("meta", "next", 4, zeros, 3);
    store = open_store(1 << 20);
    assert_int_equal(cm_embeddings_encoder(store, "c", WIDTH, "", &error), CM_DATA);
    must_hold(store, "a", 0, 2, 1);
    cm_embeddings_close(store);

    put_raw("meta", "format", 6, zeros, 3);
    assert_open_refused(true, CM_DATA, "MDB_CORRUPTED");
}

static void a_read_only_folder(void **state) {
    (void)state;
    cm_embeddings *store = open_store(1 << 20);
    must_put(store, "a", 0, 1);
    cm_embeddings_close(store);
    shell("chmod a-w '%s'/*", folder);
    shell("chmod a-w '%s'", folder);
    pid_t pid = fork();
    if (pid == 0) {
        cm_error error = {0};
        if (geteuid() == 0 && setuid(65534) != 0) _exit(77);
        cm_status status = cm_embeddings_open(&store, folder, true, &error);
        cm_error_line(&error, line_text, sizeof line_text);
        _exit(status == CM_IO && strstr(line_text, "cannot write to the embedding store: Permission denied")
                  ? 0
                  : 1);
    }
    int code = exit_of(pid);
    shell("chmod u+w '%s'", folder);
    if (code == 77) skip();
    assert_int_equal(code, 0);
}

/* A file system of 4 MiB in a mount namespace of its own. */
static int fill_disk(void) {
    if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) return 77;
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (mount("tmpfs", folder, "tmpfs", 0, "size=4m") != 0) return 77;
    cm_embeddings *store = NULL;
    cm_error error = {0};
    int i = 0;
    if (cm_embeddings_open_sized(&store, folder, true, 1 << 17, &error) != CM_OK) return 2;
    for (cm_status status = CM_OK; i < 5000 && status == CM_OK; i++) status = put_one(store, "a", i, &error);
    cm_error_line(&error, line_text, sizeof line_text);
    if (error.status != CM_IO || !strstr(line_text, "cannot write: No space left on device")) return 3;
    for (int k = 0; k < i - 1; k++) {
        if (check_one(store, "a", k) != 1) return 4;
    }
    if (cm_embeddings_gc(store, NULL, true, NULL, &error) != CM_IO) return 5;
    if (i < 10 || check_one(store, "a", 3) != 1) return 6;
    cm_embeddings_close(store);
    umount(folder);
    return 0;
}

static void a_full_disk(void **state) {
    (void)state;
    assert_int_equal(mkdir(folder, 0777), 0);
    pid_t pid = fork();
    if (pid == 0) _exit(fill_disk());
    int code = exit_of(pid);
    if (code == 77) {
        print_message("a_full_disk: no file system can be mounted here\n");
        skip();
    }
    assert_int_equal(code, 0);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    cm_embeddings *store = open_store(1 << 20);
    must_put(store, "a", 0, 1);
    static const float values[WIDTH] = {0};
    cm_status status = CM_MEMORY;
    int64_t rows;
    for (long n = 0; status != CM_OK; n++) {
        cm_embeddings_record record = {"t", 1, 1, values};
        infos all = {0};
        fail_alloc_from(n);
        status = cm_embeddings_put(store, "a", WIDTH, &record, 1, NULL);
        if (status == CM_OK) status = cm_embeddings_get(store, "a", "t", 1, WIDTH, &rows, NULL, NULL);
        if (status == CM_OK) status = cm_embeddings_list(store, keep_info, &all, NULL);
        if (status == CM_OK) status = cm_embeddings_gc(store, NULL, false, NULL, NULL);
        assert_int_equal(status, fail_alloc_stop() ? CM_MEMORY : CM_OK);
    }
    cm_embeddings_close(store);
    status = CM_MEMORY;
    for (long n = 0; status != CM_OK; n++) {
        store = NULL;
        fail_alloc_from(n);
        status = cm_embeddings_open(&store, folder, false, NULL);
        assert_int_equal(status, fail_alloc_stop() ? CM_MEMORY : CM_OK);
        assert_int_equal(store != NULL, status == CM_OK);
    }
    must_hold(store, "a", 0, 1, 1);
    cm_embeddings_close(store);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        T(records_come_back),
        T(texts_are_bytes),
        T(a_record_stays_as_it_is),
        T(bad_arguments),
        T(the_map_grows),
        T(threads_share_a_handle),
        T(two_processes_write),
        T(processes_create_together),
        T(kill_at_any_moment),
        T(damaged_records_are_absent),
        T(a_cut_file_is_survived),
        T(encoders_are_listed),
        T(encoders_are_removed),
        T(compaction_gives_space_back),
        T(compaction_needs_the_store_alone),
        T(folders_that_are_no_store),
        T(data_files_that_are_no_store),
        T(other_environments),
        T(keys_are_hashes_of_id_and_text),
        T(values_of_wrong_sizes),
        T(a_read_only_folder),
        T(a_full_disk),
        T(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
