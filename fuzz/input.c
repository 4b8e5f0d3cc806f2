/* Helpers of the fuzz targets. */
#include "input.h"

#include "base/alloc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

const char *fuzz_file(int number, const void *data, size_t size) {
    static int descriptors[FUZZ_FILES];
    static char paths[FUZZ_FILES][32];
    if (descriptors[number] == 0) {
        descriptors[number] = memfd_create("input", MFD_CLOEXEC);
        if (descriptors[number] <= 0) abort();
        snprintf(paths[number], sizeof paths[number], "/proc/self/fd/%d", descriptors[number]);
    }
    if (ftruncate(descriptors[number], (off_t)size) != 0) abort();
    if (pwrite(descriptors[number], data, size, 0) != (ssize_t)size) abort();
    return paths[number];
}

static size_t largest;

static bool within_limit(size_t bytes, void *context) {
    (void)context;
    if (bytes <= largest) return true;
    fprintf(stderr, "one allocation of %zu bytes, at most %zu are allowed\n", bytes, largest);
    abort();
}

void fuzz_limit_memory(size_t size) {
    largest = size + ((size_t)64 << 20);
    cm_alloc_set_hook(within_limit, NULL);
}

void fuzz_touch(const void *memory, size_t size) {
    const unsigned char *bytes = memory;
    unsigned char all = 0;
    for (size_t i = 0; i < size; i++) all ^= bytes[i];
    __asm__ volatile("" : : "r"(all)); /* the result counts as used */
}

/* ---- zip (PKWARE's APPNOTE, 4.3.7, 4.3.12 and 4.3.16) ---- */

static uint8_t *put(uint8_t *at, uint32_t value, int width) {
    for (int i = 0; i < width; i++, value >>= 8) *at++ = (uint8_t)value;
    return at;
}

static uint8_t *put_bytes(uint8_t *at, const fuzz_part *part) {
    if (part->size > 0) memcpy(at, part->data, part->size);
    return at + part->size;
}

/* From "version needed" to the length of the extra field: the same in both headers of an entry. */
static uint8_t *put_facts(uint8_t *at, const fuzz_part *name, const fuzz_part *content) {
    uint32_t size = (uint32_t)content->size;
    at = put(at, 20, 2); /* version needed */
    at = put(at, 0, 8);  /* flags, method, time, date */
    at = put(at, (uint32_t)crc32(0, content->data, size), 4);
    at = put(at, size, 4);
    at = put(at, size, 4);
    at = put(at, (uint32_t)name->size, 2);
    return put(at, 0, 2);
}

uint8_t *fuzz_zip(const fuzz_part *parts, size_t entries, size_t *size) {
    size_t room = 22;
    for (size_t i = 0; i < entries; i++) room += 76 + 2 * parts[2 * i].size + parts[2 * i + 1].size;
    uint8_t *zip = calloc(1, room), *at = zip;
    uint32_t *begins = calloc(entries, sizeof *begins);
    if (!zip || !begins) abort();
    for (size_t i = 0; i < entries; i++) {
        begins[i] = (uint32_t)(at - zip);
        at = put(at, 0x04034b50, 4);
        at = put_facts(at, &parts[2 * i], &parts[2 * i + 1]);
        at = put_bytes(put_bytes(at, &parts[2 * i]), &parts[2 * i + 1]);
    }
    uint32_t directory = (uint32_t)(at - zip);
    for (size_t i = 0; i < entries; i++) {
        at = put(put(at, 0x02014b50, 4), 20, 2);
        at = put_facts(at, &parts[2 * i], &parts[2 * i + 1]);
        at = put(at, 0, 10); /* comment, disk, attributes */
        at = put_bytes(put(at, begins[i], 4), &parts[2 * i]);
    }
    uint32_t length = (uint32_t)(at - zip) - directory;
    at = put(put(at, 0x06054b50, 4), 0, 4);
    at = put(put(at, (uint32_t)entries, 2), (uint32_t)entries, 2);
    at = put(put(put(at, length, 4), directory, 4), 0, 2);
    free(begins);
    *size = (size_t)(at - zip);
    return zip;
}

/* ---- headers with a length ---- */

#ifdef FUZZ_LIBFUZZER
size_t fuzz_mutate_header(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    uint64_t length = 0;
    if (size >= 8) memcpy(&length, data, 8);
    if (size < 9 || length == 0 || length > size - 8 || seed % 8 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    size_t behind = size - 8 - (size_t)length, room = max_size - size + (size_t)length;
    uint8_t *tail = malloc(behind + 1), *header = malloc(room + 1);
    if (!tail || !header) abort();
    memcpy(tail, data + 8 + length, behind);
    memcpy(header, data + 8, (size_t)length);
    length = LLVMFuzzerMutate(header, (size_t)length, room);
    memcpy(data, &length, 8);
    memcpy(data + 8, header, (size_t)length);
    memcpy(data + 8 + length, tail, behind);
    free(header);
    free(tail);
    return 8 + (size_t)length + behind;
}
#endif
