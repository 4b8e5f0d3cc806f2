/* Tables on stdout or into a file that appears only when it is complete. */
#include "cli/common.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static cm_status choose_format(cm_output *output, const cm_args *args, cm_error *error) {
    static const char *const names[] = {"tsv", "csv", "jsonl"};
    const char *format = cm_args_get(args, "format");
    output->format = CM_TSV;
    for (int i = 0; format && i < 3; i++)
        if (strcmp(format, names[i]) == 0) {
            output->format = (cm_format)i;
            return CM_OK;
        }
    return format ? cm_cli_fail(error, CM_USAGE, NULL, "option --format", "tsv, csv or jsonl", format)
                  : CM_OK;
}

/* A file that has no name yet, so that nothing of it is left when the process is killed; -1 where the file
 * system cannot make one. */
static int nameless(const char *path) {
    char folder[sizeof((cm_output *)0)->temporary];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    return open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
}

/* A fresh file in the folder of the wanted one, with the permissions of any new file. */
static cm_status open_file(cm_output *output, const char *path, cm_error *error) {
    output->path = path;
    int length = snprintf(output->temporary, sizeof output->temporary, "%s.XXXXXX", path);
    if (length < 0 || (size_t)length >= sizeof output->temporary)
        return cm_cli_fail(error, CM_USAGE, path, NULL, "a shorter path", "a path too long");
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return cm_cli_fail(error, CM_IO, path, NULL, "a regular file", "something else");
    int file = nameless(path);
    output->nameless = file >= 0;
    if (file < 0) file = mkstemp(output->temporary);
    mode_t mask = umask(0);
    umask(mask);
    if (file >= 0 && !output->nameless) fchmod(file, 0666 & ~mask);
    output->stream = file < 0 ? NULL : fdopen(file, "w");
    if (output->stream) return CM_OK;
    int reason = errno;
    if (file >= 0) close(file);
    if (file >= 0 && !output->nameless) unlink(output->temporary);
    return cm_cli_fail(error, CM_IO, path, NULL, "a file that can be written", strerror(reason));
}

/* Gives the file its place. A file without a name gets it at once where nothing is in the way, else over a
 * name of its own, which an earlier run may have left there when it was killed at just this point. */
static bool place_file(cm_output *output) {
    if (!output->nameless) return rename(output->temporary, output->path) == 0;
    char own[64];
    snprintf(own, sizeof own, "/proc/self/fd/%d", fileno(output->stream));
    if (linkat(AT_FDCWD, own, AT_FDCWD, output->path, AT_SYMLINK_FOLLOW) == 0) return true;
    if (errno != EEXIST) return false;
    snprintf(output->temporary, sizeof output->temporary, "%s.new", output->path);
    unlink(output->temporary);
    return linkat(AT_FDCWD, own, AT_FDCWD, output->temporary, AT_SYMLINK_FOLLOW) == 0 &&
           rename(output->temporary, output->path) == 0;
}

static void csv_cell(FILE *stream, const char *cell) {
    if (!strpbrk(cell, ",\"\r\n")) {
        fputs(cell, stream);
        return;
    }
    fputc('"', stream);
    for (; *cell; cell++) {
        if (*cell == '"') fputc('"', stream);
        fputc(*cell, stream);
    }
    fputc('"', stream);
}

/* Bytes of the UTF-8 character at text, 0 when it is none (RFC 3629). */
static size_t utf8_length(const char *text) {
    const unsigned char *c = (const unsigned char *)text;
    size_t length = c[0] < 0x80                   ? 1
                    : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
                    : c[0] >> 4 == 14             ? 3
                    : c[0] >= 0xf0 && c[0] < 0xf5 ? 4
                                                  : 0;
    for (size_t i = 1; i < length; i++)
        if (c[i] >> 6 != 2) return 0;
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90)) return 0; /* overlong */
    if ((c[0] == 0xed && c[1] >= 0xa0) || (c[0] == 0xf4 && c[1] >= 0x90))
        return 0; /* surrogates, too large */
    return length;
}

/* Bytes that are no UTF-8 become U+FFFD: JSON cannot hold them. */
static void json_cell(FILE *stream, const char *cell) {
    fputc('"', stream);
    for (; *cell; cell++) {
        size_t length = utf8_length(cell);
        if (length == 0)
            fputs("\\ufffd", stream);
        else if (length > 1) {
            fwrite(cell, 1, length, stream);
            cell += length - 1;
        } else if (*cell == '"' || *cell == '\\')
            fprintf(stream, "\\%c", *cell);
        else if ((unsigned char)*cell < 0x20)
            fprintf(stream, "\\u%04x", (unsigned)*cell);
        else
            fputc(*cell, stream);
    }
    fputc('"', stream);
}

static void separated_row(const cm_output *output, const char *const *cells) {
    for (int i = 0; i < output->n_columns; i++) {
        if (i > 0) fputc(output->format == CM_TSV ? '\t' : ',', output->stream);
        if (output->format == CM_TSV)
            fputs(cells[i], output->stream);
        else
            csv_cell(output->stream, cells[i]);
    }
    fputc('\n', output->stream);
}

void cm_output_row(cm_output *output, const char *const *cells, const bool *number) {
    if (output->format != CM_JSONL) {
        separated_row(output, cells);
        return;
    }
    for (int i = 0; i < output->n_columns; i++) {
        fprintf(output->stream, "%s\"%s\":", i > 0 ? "," : "{", output->columns[i]);
        if (number[i] && strcmp(cells[i], "nan") == 0)
            fputs("null", output->stream);
        else if (number[i])
            fputs(cells[i], output->stream);
        else
            json_cell(output->stream, cells[i]);
    }
    fputs("}\n", output->stream);
}

cm_status cm_output_open(cm_output *output, const cm_args *args, const char *const *columns, int n,
                         cm_error *error) {
    *output = (cm_output){.stream = stdout, .columns = columns, .n_columns = n};
    cm_status status = choose_format(output, args, error);
    const char *path = cm_args_get(args, "out");
    if (status == CM_OK && path && strcmp(path, "-") != 0) status = open_file(output, path, error);
    if (status == CM_OK && output->format != CM_JSONL) separated_row(output, columns);
    return status;
}

cm_status cm_output_close(cm_output *output, cm_status status, cm_error *error) {
    bool written = fflush(output->stream) == 0 && !ferror(output->stream);
    int reason = errno;
    if (output->path) {
        written = written && fsync(fileno(output->stream)) == 0;
        if (written && status == CM_OK) written = place_file(output);
        if (!written) reason = errno;
        fclose(output->stream); /* all of it is on the disk already */
        if (!written || status != CM_OK) unlink(output->temporary);
    }
    /* the row writers stop the run at a failed write: the write is then what went wrong */
    if (!written && (status == CM_OK || status == CM_INTERRUPTED))
        return cm_cli_fail(error, CM_IO, output->path ? output->path : "standard output", NULL, NULL,
                           strerror(reason));
    return status;
}
