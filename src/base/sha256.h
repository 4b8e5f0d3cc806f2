/* SHA-256 as 64 lower-case hexadecimal digits. */
#ifndef CM_BASE_SHA256_H
#define CM_BASE_SHA256_H

#include <crossmamba/error.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct cm_sha256 cm_sha256;

cm_sha256 *cm_sha256_create(void); /* NULL when out of memory */
void cm_sha256_add(cm_sha256 *hash, const void *bytes, size_t len);
/* Ends the hash and frees it. */
void cm_sha256_finish(cm_sha256 *hash, char hex[65]);

/* One buffer in one go; false when out of memory. */
bool cm_sha256_of(const void *bytes, size_t len, char hex[65]);

#endif
