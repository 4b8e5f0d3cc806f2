/* Growable byte buffer with a ceiling. data always ends with a NUL that len does not count (data may
 * be NULL while len is 0). Once an append fails, failed stays true and further appends do nothing, so
 * that a chain of appends needs one check. */
#ifndef CM_BASE_BUF_H
#define CM_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cm_buf {
    char *data;
    size_t len, cap;
    size_t ceiling; /* 0: 2 GiB */
    bool failed;    /* an append ran out of memory or over the ceiling */
} cm_buf;

#define CM_BUF_EMPTY ((cm_buf){0})

void cm_buf_clear(cm_buf *buf); /* frees, back to empty */
bool cm_buf_append(cm_buf *buf, const void *bytes, size_t len);
bool cm_buf_text(cm_buf *buf, const char *text);
bool cm_buf_printf(cm_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
