/* What fuzz targets share: the input as a file that has a name, so that readers of paths run as they are, and
 * the promise that no reader asks for much more memory than the input has bytes. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The entry that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Optional; libFuzzer alone calls it. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

enum { FUZZ_FILES = 3 };

/* A path whose file holds data[size] until the next call with the same number (0 .. FUZZ_FILES - 1): a file
 * in memory, made once and refilled. */
const char *fuzz_file(int number, const void *data, size_t size);

/* Aborts the process when one allocation of the library is larger than size + 64 MiB. */
void fuzz_limit_memory(size_t size);

/* Reads every byte of memory, so that a sanitizer sees when it is not the reader's. */
void fuzz_touch(const void *memory, size_t size);

/* A zip archive with stored entries and right checksums; names and contents alternate in parts[2 * entries].
 * The bytes are to be freed with free. */
typedef struct fuzz_part {
    const void *data;
    size_t size;
} fuzz_part;
uint8_t *fuzz_zip(const fuzz_part *parts, size_t entries, size_t *size);

/* Mutates a file whose first 8 bytes are the length of the text behind them, and sets that length anew. */
size_t fuzz_mutate_header(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

#endif
