/* Files of embeddings. The matrices go to an unnamed file beside the wanted one as they come and from there,
 * once all are known, into the format: memory stays bounded and a file appears only when it is whole. */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/fail.h"
#include "base/file.h"
#include "io/npy.h"
#include "io/safetensors.h"
#include <crossmamba/embed.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct cm_embedding_writer {
    cm_embedding_format format;
    int what;
    char *path;
    FILE *stream; /* the unnamed file, or standard output; NULL: npz */
    cm_npz_writer *npz;
    char *facts[6]; /* id, pooling, layer, precision, licence, content */
    long width;
    /* safetensors: what was written, npy: the ids */
    cm_tensor *tensors;
    size_t n, room;
    size_t bytes; /* in the unnamed file */
    cm_buf ids;
    cm_status status;
    cm_error error;
};

static const char *const fact_names[6] = {"encoder", "pooling", "layer", "precision", "licence", "content"};

static cm_status make_facts(cm_embedding_writer *w, const cm_embedder_info *info, cm_error *error) {
    cm_text layer = cm_format("%d of %d", info->layer, info->layers);
    static const char *const contents[] = {"", "pooled", "tokens", "tokens and pooled"};
    const char *texts[6] = {info->id,      info->pooling,    layer.text, cm_precision_name(info->precision),
                            info->licence, contents[w->what]};
    for (int i = 0; i < 6; i++) {
        w->facts[i] = cm_copy_text(texts[i], strlen(texts[i]));
        if (!w->facts[i]) return cm_fail_memory(error, strlen(texts[i]));
    }
    return CM_OK;
}

/* A file that never had a name, where the file system can make one: nothing of it is left when the process is
 * killed. */
static int nameless(const char *path) {
    const char *slash = strrchr(path, '/');
    cm_buf text = CM_BUF_EMPTY;
    int file = -1;
    bool named = slash ? cm_buf_append(&text, path, (size_t)(slash - path) + 1) : cm_buf_text(&text, ".");
    if (named) file = open(text.data, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    cm_buf_clear(&text);
    return file;
}

/* A file without a name in the folder of path. */
static cm_status open_unnamed(cm_embedding_writer *w, cm_error *error) {
    int file = nameless(w->path);
    cm_buf name = CM_BUF_EMPTY;
    if (file < 0 && !cm_buf_printf(&name, "%s.XXXXXX", w->path)) return cm_fail_memory(error, 0);
    if (file < 0 && (file = mkstemp(name.data)) >= 0) unlink(name.data);
    cm_buf_clear(&name);
    w->stream = file >= 0 ? fdopen(file, "w+") : NULL;
    int reason = errno;
    if (!w->stream && file >= 0) close(file);
    return w->stream ? CM_OK : cm_fail_errno(error, w->path, "cannot create a file beside it", reason);
}

static void tsv_header(cm_embedding_writer *w) {
    for (int i = 0; i < 6; i++) fprintf(w->stream, "# %s\t%s\n", fact_names[i], w->facts[i]);
    fputs("id", w->stream);
    for (long c = 0; c < w->width; c++) fprintf(w->stream, "\te%ld", c);
    fputc('\n', w->stream);
}

static cm_status open_target(cm_embedding_writer *w, cm_error *error) {
    bool out = strcmp(w->path, "-") == 0;
    if (out && w->format != CM_EMBEDDING_TSV)
        return cm_fail(error, CM_USAGE, NULL, "output", "a file, or format tsv", "standard output");
    bool pooled_only = w->format == CM_EMBEDDING_TSV || w->format == CM_EMBEDDING_NPY;
    if (pooled_only && w->what != CM_EMBEDDING_POOLED)
        return cm_fail(error, CM_USAGE, NULL, "output", "format safetensors or npz for tokens",
                       "a format for pooled vectors alone");
    if (w->format == CM_EMBEDDING_NPZ) return cm_npz_create(&w->npz, w->path, error);
    if (out)
        w->stream = stdout;
    else
        CM_TRY(open_unnamed(w, error));
    if (w->format == CM_EMBEDDING_TSV) tsv_header(w);
    return CM_OK;
}

static void destroy(cm_embedding_writer *w) {
    if (w->stream && w->stream != stdout) fclose(w->stream);
    for (size_t i = 0; i < w->n; i++) cm_free((void *)(uintptr_t)w->tensors[i].name);
    for (int i = 0; i < 6; i++) cm_free(w->facts[i]);
    cm_free(w->tensors);
    cm_free(w->path);
    cm_buf_clear(&w->ids);
    cm_free(w);
}

cm_status cm_embedding_writer_open(cm_embedding_writer **writer, cm_embedding_format format, int what,
                                   const char *path, const cm_embedder_info *info, cm_error *error) {
    cm_embedding_writer *w = cm_new(1, sizeof *w);
    if (!w) return cm_fail_memory(error, sizeof *w);
    w->format = format;
    w->what = what;
    w->width = info->width;
    w->path = cm_copy_text(path, strlen(path));
    cm_status status = w->path ? make_facts(w, info, error) : cm_fail_memory(error, strlen(path));
    if (status == CM_OK) status = open_target(w, error);
    if (status != CM_OK) {
        destroy(w);
        return status;
    }
    *writer = w;
    return CM_OK;
}

/* ---- one molecule ---- */

static cm_status write_row(cm_embedding_writer *w, const cm_embedding *e, cm_error *error) {
    fputs(e->id, w->stream);
    for (long c = 0; c < e->width; c++) fprintf(w->stream, "\t%.9g", (double)e->pooled[c]);
    fputc('\n', w->stream);
    return ferror(w->stream) ? cm_fail_errno(error, w->path, "cannot write", errno) : CM_OK;
}

static cm_status write_bytes(cm_embedding_writer *w, const float *data, size_t bytes, cm_error *error) {
    if (bytes > 0 && fwrite(data, 1, bytes, w->stream) != bytes)
        return cm_fail_errno(error, w->path, "cannot write", errno);
    w->bytes += bytes;
    return CM_OK;
}

static cm_status keep_tensor(cm_embedding_writer *w, const cm_tensor *tensor, cm_error *error) {
    if (w->n == w->room) {
        size_t room = w->room ? w->room * 2 : 64;
        cm_tensor *grown = cm_resize(w->tensors, room, sizeof *grown);
        if (!grown) return cm_fail_memory(error, room * sizeof *grown);
        w->tensors = grown;
        w->room = room;
    }
    char *name = cm_copy_text(tensor->name, strlen(tensor->name));
    if (!name) return cm_fail_memory(error, strlen(tensor->name));
    w->tensors[w->n] = *tensor;
    w->tensors[w->n++].name = name;
    return write_bytes(w, tensor->data, tensor->bytes, error);
}

static cm_status write_tensor(cm_embedding_writer *w, const cm_embedding *e, bool tokens, const char *name,
                              cm_error *error) {
    cm_tensor tensor = {.name = name, .dtype = CM_DTYPE_F32, .n_dims = tokens ? 2 : 1};
    tensor.dims[0] = tokens ? e->rows : e->width;
    tensor.dims[1] = tokens ? e->width : 0;
    tensor.data = tokens ? e->tokens : e->pooled;
    tensor.bytes = (size_t)(tokens ? e->rows : 1) * (size_t)e->width * sizeof(float);
    return w->npz ? cm_npz_add(w->npz, &tensor, error) : keep_tensor(w, &tensor, error);
}

static cm_status write_tensors(cm_embedding_writer *w, const cm_embedding *e, cm_error *error) {
    if (w->what & CM_EMBEDDING_TOKENS) CM_TRY(write_tensor(w, e, true, e->id, error));
    if (!(w->what & CM_EMBEDDING_POOLED)) return CM_OK;
    if (!(w->what & CM_EMBEDDING_TOKENS)) return write_tensor(w, e, false, e->id, error);
    cm_buf name = {.ceiling = 8192};
    cm_status status = cm_buf_printf(&name, "%s/pooled", e->id) ? write_tensor(w, e, false, name.data, error)
                                                                : cm_fail_memory(error, name.len);
    cm_buf_clear(&name);
    return status;
}

static cm_status write_npy_row(cm_embedding_writer *w, const cm_embedding *e, cm_error *error) {
    w->n++;
    if (!cm_buf_printf(&w->ids, "%s\n", e->id)) return cm_fail_memory(error, w->ids.len);
    return write_bytes(w, e->pooled, (size_t)e->width * sizeof(float), error);
}

int cm_embedding_writer_add(void *context, const cm_embedding *embedding) {
    cm_embedding_writer *w = context;
    if (w->status != CM_OK) return 1;
    switch (w->format) {
    case CM_EMBEDDING_TSV:
        w->status = write_row(w, embedding, &w->error);
        break;
    case CM_EMBEDDING_NPY:
        w->status = write_npy_row(w, embedding, &w->error);
        break;
    default:
        w->status = write_tensors(w, embedding, &w->error);
        break;
    }
    return w->status != CM_OK;
}

/* ---- the end ---- */

static cm_status finish_safetensors(cm_embedding_writer *w, const char *data, cm_error *error) {
    cm_metadata_entry metadata[7] = {{"format", "pt"}};
    for (int i = 0; i < 6; i++) metadata[i + 1] = (cm_metadata_entry){fact_names[i], w->facts[i]};
    for (size_t i = 0; i < w->n; i++) {
        w->tensors[i].data = w->tensors[i].bytes > 0 ? data : NULL;
        data += w->tensors[i].bytes;
    }
    return cm_safetensors_write(w->path, w->tensors, w->n, metadata, 7, error);
}

static cm_status finish_npy(cm_embedding_writer *w, const char *data, cm_error *error) {
    cm_tensor matrix = {.name = "",
                        .dtype = CM_DTYPE_F32,
                        .n_dims = 2,
                        .dims = {(int64_t)w->n, w->width},
                        .data = data,
                        .bytes = w->bytes};
    w->n = 0; /* there are no tensors */
    cm_buf path = CM_BUF_EMPTY, text = CM_BUF_EMPTY;
    for (int i = 0; i < 6; i++) cm_buf_printf(&text, "# %s\t%s\n", fact_names[i], w->facts[i]);
    cm_buf_text(&text, "id\n");
    if (!cm_buf_printf(&path, "%s.ids.tsv", w->path) || text.failed) {
        cm_buf_clear(&text);
        return cm_fail_memory(error, 0);
    }
    const cm_file_part parts[] = {{text.data, text.len}, {w->ids.data, w->ids.len}};
    cm_status status = cm_file_replace(path.data, parts, 2, error);
    if (status == CM_OK) status = cm_npy_write(w->path, &matrix, error);
    cm_buf_clear(&path);
    cm_buf_clear(&text);
    return status;
}

static cm_status finish(cm_embedding_writer *w, cm_error *error) {
    if (fflush(w->stream) != 0) return cm_fail_errno(error, w->path, "cannot write", errno);
    if (w->stream == stdout) return CM_OK;
    long size = ftell(w->stream);
    if (size < 0) return cm_fail_errno(error, w->path, "cannot write", errno);
    void *data = NULL;
    if (size > 0) data = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fileno(w->stream), 0);
    if (data == MAP_FAILED) return cm_fail_errno(error, w->path, "cannot read back", errno);
    cm_status status;
    if (w->format == CM_EMBEDDING_SAFETENSORS)
        status = finish_safetensors(w, data, error);
    else if (w->format == CM_EMBEDDING_NPY)
        status = finish_npy(w, data, error);
    else {
        const cm_file_part part = {data, (size_t)size};
        status = cm_file_replace(w->path, &part, 1, error);
    }
    if (size > 0) munmap(data, (size_t)size);
    return status;
}

cm_status cm_embedding_writer_close(cm_embedding_writer *w, cm_status status, cm_error *error) {
    /* a failed write stops the run: it is then what went wrong */
    if (w->status != CM_OK && (status == CM_OK || status == CM_INTERRUPTED)) {
        status = w->status;
        if (error) *error = w->error;
    }
    if (w->npz)
        status = cm_npz_close(w->npz, status, error);
    else if (status == CM_OK)
        status = finish(w, error);
    if (w->format == CM_EMBEDDING_NPY) w->n = 0;
    destroy(w);
    return status;
}
