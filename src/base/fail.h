/* Filling the error record. */
#ifndef CM_BASE_FAIL_H
#define CM_BASE_FAIL_H

#include <crossmamba/error.h>
#include <stddef.h>

/* A short formatted text returned by value, so that it can be built inside a call. */
typedef struct cm_text {
    char text[96];
} cm_text;

/* printf into a cm_text: cm_format("line %zu", n).text */
cm_text cm_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Fills *error (NULL allowed: then nothing is recorded) and returns status. file, place, expected
 * may be NULL. found is a printf format; every text is sanitised (see cm_error). */
cm_status cm_fail(cm_error *error, cm_status status, const char *file, const char *place,
                  const char *expected, const char *found, ...) __attribute__((format(printf, 6, 7)));

/* CM_MEMORY with the size that was asked for (0: not known). */
cm_status cm_fail_memory(cm_error *error, size_t bytes);

/* CM_IO with strerror(errnum). action names the call, for example "cannot open". */
cm_status cm_fail_errno(cm_error *error, const char *file, const char *action, int errnum);

/* Static analysers that see one file at a time learn here that these return the status that they record. */
#ifdef __clang_analyzer__
#define cm_fail(error, status, ...) (cm_fail(error, status, __VA_ARGS__), (status))
#define cm_fail_memory(error, bytes) (cm_fail_memory(error, bytes), CM_MEMORY)
#define cm_fail_errno(error, ...) (cm_fail_errno(error, __VA_ARGS__), CM_IO)
#endif

/* Leaves the enclosing function with the status of call when it is not CM_OK. */
#define CM_TRY(call)                                        \
    do {                                                    \
        cm_status cm_try_status_ = (call);                  \
        if (cm_try_status_ != CM_OK) return cm_try_status_; \
    } while (0)

#endif
