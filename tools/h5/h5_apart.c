/* A process of its own for the HDF5 library, whose parser crashes on some damaged files, and on others
 * computes or allocates without end. */
#include "h5.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLACK = 64000000, SECONDS = 3, BYTES_A_SECOND = 10000000 };

/* What the process has of addresses now. */
static size_t address_bytes(void) {
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%zu", &pages) != 1) pages = 0;
    if (file) fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void set_limit(int resource, size_t value) {
    setrlimit(resource, &(const struct rlimit){value, value});
}

/* Where nothing tells the addresses, and with sanitizers, which take terabytes of them, memory has no limit.
 */
static void set_limits(size_t size) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    size_t now = 0;
#else
    size_t now = address_bytes();
#endif
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_CPU, SECONDS + size / BYTES_A_SECOND);
    if (now > 0) set_limit(RLIMIT_AS, now + SLACK + size * 5);
}

/* Without what the library does at exit, which would be the end of a damaged file, too. */
_Noreturn static void run_child(cm_h5_work work, void *context, size_t size, int out) {
    cm_error error = {.status = CM_OK};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    set_limits(size);
    work(context, &error);
    _exit(write(out, &error, sizeof error) == (ssize_t)sizeof error ? 0 : 1);
}

static cm_status wait_for(pid_t child, int in, const char *path, cm_error *error) {
    cm_error told = {.status = CM_OK};
    int ended = 0;
    ssize_t got;
    while ((got = read(in, &told, sizeof told)) < 0 && errno == EINTR) continue;
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR) continue;
    if (WIFSIGNALED(ended))
        return cm_fail(error, CM_DATA, path, NULL, "an HDF5 file", "one at which the HDF5 library ends: %s",
                       strsignal(WTERMSIG(ended)));
    if (got != (ssize_t)sizeof told) return cm_fail(error, CM_IO, path, NULL, NULL, "the reader has ended");
    if (error) *error = told;
    return told.status;
}

cm_status cm_h5_apart(cm_h5_work work, void *context, const char *path, size_t size, cm_error *error) {
    int ends[2];
    if (pipe(ends) != 0) return cm_fail_errno(error, path, "cannot read", errno);
    pid_t child = fork();
    if (child == 0) run_child(work, context, size, ends[1]);
    int errnum = errno;
    close(ends[1]);
    cm_status status =
        child < 0 ? cm_fail_errno(error, path, "cannot read", errnum) : wait_for(child, ends[0], path, error);
    close(ends[0]);
    return status;
}
