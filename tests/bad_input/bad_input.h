/* The driver behind all tables of bad input. A row is one case: how its file comes about, what must happen,
 * and what must be said. Each row runs in a child process, so that a crash, a hang or a leak is the failure
 * of that row, and its memory can be measured: at most the size of the input and 64 MB beyond what the
 * process had before. Nothing may be left beside the input. */
#ifndef TESTS_BAD_INPUT_H
#define TESTS_BAD_INPUT_H

#include <crossmamba/error.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct bad_row {
    const char *name;
    const char *text; /* the bytes of the input, or what make needs */
    size_t size;      /* of text; 0: up to its NUL */
    cm_status status;
    const char *says; /* CM_OK: all that the reader notes; else a part of the message */
    /* Writes the input; NULL: text as it is. number is make's. */
    void (*make)(const struct bad_row *row, const char *path);
    size_t number;
    /* The same input through the program: words of the command line, IN the input, OUT an output. NULL: the
     * reader alone. */
    const char *command;
} bad_row;

/* Reads the input at path; what was read as a short text into note. */
typedef cm_status (*bad_reader)(const char *path, char *note, size_t size, cm_error *error);

enum { BAD_SECONDS = 60, BAD_SLACK = 64000000 };

typedef struct bad_outcome {
    cm_status status;
    char file[256], line[1024], note[512];
    int wait;      /* as wait4 gives it */
    long peak_kib; /* largest resident set */
} bad_outcome;

/* ---- files ---- */

static inline size_t bad_size(const bad_row *row) {
    return row->size > 0 ? row->size : row->text ? strlen(row->text) : 0;
}

static inline void bad_write(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    if (size > 0) assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* A file of the source folder, to be freed. */
static inline char *bad_source_file(const char *name, size_t *size) {
    char path[512];
    const char *root = getenv("CROSSMAMBA_SOURCE");
    snprintf(path, sizeof path, "%s/%s", root ? root : ".", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

/* The folder of the current table and the input in it. */
static char bad_folder[64], bad_path[96];

static inline void bad_open_folder(const char *input) {
    snprintf(bad_folder, sizeof bad_folder, P_tmpdir "/cm_bad_XXXXXX");
    assert_non_null(mkdtemp(bad_folder));
    snprintf(bad_path, sizeof bad_path, "%s/%s", bad_folder, input);
}

static inline int bad_remove_one(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static inline void bad_remove_folder(void) {
    assert_int_equal(nftw(bad_folder, bad_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* The entries of the folder itself. */
static inline int bad_count(void) {
    int count = 0;
    DIR *folder = opendir(bad_folder);
    assert_non_null(folder);
    while (readdir(folder)) count++;
    closedir(folder);
    return count - 2;
}

/* Makers of inputs that are no plain files. */
static inline void bad_make_folder(const bad_row *row, const char *path) {
    (void)row;
    assert_int_equal(mkdir(path, 0777), 0);
}

static inline void bad_make_fifo(const bad_row *row, const char *path) {
    (void)row;
    assert_int_equal(mkfifo(path, 0600), 0);
}

/* A symbolic link to text. */
static inline void bad_make_link(const bad_row *row, const char *path) {
    assert_int_equal(symlink(row->text, path), 0);
}

/* ---- children ---- */

static inline long bad_resident_kib(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
    if (file) fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static inline bool bad_measures_memory(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false;
#else
    return true;
#endif
}

/* Runs in the child: no core files, an end to one that computes for ever, and to one that crashes, where
 * cmocka would go on with the next test. */
static inline void bad_limits(void) {
    static const int caught[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS};
    const struct rlimit no_core = {0, 0}, cpu = {BAD_SECONDS, BAD_SECONDS};
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++) signal(caught[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &no_core);
    setrlimit(RLIMIT_CPU, &cpu);
}

_Noreturn static inline void bad_child(bad_reader read, int out) {
    bad_outcome got = {.status = CM_OK};
    cm_error error = {.status = CM_OK};
    bad_limits();
    got.status = read(bad_path, got.note, sizeof got.note, &error);
    cm_error_line(&error, got.line, sizeof got.line);
    memcpy(got.file, error.file, sizeof got.file);
    bool sent = write(out, &got, sizeof got) == (ssize_t)sizeof got;
    exit(sent && (got.status == CM_OK || error.status == got.status) ? 0 : 1);
}

/* Waits for a child and adds how it ended and what it used. One that is at work or asleep for too long is
 * killed; only time in which this process runs counts, so that a suspended machine is no hang. */
static inline void bad_wait(pid_t child, bad_outcome *got) {
    struct rusage used;
    pid_t ended;
    useconds_t nap = 500;
    for (long waited = 0; (ended = wait4(child, &got->wait, WNOHANG, &used)) == 0; waited += nap) {
        if (waited > BAD_SECONDS * 1000000L) kill(child, SIGKILL);
        usleep(nap);
        if (nap < 10000) nap += 500;
    }
    assert_int_equal(ended, child);
    got->peak_kib = used.ru_maxrss;
}

/* Reads the input in a child process. A crash leaves only the wait status. */
static inline bad_outcome bad_read_apart(bad_reader read_input) {
    bad_outcome got = {.status = CM_OK}, ended = got;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) bad_child(read_input, ends[1]);
    close(ends[1]);
    bad_wait(child, &ended);
    while (read(ends[0], &got, sizeof got) < 0) assert_int_equal(errno, EINTR); /* below PIPE_BUF: whole */
    close(ends[0]);
    got.wait = ended.wait;
    got.peak_kib = ended.peak_kib;
    return got;
}

/* A word of a command line with the input in the place of IN and a new file in that of OUT, alone, behind ':'
 * or before '/'. */
static inline const char *bad_word(const char *word, char joined[256]) {
    static const char *const names[] = {"IN", "OUT"};
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(names[i]);
        const char *at = strstr(word, names[i]), *end = at ? at + length : NULL;
        if (!at || (at > word && at[-1] != ':') || (*end != '\0' && *end != '/')) continue;
        if (i == 0)
            snprintf(joined, 256, "%.*s%s%s", (int)(at - word), word, bad_path, end);
        else
            snprintf(joined, 256, "%.*s%s/out%s", (int)(at - word), word, bad_folder, end);
        return joined;
    }
    return word;
}

/* Replaces the child by the program with the words of command. */
_Noreturn static inline void bad_exec(const char *command, int err) {
    static char words[1024], joined[64][256];
    const char *argv[64];
    char *next = NULL;
    int n = 0, null = open("/dev/null", O_RDWR);
    const char *root = getenv("CROSSMAMBA_SOURCE");
    snprintf(words, sizeof words, "%s", command);
    argv[n++] = getenv("CROSSMAMBA_PROGRAM");
    for (char *word = strtok_r(words, " ", &next); word && n < 63; word = strtok_r(NULL, " ", &next), n++)
        argv[n] = bad_word(word, joined[n]);
    argv[n] = NULL;
    if (!argv[0] || !root || chdir(root) != 0) _exit(120);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    bad_limits();
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(121);
}

/* Runs the program; got->line gets what it says on stderr, in whole. */
static inline bad_outcome bad_run_program(const char *command) {
    bad_outcome got = {.status = CM_OK};
    FILE *err = tmpfile();
    assert_non_null(err);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) bad_exec(command, fileno(err));
    bad_wait(child, &got);
    rewind(err);
    got.line[fread(got.line, 1, sizeof got.line - 1, err)] = '\0';
    fclose(err);
    return got;
}

/* ---- what must hold ---- */

/* Rows of the table that failed so far; the table goes on to its end. */
static int bad_failures;

__attribute__((format(printf, 1, 2))) static inline void bad_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("FAILED ROW ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    bad_failures++;
}

/* How a child must not end, and what it must not take: beyond kib, size of the input and the slack. */
static inline void bad_check_process(const bad_row *row, const char *who, const bad_outcome *got, long kib) {
    struct stat info;
    size_t size = stat(bad_path, &info) == 0 && S_ISREG(info.st_mode) ? (size_t)info.st_size : 0;
    long most = kib + (long)((size + BAD_SLACK) / 1024);
    if (WIFSIGNALED(got->wait))
        bad_fail("%s: %s ended by signal %d (%s)", row->name, who, WTERMSIG(got->wait), got->line);
    if (bad_measures_memory() && got->peak_kib > most)
        bad_fail("%s: %s took %ld KiB, allowed are %ld", row->name, who, got->peak_kib, most);
}

static inline void bad_check_reader(const bad_row *row, bad_reader read_input, int entries) {
    long before = bad_resident_kib();
    bad_outcome got = bad_read_apart(read_input);
    bad_check_process(row, "the reader", &got, before);
    if (WEXITSTATUS(got.wait) != 0)
        bad_fail("%s: the reader's process ended with %d: %s", row->name, WEXITSTATUS(got.wait), got.line);
    if (got.status != row->status) bad_fail("%s: status %d: %s", row->name, (int)got.status, got.line);
    if (got.status == CM_OK && strcmp(got.note, row->says) != 0)
        bad_fail("%s: read '%s', expected '%s'", row->name, got.note, row->says);
    if (got.status != CM_OK && !strstr(got.line, row->says))
        bad_fail("%s: said '%s', expected '%s'", row->name, got.line, row->says);
    if (got.status != CM_OK && strncmp(got.file, bad_folder, strlen(bad_folder)) != 0)
        bad_fail("%s: names '%s', expected the input: %s", row->name, got.file, got.line);
    if (bad_count() != entries) bad_fail("%s: the reader left files", row->name);
}

/* Exit codes as README has them. */
static inline int bad_exit_code(cm_status status) {
    return status == CM_OK ? 0 : status == CM_USAGE ? 2 : status == CM_DATA ? 3 : status == CM_MODEL ? 4 : 1;
}

static inline int bad_lines(const char *text) {
    int lines = 0;
    for (; *text; text++) lines += *text == '\n';
    return lines;
}

/* base_kib: what the program takes to print its help. */
static inline void bad_check_program(const bad_row *row, int entries, long base_kib) {
    char out[128];
    struct stat info;
    bad_outcome got = bad_run_program(row->command);
    bad_check_process(row, row->command, &got, base_kib);
    if (WEXITSTATUS(got.wait) != bad_exit_code(row->status))
        bad_fail("%s: '%s' ended with %d: %s", row->name, row->command, WEXITSTATUS(got.wait), got.line);
    snprintf(out, sizeof out, "%s/out", bad_folder);
    if (row->status == CM_OK) {
        remove(out);
        return;
    }
    if (!strstr(got.line, row->says)) bad_fail("%s: said '%s'", row->name, got.line);
    if (bad_lines(got.line) != (row->status == CM_USAGE ? 2 : 1))
        bad_fail("%s: more than one line: %s", row->name, got.line);
    if (stat(out, &info) == 0 || bad_count() != entries) bad_fail("%s: the program left files", row->name);
}

/* Runs a table; input is the name that each row's file gets. Without a reader the program alone runs. */
static inline void bad_run(const bad_row *rows, size_t count, const char *input, bad_reader read_input) {
    bad_outcome plain = bad_run_program("--help");
    assert_int_equal(plain.wait, 0);
    bad_failures = 0;
    for (const bad_row *row = rows; row < rows + count; row++) {
        bad_open_folder(input);
        if (row->make)
            row->make(row, bad_path);
        else
            bad_write(bad_path, row->text, bad_size(row));
        int entries = bad_count();
        if (read_input) bad_check_reader(row, read_input, entries);
        if (row->command) bad_check_program(row, entries, plain.peak_kib);
        bad_remove_folder();
    }
    assert_int_equal(bad_failures, 0);
}

#define BAD_RUN(rows, input, read_input) bad_run(rows, sizeof(rows) / sizeof *(rows), input, read_input)

#endif
