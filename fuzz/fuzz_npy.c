/* io/npy: .npy and .npz. An input that begins with 'W' is a .npy that is put into an archive with right
 * checksums. */
#include "input.h"

#include "io/npy.h"
#include <stdlib.h>

static void read_one(const char *path) {
    cm_npy *file = NULL;
    cm_error error = {0};
    if (cm_npy_open(&file, path, (size_t)16 << 20, &error) != CM_OK) return;
    for (size_t i = 0; i < cm_npy_count(file); i++) {
        const cm_tensor *tensor = cm_npy_get(file, i);
        fuzz_touch(tensor->data, tensor->bytes);
    }
    cm_npy_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_limit_memory(size);
    if (size == 0 || data[0] != 'W') {
        read_one(fuzz_file(0, data, size));
        return 0;
    }
    const fuzz_part parts[] = {{"a.npy", 5}, {data + 1, size - 1}, {"b.npy", 5}, {data + 1, size - 1}};
    size_t zip_size = 0;
    uint8_t *zip = fuzz_zip(parts, 2, &zip_size);
    read_one(fuzz_file(0, zip, zip_size));
    free(zip);
    return 0;
}
