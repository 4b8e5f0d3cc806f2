/* Looking into the embedding store, taking out of it, tidying it. */
#include "base/alloc.h"
#include "base/log.h"
#include "io/embedding_store.h"
#include "model/molecule_stream.h"
#include "model/store_folder.h"
#include <crossmamba/embed.h>
#include <stdio.h>

const char *cm_store_path(const char *folder, char *path, size_t size) {
    char full[CM_STORE_PATH];
    cm_store_folder(folder, full);
    snprintf(path, size, "%s", full);
    return path;
}

cm_status cm_store_open(cm_embeddings **store, const char *folder, bool create, cm_error *error) {
    char path[CM_STORE_PATH];
    cm_store_folder(folder, path);
    if (*path == '\0')
        return cm_fail(error, CM_USAGE, NULL, "embedding store", "a folder, or a home folder for the default",
                       "none");
    if (create) cm_store_make_parents(path);
    return cm_embeddings_open(store, path, create, error);
}

typedef struct list_state {
    cm_store_sink sink;
    void *context;
} list_state;

static int pass_on(void *context, const cm_embeddings_info *info) {
    const list_state *state = context;
    const cm_store_line line = {.id = info->id,
                                .description = info->description,
                                .width = (long)info->width,
                                .records = info->records,
                                .rows = info->rows,
                                .bytes = info->bytes,
                                .damaged = info->damaged};
    return state->sink(state->context, &line);
}

cm_status cm_store_list(const char *folder, cm_store_sink sink, void *context, cm_error *error) {
    cm_embeddings *store = NULL;
    list_state state = {sink, context};
    CM_TRY(cm_store_open(&store, folder, false, error));
    cm_status status = cm_embeddings_list(store, pass_on, &state, error);
    cm_embeddings_close(store);
    return status;
}

cm_status cm_store_gc(const char *folder, const char *id, int compact, long *removed, cm_error *error) {
    cm_embeddings *store = NULL;
    int64_t count = 0;
    CM_TRY(cm_store_open(&store, folder, false, error));
    cm_status status = cm_embeddings_gc(store, id, compact != 0, &count, error);
    cm_embeddings_close(store);
    *removed = (long)count;
    return status;
}

/* ---- export ---- */

/* Passes the record of one molecule to the writer; *found false when the store does not know it. */
static cm_status export_one(cm_embeddings *store, const char *id, int64_t width,
                            const cm_molecule_text *molecule, cm_embedding_writer *writer, bool *found,
                            cm_error *error) {
    int64_t rows;
    *found = false;
    CM_TRY(cm_embeddings_get(store, id, molecule->text, molecule->length, width, &rows, NULL, error));
    if (rows < 0) return CM_OK;
    size_t floats;
    float *data = cm_size_mul((size_t)rows, (size_t)width, &floats) ? cm_new(floats, sizeof *data) : NULL;
    if (!data) return cm_fail_memory(error, 0);
    cm_status status =
        cm_embeddings_get(store, id, molecule->text, molecule->length, width, &rows, data, error);
    const cm_embedding embedding = {.id = molecule->id,
                                    .text = molecule->text,
                                    .rows = (long)rows,
                                    .width = (long)width,
                                    .tokens = data,
                                    .warnings = ""};
    *found = status == CM_OK;
    if (status == CM_OK && cm_embedding_writer_add(writer, &embedding) != 0)
        status = cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped by a failed write");
    cm_free(data);
    return status;
}

static cm_status export_all(cm_embeddings *store, const char *id, int64_t width, cm_molecule_stream *stream,
                            cm_embedding_writer *writer, long counts[2], const cm_runtime *runtime,
                            cm_error *error) {
    for (bool more = true;;) {
        cm_molecule_text molecule;
        bool found;
        CM_TRY(cm_molecule_stream_next(stream, &molecule, &more, error));
        if (!more) return CM_OK;
        cm_status status = export_one(store, id, width, &molecule, writer, &found, error);
        cm_free(molecule.id);
        cm_free(molecule.text);
        if (status != CM_OK) return status;
        counts[found ? 0 : 1]++;
        if (cm_stopped(runtime))
            return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped while exporting");
    }
}

static cm_status export_to(cm_embeddings *store, const char *id, const char *molecules, cm_molecule_type type,
                           const char *path, long counts[2], const cm_runtime *runtime, cm_error *error) {
    int64_t width;
    CM_TRY(cm_embeddings_width(store, id, &width, error));
    if (width == 0)
        return cm_fail(error, CM_USAGE, NULL, "encoder", "an id that crossmamba store info lists", "%s", id);
    const cm_embedder_info info = {.id = id, .pooling = "none", .licence = "", .width = (long)width};
    cm_molecule_stream *stream = NULL;
    cm_embedding_writer *writer = NULL;
    CM_TRY(cm_molecule_stream_open(&stream, type, molecules, false, CM_BAD_REFUSE, error));
    cm_status status =
        cm_embedding_writer_open(&writer, CM_EMBEDDING_SAFETENSORS, CM_EMBEDDING_TOKENS, path, &info, error);
    if (status == CM_OK) {
        status = export_all(store, id, width, stream, writer, counts, runtime, error);
        status = cm_embedding_writer_close(writer, status, error);
    }
    cm_molecule_stream_close(stream);
    return status;
}

cm_status cm_store_export(const char *folder, const char *id, const char *molecules, cm_molecule_type type,
                          const char *path, long *exported, long *missing, const cm_runtime *runtime,
                          cm_error *error) {
    cm_embeddings *store = NULL;
    long counts[2] = {0, 0};
    CM_TRY(cm_store_open(&store, folder, false, error));
    cm_status status = export_to(store, id, molecules, type, path, counts, runtime, error);
    cm_embeddings_close(store);
    *exported = counts[0];
    *missing = counts[1];
    return status;
}
