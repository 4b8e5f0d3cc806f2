/* io/torch_file: PyTorch checkpoints. An input that begins with 'W' is a pickle that is put into an archive
 * with two storages of 64 bytes, so that the checksums of the archive do not keep mutations out. */
#include "input.h"

#include "io/torch_file.h"
#include <stdlib.h>

static void read_one(const char *path) {
    cm_torch_file *file = NULL;
    cm_error error = {0};
    if (cm_torch_file_open(&file, path, &error) != CM_OK) return;
    if (cm_torch_file_count(file) == 0) abort(); /* "no tensor" is a refusal */
    for (size_t i = 0; i < cm_torch_file_count(file); i++) {
        const cm_tensor *tensor = cm_torch_file_get(file, i);
        fuzz_touch(tensor->data, tensor->bytes);
    }
    cm_torch_file_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t storage[64] = {1, 2, 3};
    fuzz_limit_memory(size);
    if (size == 0 || data[0] != 'W') {
        read_one(fuzz_file(0, data, size));
        return 0;
    }
    const fuzz_part parts[] = {{"a/data.pkl", 10},        {data + 1, size - 1}, {"a/data/0", 8},
                               {storage, sizeof storage}, {"a/data/1", 8},      {storage, sizeof storage}};
    size_t zip_size = 0;
    uint8_t *zip = fuzz_zip(parts, 3, &zip_size);
    read_one(fuzz_file(0, zip, zip_size));
    free(zip);
    return 0;
}
