/* Files that become shorter while they are mapped (docs/decisions/0008-files-that-shrink.md). The next look
 * at a lost page raises SIGBUS; the program then names the file and ends as a failed run. Everything here may
 * be called from a signal handler: no allocation, no streams. */
#include "cli/common.h"
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* One line of /proc/self/maps while its characters come in: "begin-end perms offset device inode path". */
typedef struct map_line {
    enum { BEGIN, END, MIDDLE, PATH } part;
    uintptr_t begin, end;
    size_t length;
    char path[1024];
} map_line;

static uintptr_t add_digit(uintptr_t value, char c) {
    return value << 4 | (uintptr_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void take(map_line *line, char c) {
    if (line->part == BEGIN && c != '-')
        line->begin = add_digit(line->begin, c);
    else if (line->part == BEGIN)
        line->part = END;
    else if (line->part == END && c != ' ')
        line->end = add_digit(line->end, c);
    else if (line->part == END)
        line->part = MIDDLE;
    else if (line->part == MIDDLE && c == '/')
        line->part = PATH;
    if (line->part == PATH && line->length < sizeof line->path)
        line->path[line->length++] = c >= ' ' && c <= '~' ? c : '?';
}

/* The file whose mapping holds address into *line; false when there is none. */
static bool find_file(map_line *line, uintptr_t address) {
    char block[4096];
    ssize_t n;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    *line = (map_line){.part = BEGIN};
    while (fd >= 0 && (n = read(fd, block, sizeof block)) > 0)
        for (ssize_t i = 0; i < n; i++) {
            if (block[i] != '\n') {
                take(line, block[i]);
                continue;
            }
            if (line->part == PATH && address >= line->begin && address < line->end) return true;
            *line = (map_line){.part = BEGIN};
        }
    return false;
}

static void say(const char *text, size_t length) {
    while (length > 0) {
        ssize_t n = write(STDERR_FILENO, text, length);
        if (n <= 0) return;
        text += n;
        length -= (size_t)n;
    }
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
    static const char before[] = "crossmamba: input or output failed: ";
    static const char after[] =
        ": found fewer bytes than when it was opened (or its disk failed), expected a "
        "file that stays as it is while it is read\n";
    (void)context;
    map_line line;
    if (!find_file(&line, (uintptr_t)info->si_addr)) {
        signal(number, SIG_DFL); /* not ours: the instruction is repeated and ends the program */
        return;
    }
    say(before, sizeof before - 1);
    say(line.path, line.length);
    say(after, sizeof after - 1);
    _exit(1);
}

void cm_cli_watch_maps(void) {
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}
