/* The allocation hook and checked sizes. */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Large arrays are asked to lie in huge pages: a training step walks through all parameters, gradients and
 * moments, more small pages than the TLB holds. */
static const size_t huge_page = (size_t)2 << 20;

static cm_alloc_hook alloc_hook;
static void *alloc_context;

void cm_alloc_set_hook(cm_alloc_hook hook, void *context) {
    alloc_hook = hook;
    alloc_context = context;
}

bool cm_size_mul(size_t a, size_t b, size_t *result) {
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *result = product;
    return true;
}

bool cm_size_add(size_t a, size_t b, size_t *result) {
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *result = sum;
    return true;
}

/* The bytes to ask for: at least one, and no more than a pointer difference can hold. */
static bool allowed(size_t count, size_t size, size_t *bytes) {
    size_t wanted;
    if (!cm_size_mul(count, size, &wanted) || wanted > PTRDIFF_MAX - 64) return false;
    if (wanted == 0) wanted = 1;
    if (alloc_hook && !alloc_hook(wanted, alloc_context)) return false;
    *bytes = wanted;
    return true;
}

void *cm_new(size_t count, size_t size) {
    size_t bytes;
    if (!allowed(count, size, &bytes)) return NULL;
    return calloc(1, bytes);
}

void *cm_resize(void *old, size_t count, size_t size) {
    size_t bytes;
    if (!allowed(count, size, &bytes)) return NULL;
    return realloc(old, bytes);
}

void *cm_new_aligned(size_t count, size_t size) {
    size_t bytes;
    if (!allowed(count, size, &bytes)) return NULL;
    void *memory;
    if (posix_memalign(&memory, bytes < huge_page ? 64 : huge_page, (bytes + 63) / 64 * 64) != 0) return NULL;
    /* a wish: without it the array works, only slower */
    if (bytes >= huge_page) madvise(memory, bytes / huge_page * huge_page, MADV_HUGEPAGE);
    return memory;
}

char *cm_copy_text(const char *text, size_t length) {
    size_t bytes;
    if (!cm_size_add(length, 1, &bytes)) return NULL;
    char *copy = cm_new(bytes, 1);
    if (copy && length > 0) memcpy(copy, text, length);
    return copy;
}

void cm_free(void *memory) {
    free(memory);
}
