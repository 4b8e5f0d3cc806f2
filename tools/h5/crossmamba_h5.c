/* crossmamba-h5: embeddings between safetensors and HDF5. A program of its own, because the HDF5 library's
 * parser is not fit for files of unknown origin and must not be part of the main program. */
#include "base/file.h"
#include "h5.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: crossmamba-h5 to [--half] IN.safetensors OUT.h5\n"
    "       crossmamba-h5 from IN.h5 OUT.safetensors\n"
    "\n"
    "Converts embeddings: one tensor a sequence, named by its id, [residues, width] or [width] (pooled),\n"
    "to and from HDF5 as bio_embeddings and UniProt have it: one dataset a sequence in the root group.\n"
    "\n"
    "  --half   16-bit floats in the HDF5 file (else 32-bit)\n"
    "\n"
    "FOR TRUSTED FILES ONLY: HDF5 files of unknown origin can attack the HDF5 library that reads them. It "
    "runs\n"
    "in a process with limits, so that a file which is merely damaged is refused.\n"
    "Links, groups, external and virtual storage and filters other than deflate and shuffle are refused.\n"
    "\n"
    "A dataset is named by the id with '/' written %2F, '%' written %25 and a '.' at its begin written %2E; "
    "the\n"
    "attribute original_id has the id as it is. Reading takes original_id, or the name where it is missing.\n"
    "from holds all embeddings in memory. Exit codes: 0 done, 1 failed, 2 usage, 3 bad data.\n";

static cm_status convert_to(const char *in, const char *out, bool half, cm_error *error) {
    cm_safetensors *file = NULL;
    CM_TRY(cm_safetensors_open(&file, in, error));
    cm_status status = cm_h5_write(out, file, in, half, error);
    cm_safetensors_close(file);
    return status;
}

typedef struct conversion {
    const char *in, *out;
} conversion;

static cm_status read_and_write(void *context, cm_error *error) {
    const conversion *files = context;
    cm_h5_list list;
    cm_status status = cm_h5_read(&list, files->in, error);
    if (status == CM_OK) status = cm_safetensors_write(files->out, list.tensors, list.count, NULL, 0, error);
    cm_h5_list_clear(&list);
    return status;
}

static cm_status convert_from(const char *in, const char *out, cm_error *error) {
    conversion files = {in, out};
    size_t size = 0;
    CM_TRY(cm_file_size(in, &size, error));
    return cm_h5_apart(read_and_write, &files, in, size, error);
}

int main(int argc, char **argv) {
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return fputs(help, stdout) < 0 || fflush(stdout) != 0;
    bool to = argc > 1 && strcmp(argv[1], "to") == 0, from = argc > 1 && strcmp(argv[1], "from") == 0;
    bool half = to && argc > 2 && strcmp(argv[2], "--half") == 0;
    int first = half ? 3 : 2;
    if ((!to && !from) || argc != first + 2) {
        fputs(help, stderr);
        return 2;
    }
    cm_error error = {0};
    signal(SIGXFSZ, SIG_IGN); /* a write beyond the size limit is then a failed write, not the end */
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1); /* new files have a lock already (base/file.h) */
    H5dont_atexit(); /* after a write that failed the library would write again, and crash */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    cm_status status = to ? convert_to(argv[first], argv[first + 1], half, &error)
                          : convert_from(argv[first], argv[first + 1], &error);
    if (status == CM_OK) return 0;
    char line[1024];
    fprintf(stderr, "crossmamba-h5: %s\n", cm_error_line(&error, line, sizeof line));
    return status == CM_DATA ? 3 : 1; /* as crossmamba has them */
}
