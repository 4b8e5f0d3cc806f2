/* Embeddings made elsewhere go into the store under the texts of their molecules. */
#include "base/alloc.h"
#include "base/log.h"
#include "encoders/stored_encoder.h"
#include "io/embedding_store.h"
#include "io/npy.h"
#include "model/molecule_stream.h"
#include "model/store_folder.h"
#include <crossmamba/embed.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Members of a .npz are unpacked into memory, at most so many bytes for each of the file and beyond. Real
 * embeddings hardly shrink in a zip; what grows further is a bomb. */
static const size_t unpacked_ratio = 4, unpacked_free = 48000000;

/* The tensors of the source by name. */
typedef struct source {
    cm_safetensors *safetensors;
    cm_npy *npy;
    cm_map *names; /* of npy */
} source;

/* Whether path is a zip file, by its first bytes; *size its size then. Only a regular file is looked into. */
static bool is_zip(const char *path, size_t *size) {
    char begin[2] = "";
    struct stat facts;
    if (stat(path, &facts) != 0 || !S_ISREG(facts.st_mode)) return false;
    FILE *file = fopen(path, "rb");
    bool zip = file && fread(begin, 1, 2, file) == 2 && memcmp(begin, "PK", 2) == 0;
    if (file) fclose(file);
    *size = (size_t)facts.st_size;
    return zip;
}

static cm_status source_open(source *s, const char *path, cm_error *error) {
    size_t size = 0;
    if (!is_zip(path, &size)) return cm_safetensors_open(&s->safetensors, path, error);
    CM_TRY(cm_npy_open(&s->npy, path, size * unpacked_ratio + unpacked_free, error));
    s->names = cm_map_create();
    for (size_t i = 0; s->names && i < cm_npy_count(s->npy); i++) {
        const char *name = cm_npy_get(s->npy, i)->name;
        if (!cm_map_put(s->names, name, strlen(name), (int64_t)i)) return cm_fail_memory(error, 0);
    }
    return s->names ? CM_OK : cm_fail_memory(error, 0);
}

static void source_close(source *s) {
    cm_safetensors_close(s->safetensors);
    cm_npy_close(s->npy);
    cm_map_destroy(s->names);
}

static const cm_tensor *source_find(const source *s, const char *id) {
    int64_t i;
    if (s->safetensors) return cm_safetensors_find(s->safetensors, id);
    return cm_map_get(s->names, id, strlen(id), &i) ? cm_npy_get(s->npy, (size_t)i) : NULL;
}

/* IEEE 754 binary16. */
static float from_half(uint16_t half) {
    int exponent = half >> 10 & 31, fraction = half & 1023;
    float value;
    if (exponent == 31)
        value = fraction == 0 ? INFINITY : NAN;
    else
        value =
            exponent == 0 ? ldexpf((float)fraction, -24) : ldexpf((float)(fraction + 1024), exponent - 25);
    return half >> 15 ? -value : value;
}

typedef struct import_run {
    const cm_store_import_request *request;
    cm_embeddings *store;
    source from;
    char *id;
    int64_t width; /* 0: not known yet */
    float *data;
    size_t room;
} import_run;

static int64_t residues_of(const cm_molecule_text *molecule) {
    int64_t residues = 0;
    for (int64_t i = 0; i < molecule->length; i++) residues += molecule->text[i] != '|';
    return residues;
}

static cm_status check_tensor(const import_run *run, const cm_tensor *tensor,
                              const cm_molecule_text *molecule, int64_t *rows, int64_t *width,
                              cm_error *error) {
    const cm_store_import_request *request = run->request;
    cm_text place = cm_format("tensor %s", molecule->id);
    if ((tensor->dtype != CM_DTYPE_F32 && tensor->dtype != CM_DTYPE_F16) || tensor->n_dims < 1 ||
        tensor->n_dims > 2)
        return cm_fail(error, CM_DATA, request->embeddings, place.text, "F32 or F16 [rows, width] or [width]",
                       "%s with %d dimensions", cm_dtype_name(tensor->dtype), tensor->n_dims);
    *rows = tensor->n_dims == 2 ? tensor->dims[0] : 1;
    *width = tensor->dims[tensor->n_dims - 1];
    if (*rows < 1 || *width < 1 || *width > 1 << 24 || (run->width > 0 && *width != run->width))
        return cm_fail(error, CM_DATA, request->embeddings, place.text,
                       run->width > 0 ? cm_format("%lld columns as before", (long long)run->width).text
                                      : "at least one row and column",
                       "[%lld, %lld]", (long long)*rows, (long long)*width);
    int64_t residues = residues_of(molecule);
    if (request->type == CM_MOLECULE || tensor->n_dims == 1 || *rows == residues) return CM_OK;
    if (request->truncated && *rows < residues) return CM_OK;
    return cm_fail(error, CM_DATA, request->embeddings, place.text,
                   cm_format("%lld rows, one a residue", (long long)residues).text, "%lld rows%s",
                   (long long)*rows, *rows < residues ? " (of an input that was cut? see truncated)" : "");
}

static cm_status read_values(import_run *run, const cm_tensor *tensor, size_t count, const char *id,
                             cm_error *error) {
    if (run->room < count) {
        cm_free(run->data);
        run->data = cm_new(count, sizeof *run->data);
        run->room = run->data ? count : 0;
        if (!run->data) return cm_fail_memory(error, count * sizeof *run->data);
    }
    if (tensor->dtype == CM_DTYPE_F32) memcpy(run->data, tensor->data, count * sizeof *run->data);
    for (size_t i = 0; i < count; i++) {
        if (tensor->dtype == CM_DTYPE_F16) {
            uint16_t half;
            memcpy(&half, (const char *)tensor->data + 2 * i, sizeof half);
            run->data[i] = from_half(half);
        }
        if (!isfinite(run->data[i]))
            return cm_fail(error, CM_NUMERIC, run->request->embeddings,
                           cm_format("tensor %s, value %zu", id, i).text, "finite values", "%g",
                           (double)run->data[i]);
    }
    return CM_OK;
}

static cm_status import_one(import_run *run, const cm_molecule_text *molecule, cm_error *error) {
    const cm_tensor *tensor = source_find(&run->from, molecule->id);
    if (!tensor)
        return cm_fail(error, CM_DATA, run->request->embeddings, NULL,
                       cm_format("a tensor for every molecule of %s", run->request->molecules).text,
                       "none named %s", molecule->id);
    int64_t rows = 0, width = 0;
    CM_TRY(check_tensor(run, tensor, molecule, &rows, &width, error));
    if (run->width == 0) {
        run->width = width;
        CM_TRY(cm_embeddings_encoder(run->store, run->id, width, "imported", error));
    }
    CM_TRY(read_values(run, tensor, (size_t)(rows * width), molecule->id, error));
    const cm_embeddings_record record = {molecule->text, molecule->length, rows, run->data};
    return cm_embeddings_put(run->store, run->id, width, &record, 1, error);
}

static cm_status import_all(import_run *run, cm_molecule_stream *stream, long *imported,
                            const cm_runtime *runtime, cm_error *error) {
    for (bool more = true;;) {
        cm_molecule_text molecule;
        CM_TRY(cm_molecule_stream_next(stream, &molecule, &more, error));
        if (!more) return CM_OK;
        cm_status status = import_one(run, &molecule, error);
        cm_free(molecule.id);
        cm_free(molecule.text);
        if (status != CM_OK) return status;
        ++*imported;
        if (cm_stopped(runtime))
            return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped while importing");
    }
}

cm_status cm_store_import(const char *folder, const cm_store_import_request *request, long *imported,
                          const cm_runtime *runtime, cm_error *error) {
    import_run run = {.request = request};
    cm_molecule_stream *stream = NULL;
    *imported = 0;
    cm_status status = cm_store_open(&run.store, folder, true, error);
    if (status == CM_OK) {
        run.id = cm_stored_id(request->name);
        if (!run.id) status = cm_fail_memory(error, 0);
    }
    if (status == CM_OK) status = source_open(&run.from, request->embeddings, error);
    if (status == CM_OK)
        status =
            cm_molecule_stream_open(&stream, request->type, request->molecules, false, CM_BAD_REFUSE, error);
    if (status == CM_OK) status = import_all(&run, stream, imported, runtime, error);
    if (status == CM_OK) cm_molecule_stream_warn(stream, runtime);
    cm_molecule_stream_close(stream);
    source_close(&run.from);
    cm_embeddings_close(run.store);
    cm_free(run.id);
    cm_free(run.data);
    return status;
}
