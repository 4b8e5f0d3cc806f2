/* Status codes and the error record.
 *
 * Every function of the library that can fail returns a cm_status and fills a caller-owned cm_error.
 * On failure outputs are NULL or untouched. The library never prints, exits or aborts on input. */
#ifndef CROSSMAMBA_ERROR_H
#define CROSSMAMBA_ERROR_H

#include <crossmamba/export.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CM_STATUS_LIST(X)                   \
    X(OK, "done")                           \
    X(MEMORY, "out of memory")              \
    X(IO, "input or output failed")         \
    X(DATA, "bad data")                     \
    X(USAGE, "bad argument")                \
    X(MODEL, "missing or unsuitable model") \
    X(NUMERIC, "not a finite number")       \
    X(INTERRUPTED, "interrupted")

typedef enum cm_status {
#define X(name, text) CM_##name,
    CM_STATUS_LIST(X)
#undef X
} cm_status;

/* What went wrong, where. Empty strings where a field does not apply. All texts end with NUL and are
 * cut to fit; bytes of the input that are not printable ASCII appear as \xHH. */
typedef struct cm_error {
    cm_status status;
    char file[256];     /* path as the user gave it */
    char place[96];     /* "line 12", "record 3 (id x)", "byte 8", "key fold" */
    char expected[256]; /* what would have been right */
    char found[256];    /* what was there, or what happened */
} cm_error;

/* The short text of a status, for example "bad data". Never NULL. */
CM_API const char *cm_status_text(cm_status status);

/* Writes one line "file: place: found ..., expected ..." without newline into text[size]; size > 0.
 * Fields that are empty are left out. Returns text. */
CM_API char *cm_error_line(const cm_error *error, char *text, unsigned long size);

#ifdef __cplusplus
}
#endif
#endif
