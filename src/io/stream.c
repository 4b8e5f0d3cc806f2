/* Reading plain, gzip and bgzf input through htslib's BGZF, with every kind of damage turned into one
 * message. */
#include "io/stream.h"
#include "base/alloc.h"
#include <errno.h>
#include <fcntl.h>
#include <htslib/bgzf.h>
#include <htslib/hfile.h>
#include <htslib/hts_log.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 65536 };

/* Compressed text that unpacks to more than so many bytes, and to more than so many times its size, is a
 * bomb: tables of repeated ids reach 30 times. */
static const size_t free_unpacked = 64000000, most_ratio = 100;

struct cm_stream {
    BGZF *bgzf;
    char *path;
    char *block; /* [BLOCK_BYTES] */
    size_t unpacked;
    bool started;
};

static const char regular_file[] = "a regular file, or \"-\" for standard input";

static cm_status check_kind(const struct stat *info, bool standard_input, const char *path, cm_error *error) {
    if (S_ISDIR(info->st_mode)) return cm_fail(error, CM_IO, path, NULL, regular_file, "a directory");
    if (standard_input || S_ISREG(info->st_mode)) return CM_OK;
    const char *found = S_ISFIFO(info->st_mode) ? "a FIFO" : "a device or socket";
    return cm_fail(error, CM_IO, path, NULL, regular_file, "%s", found);
}

/* O_NONBLOCK: opening a FIFO must not wait for a writer before it can be refused. */
static cm_status open_descriptor(int *descriptor, const char *path, cm_error *error) {
    bool standard_input = strcmp(path, "-") == 0;
    int fd = standard_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                            : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return cm_fail_errno(error, path, "cannot open", errno);
    struct stat info;
    cm_status status = fstat(fd, &info) != 0 ? cm_fail_errno(error, path, "cannot look at", errno)
                                             : check_kind(&info, standard_input, path, error);
    if (status != CM_OK) {
        close(fd);
        return status;
    }
    *descriptor = fd;
    return CM_OK;
}

/* htslib prints its own remarks to stderr unless told not to; the setting is htslib's and process-wide. */
static void silence_htslib(void) {
    if (hts_get_log_level() != HTS_LOG_OFF) hts_set_log_level(HTS_LOG_OFF);
}

static cm_status open_bgzf(cm_stream *stream, cm_error *error) {
    int fd = -1;
    CM_TRY(open_descriptor(&fd, stream->path, error));
    hFILE *file = hdopen(fd, "r");
    if (file == NULL) {
        close(fd);
        return cm_fail_memory(error, 0);
    }
    errno = 0;
    stream->bgzf = bgzf_hopen(file, "r");
    if (stream->bgzf != NULL) return CM_OK;
    int saved = errno;
    hclose_abruptly(file);
    return saved == ENOMEM ? cm_fail_memory(error, 0)
                           : cm_fail_errno(error, stream->path, "cannot read", saved);
}

cm_status cm_stream_open(cm_stream **stream, const char *path, cm_error *error) {
    *stream = NULL;
    silence_htslib();
    cm_stream *opened = cm_new(1, sizeof *opened);
    if (opened == NULL) return cm_fail_memory(error, sizeof *opened);
    opened->path = cm_copy_text(path, strlen(path));
    opened->block = cm_new(BLOCK_BYTES, 1);
    cm_status status = opened->path == NULL || opened->block == NULL ? cm_fail_memory(error, BLOCK_BYTES)
                                                                     : open_bgzf(opened, error);
    if (status != CM_OK) {
        cm_stream_close(opened);
        return status;
    }
    *stream = opened;
    return CM_OK;
}

void cm_stream_close(cm_stream *stream) {
    if (stream == NULL) return;
    if (stream->bgzf != NULL) bgzf_close(stream->bgzf);
    cm_free(stream->path);
    cm_free(stream->block);
    cm_free(stream);
}

const char *cm_stream_path(const cm_stream *stream) {
    return stream->path;
}

static cm_status broken(const cm_stream *stream, cm_error *error) {
    return cm_fail(error, CM_DATA, stream->path, NULL, "a complete gzip or bgzf file",
                   "compressed data that is cut short, damaged or followed by other bytes");
}

/* What the first bytes give away. A gzip file too short for htslib to recognise comes back as plain. */
static cm_status check_start(cm_stream *stream, const char **data, size_t *size, cm_error *error) {
    const char *bytes = *data;
    if (*size >= 2 && memcmp(bytes, "\x1f\x8b", 2) == 0) return broken(stream, error);
    if (*size >= 2 && (memcmp(bytes, "\xff\xfe", 2) == 0 || memcmp(bytes, "\xfe\xff", 2) == 0))
        return cm_fail(error, CM_DATA, stream->path, "byte 0", "UTF-8 text", "UTF-16 text");
    if (*size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        *data += 3;
        *size -= 3;
    }
    return CM_OK;
}

static cm_status check_ratio(const cm_stream *stream, cm_error *error) {
    if (!stream->bgzf->is_compressed || stream->unpacked <= free_unpacked) return CM_OK;
    off_t packed = htell(stream->bgzf->fp);
    if (packed < 0 || stream->unpacked / most_ratio <= (size_t)packed) return CM_OK;
    return cm_fail(error, CM_DATA, stream->path, NULL, "text",
                   "data that unpack to more than %zu times their size", most_ratio);
}

cm_status cm_stream_next(cm_stream *stream, const char **data, size_t *size, cm_error *error) {
    errno = 0;
    ssize_t got = bgzf_read(stream->bgzf, stream->block, BLOCK_BYTES);
    if (got < 0 && (stream->bgzf->errcode & BGZF_ERR_IO) != 0 && errno != 0)
        return cm_fail_errno(error, stream->path, "cannot read", errno);
    if (got < 0 || (got == 0 && stream->bgzf->no_eof_block)) return broken(stream, error);
    *data = stream->block;
    *size = (size_t)got;
    stream->unpacked += *size;
    CM_TRY(check_ratio(stream, error));
    if (stream->started) return CM_OK;
    stream->started = true;
    CM_TRY(check_start(stream, data, size, error));
    /* nothing but a byte order mark in the first block: not yet the end */
    return got > 0 && *size == 0 ? cm_stream_next(stream, data, size, error) : CM_OK;
}
