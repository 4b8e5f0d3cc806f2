/* All memory of the library comes from here, through one hook, so that a test can fail the Nth
 * allocation. Sizes are multiplied only through the checked helpers. */
#ifndef CM_BASE_ALLOC_H
#define CM_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Called before every allocation with its size; returning false makes the allocation fail. The one
 * process-wide setting of the library; set it while no other thread is inside the library. */
typedef bool (*cm_alloc_hook)(size_t bytes, void *context);
void cm_alloc_set_hook(cm_alloc_hook hook, void *context);

/* *result = a * b (or a + b); false and *result untouched when it does not fit. */
bool cm_size_mul(size_t a, size_t b, size_t *result);
bool cm_size_add(size_t a, size_t b, size_t *result);

/* Memory for count elements of size bytes, zeroed. NULL when out of memory, on overflow. A count or
 * size of 0 gives a valid pointer. Free with cm_free. */
void *cm_new(size_t count, size_t size);

/* As realloc for count elements of size bytes; new bytes are not zeroed. On failure NULL, and old
 * stays valid. */
void *cm_resize(void *old, size_t count, size_t size);

/* 64-byte aligned memory, not zeroed; from 2 MiB on aligned to 2 MiB, for huge pages. Free with cm_free. */
void *cm_new_aligned(size_t count, size_t size);

/* A copy of text[length] with a NUL after it. */
char *cm_copy_text(const char *text, size_t length);

/* NULL is allowed. */
void cm_free(void *memory);

#endif
