/* The growable buffer. */
#include "base/buf.h"

#include "base/alloc.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const size_t default_ceiling = (size_t)2 << 30;

void cm_buf_clear(cm_buf *buf) {
    cm_free(buf->data);
    *buf = CM_BUF_EMPTY;
}

/* Room for len more bytes and the NUL. */
static bool reserve(cm_buf *buf, size_t len) {
    if (buf->failed) return false;
    size_t ceiling = buf->ceiling ? buf->ceiling : default_ceiling;
    size_t total, needed;
    buf->failed = true;
    if (!cm_size_add(buf->len, len, &total) || total > ceiling) return false;
    if (!cm_size_add(total, 1, &needed)) return false;
    if (needed > buf->cap) {
        size_t cap = buf->cap < 32 ? 64 : buf->cap + buf->cap / 2;
        if (cap < needed) cap = needed;
        char *data = cm_resize(buf->data, cap, 1);
        if (!data) return false;
        buf->data = data;
        buf->cap = cap;
    }
    buf->failed = false;
    return true;
}

bool cm_buf_append(cm_buf *buf, const void *bytes, size_t len) {
    if (!reserve(buf, len)) return false;
    if (len > 0) memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return true;
}

bool cm_buf_text(cm_buf *buf, const char *text) {
    return cm_buf_append(buf, text, strlen(text));
}

bool cm_buf_printf(cm_buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) buf->failed = true;
    if (len < 0 || !reserve(buf, (size_t)len)) return false;
    va_start(args, format);
    vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
    return true;
}
