/* The bytes of one input for the text readers (table, FASTA): plain, gzip or bgzf through htslib, a file
 * or standard input. */
#ifndef CM_IO_STREAM_H
#define CM_IO_STREAM_H

#include "base/fail.h"

typedef struct cm_stream cm_stream;

/* path "-" reads standard input. Directories, FIFOs and devices are refused (a pipe is read through
 * "-"). Never a URL: htslib sees only a file descriptor. */
cm_status cm_stream_open(cm_stream **stream, const char *path, cm_error *error);
void cm_stream_close(cm_stream *stream); /* NULL is allowed */

/* The next block of at most 64 KiB, uncompressed and without a UTF-8 byte order mark at the start; *size 0
 * at the end. Valid until the next call. Truncated, damaged (checksum) or trailing compressed bytes,
 * text that unpacks to more than 64 MB and 100 times its size, and UTF-16 (by its mark) are CM_DATA, a
 * failing read is CM_IO. */
cm_status cm_stream_next(cm_stream *stream, const char **data, size_t *size, cm_error *error);

const char *cm_stream_path(const cm_stream *stream); /* as given to open */

#endif
