/* Sparse feature vectors of molecules. */
#include "kernel/kernel_features.h"
#include "base/alloc.h"
#include "bio/chem.h"
#include "kernel/count_code.h"
#include <math.h>
#include <string.h>

static void rows_clear(cm_kernel_rows *rows) {
    cm_free(rows->start);
    cm_free(rows->column);
    cm_free(rows->value);
    cm_free(rows->square);
    cm_free(rows->code_start);
    cm_free(rows->code);
}

void cm_kernel_features_destroy(cm_kernel_features *features) {
    if (!features) return;
    for (int k = 0; k < features->n_kernels; k++) rows_clear(&features->rows[k]);
    cm_free(features);
}

int cm_kernels_of(cm_molecule_type type, const cm_molecule_kernel *kernels[CM_KERNELS_MAX]) {
    const cm_molecule_kernel *row;
    int n = 0;
    for (int i = 0; (row = cm_molecule_kernel_at(i)) != NULL && n < CM_KERNELS_MAX; i++)
        if (row->types >> type & 1) kernels[n++] = row;
    return n;
}

static cm_kernel_features *empty_like(cm_molecule_type type, int64_t n) {
    cm_kernel_features *f = cm_new(1, sizeof *f);
    if (!f) return NULL;
    f->type = type;
    f->n = n;
    f->n_kernels = cm_kernels_of(type, f->kernel);
    return f;
}

static cm_status rows_make(cm_kernel_rows *rows, int64_t n, int64_t entries, int64_t bytes, cm_error *error) {
    *rows = (cm_kernel_rows){.start = cm_new((size_t)n + 1, sizeof(int64_t)),
                             .column = cm_new((size_t)entries, sizeof(int32_t)),
                             .value = cm_new((size_t)entries, sizeof(float)),
                             .square = cm_new((size_t)n, sizeof(double)),
                             .code_start = cm_new((size_t)n + 1, sizeof(int64_t)),
                             .code = cm_new((size_t)bytes, sizeof(uint8_t)),
                             .bytes = bytes};
    if (rows->start && rows->column && rows->value && rows->square && rows->code_start && rows->code)
        return CM_OK;
    return cm_fail_memory(error, (size_t)n * 24 + (size_t)entries * 8 + (size_t)bytes);
}

/* ---- vectors from code ---- */

static cm_status bad_vector(const cm_molecule_kernel *kernel, int64_t i, const char *expected,
                            const char *found, cm_error *error) {
    return cm_fail(error, CM_DATA, NULL,
                   cm_format("%s of training molecule %lld", kernel->name, (long long)i + 1).text, expected,
                   "%s", found);
}

/* Puts the counts of molecule i into its entries, for which there is room: each takes a byte or more. */
static cm_status decode_counts(const cm_molecule_kernel *kernel, cm_kernel_rows *rows, int64_t i,
                               cm_error *error) {
    int64_t end = rows->code_start[i + 1], column = -1, e = rows->start[i];
    for (int64_t at = rows->code_start[i]; at < end; e++) {
        int64_t left_out, count;
        int taken = cm_count_get(rows->code + at, end - at, &left_out, &count);
        if (taken == 0) return bad_vector(kernel, i, "whole entries", "code that ends inside one", error);
        column += 1 + left_out;
        if (column >= kernel->width)
            return bad_vector(kernel, i, cm_format("columns up to %lld", (long long)kernel->width - 1).text,
                              cm_format("%lld", (long long)column).text, error);
        if (count > CM_COUNT_MOST)
            return bad_vector(kernel, i, cm_format("counts up to %d", (int)CM_COUNT_MOST).text,
                              cm_format("%lld", (long long)count).text, error);
        rows->column[e] = (int32_t)column;
        rows->value[e] = (float)count;
        at += taken;
    }
    rows->start[i + 1] = e;
    return CM_OK;
}

/* Row i from its code. */
static cm_status decode_row(const cm_molecule_kernel *kernel, cm_kernel_rows *rows, int64_t i,
                            cm_error *error) {
    CM_TRY(decode_counts(kernel, rows, i, error));
    double square = 0;
    for (int64_t e = rows->start[i]; e < rows->start[i + 1]; e++) {
        rows->value[e] = kernel->value(rows->value[e]);
        square += (double)rows->value[e] * (double)rows->value[e];
    }
    double scale = kernel->tanimoto || square == 0 ? 1 : 1 / sqrt(square);
    rows->square[i] = 0;
    for (int64_t e = rows->start[i]; e < rows->start[i + 1]; e++) {
        rows->value[e] = (float)((double)rows->value[e] * scale);
        rows->square[i] += (double)rows->value[e] * (double)rows->value[e];
    }
    return CM_OK;
}

static cm_status decode_rows(const cm_molecule_kernel *kernel, cm_kernel_rows *rows, int64_t n,
                             cm_error *error) {
    for (int64_t i = 0; i < n; i++)
        if (rows->code_start[i] < 0 || rows->code_start[i + 1] < rows->code_start[i] ||
            rows->code_start[i + 1] > rows->bytes)
            return bad_vector(kernel, i, "starts that ascend over the code", "another", error);
    if (rows->code_start[0] != 0 || rows->code_start[n] != rows->bytes)
        return bad_vector(kernel, n - 1, "all code in a molecule", "some left over", error);
    for (int64_t i = 0; i < n; i++) CM_TRY(decode_row(kernel, rows, i, error));
    return CM_OK;
}

cm_status cm_kernel_features_room(cm_kernel_features **features, cm_molecule_type type, cm_kernel_mix mix,
                                  int64_t n, const int64_t bytes[CM_KERNELS_MAX], cm_error *error) {
    cm_kernel_features *f = empty_like(type, n);
    if (!f) return cm_fail_memory(error, sizeof *f);
    cm_status status = CM_OK;
    for (int k = 0; k < f->n_kernels && status == CM_OK; k++)
        if (cm_kernel_in_mix(f->kernel[k], mix))
            status = rows_make(&f->rows[k], n, bytes[k], bytes[k], error);
    if (status == CM_OK)
        *features = f;
    else
        cm_kernel_features_destroy(f);
    return status;
}

cm_status cm_kernel_features_decode(cm_kernel_features *features, cm_kernel_mix mix, cm_error *error) {
    for (int k = 0; k < features->n_kernels; k++)
        if (cm_kernel_in_mix(features->kernel[k], mix))
            CM_TRY(decode_rows(features->kernel[k], &features->rows[k], features->n, error));
    return CM_OK;
}

/* ---- vectors of molecules ---- */

/* Bytes and entries that there is room for. */
typedef struct rows_room {
    int64_t entries, bytes;
} rows_room;

/* Makes room for the code and the entries of count more entries behind molecule i. */
static cm_status rows_grow(cm_kernel_rows *rows, int64_t i, int64_t count, rows_room *room, cm_error *error) {
    int64_t entries = rows->start[i] + count, bytes = rows->code_start[i] + count * CM_COUNT_BYTES;
    if (entries > room->entries) {
        int32_t *column = cm_resize(rows->column, 2 * (size_t)entries, sizeof *column);
        if (column) rows->column = column;
        float *value = cm_resize(rows->value, 2 * (size_t)entries, sizeof *value);
        if (value) rows->value = value;
        if (!column || !value) return cm_fail_memory(error, (size_t)entries * 16);
        room->entries = 2 * entries;
    }
    if (bytes > room->bytes) {
        uint8_t *code = cm_resize(rows->code, 2 * (size_t)bytes, sizeof *code);
        if (!code) return cm_fail_memory(error, 2 * (size_t)bytes);
        rows->code = code;
        room->bytes = 2 * bytes;
    }
    return CM_OK;
}

/* Appends counts dense[width] as row i and clears them. */
static cm_status rows_append(cm_kernel_rows *rows, int64_t i, const cm_molecule_kernel *kernel, float *dense,
                             rows_room *room, cm_error *error) {
    int64_t count = 0, at = rows->code_start[i], last = -1;
    for (int64_t c = 0; c < kernel->width; c++) count += dense[c] > 0;
    CM_TRY(rows_grow(rows, i, count, room, error));
    for (int64_t c = 0; c < kernel->width; c++) {
        if (!(dense[c] > 0)) continue;
        at += cm_count_put(rows->code + at, c - last - 1, (int64_t)dense[c]);
        last = c;
    }
    rows->code_start[i + 1] = rows->bytes = at;
    memset(dense, 0, (size_t)kernel->width * sizeof *dense);
    return decode_row(kernel, rows, i, error);
}

const char *cm_kernel_mix_name(cm_kernel_mix mix) {
    static const char *const names[CM_MIXES] = {"all", "coarse", "fine"};
    return names[mix];
}

bool cm_kernel_in_mix(const cm_molecule_kernel *kernel, cm_kernel_mix mix) {
    return mix == CM_MIX_ALL ||
           (mix == CM_MIX_COARSE ? kernel->grain & CM_KERNEL_COARSE : kernel->grain & CM_KERNEL_FINE);
}

static bool wanted(const cm_molecule_kernel *kernel, unsigned mixes) {
    for (int mix = 0; mix < CM_MIXES; mix++)
        if (mixes >> mix & 1 && cm_kernel_in_mix(kernel, (cm_kernel_mix)mix)) return true;
    return false;
}

/* Work space: the surroundings of a small molecule, the columns of one kernel, and the room of each kernel's
 * entries. */
typedef struct filling {
    cm_kernel_features *features;
    unsigned mixes;
    float *surroundings, *dense;
    rows_room room[CM_KERNELS_MAX];
} filling;

/* Row i of every kernel; a small molecule is read once for all. */
static cm_status fill_molecule(filling *f, const char *text, int64_t length, int64_t i, cm_error *error) {
    cm_kernel_molecule molecule = {text, length, f->surroundings};
    if (f->surroundings) CM_TRY(cm_chem_surroundings(text, CM_MORGAN_WIDTH, f->surroundings, error));
    for (int k = 0; k < f->features->n_kernels; k++) {
        const cm_molecule_kernel *kernel = f->features->kernel[k];
        if (!wanted(kernel, f->mixes)) continue;
        kernel->features(kernel, &molecule, f->dense);
        CM_TRY(rows_append(&f->features->rows[k], i, kernel, f->dense, &f->room[k], error));
    }
    return CM_OK;
}

static cm_status filling_make(filling *f, cm_error *error) {
    int64_t width = 0, n = f->features->n;
    for (int k = 0; k < f->features->n_kernels; k++) {
        if (f->features->kernel[k]->width > width) width = f->features->kernel[k]->width;
        f->room[k] = (rows_room){n * 16, n * 16};
        if (wanted(f->features->kernel[k], f->mixes))
            CM_TRY(rows_make(&f->features->rows[k], n, n * 16, n * 16, error));
    }
    size_t floats = CM_MORGAN_WIDTH;
    f->dense = cm_new((size_t)width, sizeof *f->dense);
    if (f->features->type == CM_MOLECULE) f->surroundings = cm_new(floats, sizeof *f->surroundings);
    return f->dense && (f->features->type != CM_MOLECULE || f->surroundings)
               ? CM_OK
               : cm_fail_memory(error, ((size_t)width + floats) * sizeof *f->dense);
}

cm_status cm_kernel_features_create(cm_kernel_features **features, cm_molecule_type type, unsigned mixes,
                                    const char *const *text, const int64_t *length, int64_t n,
                                    cm_error *error) {
    cm_kernel_features *made = empty_like(type, n);
    if (!made) return cm_fail_memory(error, sizeof *made);
    filling f = {.features = made, .mixes = mixes};
    cm_status status = filling_make(&f, error);
    for (int64_t i = 0; i < n && status == CM_OK; i++)
        status = fill_molecule(&f, text[i], length[i], i, error);
    cm_free(f.dense);
    cm_free(f.surroundings);
    if (status == CM_OK)
        *features = made;
    else
        cm_kernel_features_destroy(made);
    return status;
}

static cm_status select_rows(cm_kernel_rows *to, const cm_kernel_rows *from, const int32_t *index, int64_t m,
                             cm_error *error) {
    int64_t entries = 0, bytes = 0;
    for (int64_t i = 0; i < m; i++) {
        entries += from->start[index[i] + 1] - from->start[index[i]];
        bytes += from->code_start[index[i] + 1] - from->code_start[index[i]];
    }
    CM_TRY(rows_make(to, m, entries, bytes, error));
    for (int64_t i = 0; i < m; i++) {
        int64_t begin = from->start[index[i]], count = from->start[index[i] + 1] - begin, at = to->start[i];
        int64_t first = from->code_start[index[i]], taken = from->code_start[index[i] + 1] - first;
        memcpy(to->column + at, from->column + begin, (size_t)count * sizeof *to->column);
        memcpy(to->value + at, from->value + begin, (size_t)count * sizeof *to->value);
        memcpy(to->code + to->code_start[i], from->code + first, (size_t)taken);
        to->square[i] = from->square[index[i]];
        to->start[i + 1] = at + count;
        to->code_start[i + 1] = to->code_start[i] + taken;
    }
    return CM_OK;
}

cm_status cm_kernel_features_select(cm_kernel_features **selected, const cm_kernel_features *features,
                                    const int32_t *index, int64_t m, cm_error *error) {
    cm_kernel_features *f = empty_like(features->type, m);
    if (!f) return cm_fail_memory(error, sizeof *f);
    cm_status status = CM_OK;
    for (int k = 0; k < f->n_kernels && status == CM_OK; k++)
        status = select_rows(&f->rows[k], &features->rows[k], index, m, error);
    if (status == CM_OK)
        *selected = f;
    else
        cm_kernel_features_destroy(f);
    return status;
}

/* ---- kernel values ---- */

typedef struct cross {
    const cm_kernel_features *x, *y;
    const int32_t *row;
    int k;
    double *out;
    float *dense; /* [members, width], zero between rows */
    int64_t width;
} cross;

static void cross_row(const cross *c, int64_t i, float *dense) {
    const cm_kernel_rows *x = &c->x->rows[c->k], *y = &c->y->rows[c->k];
    const bool tanimoto = c->x->kernel[c->k]->tanimoto;
    int64_t r = c->row ? c->row[i] : i, m = c->y->n;
    for (int64_t e = x->start[r]; e < x->start[r + 1]; e++) dense[x->column[e]] = x->value[e];
    for (int64_t j = 0; j < m; j++) {
        double sum = 0;
        for (int64_t e = y->start[j]; e < y->start[j + 1]; e++)
            sum += (double)dense[y->column[e]] * (double)y->value[e];
        double all = x->square[r] + y->square[j] - sum;
        c->out[i * m + j] = !tanimoto ? sum : all > 0 ? sum / all : 0;
    }
    for (int64_t e = x->start[r]; e < x->start[r + 1]; e++) dense[x->column[e]] = 0;
}

static void cross_range(void *context, int64_t begin, int64_t end, int member) {
    const cross *c = context;
    for (int64_t i = begin; i < end; i++) cross_row(c, i, c->dense + member * c->width);
}

cm_status cm_kernel_cross(const cm_kernel_features *x, const int32_t *row, int64_t n,
                          const cm_kernel_features *y, int k, double *out, cm_team *team, cm_error *error) {
    size_t members = (size_t)cm_team_size(team);
    cross c = {.x = x, .y = y, .row = row, .k = k, .out = out, .width = x->kernel[k]->width};
    c.dense = cm_new(members * (size_t)c.width, sizeof *c.dense);
    if (!c.dense) return cm_fail_memory(error, members * (size_t)c.width * sizeof *c.dense);
    cm_team_for(team, n, 8, cross_range, &c);
    cm_free(c.dense);
    return CM_OK;
}

double cm_kernel_self(const cm_kernel_features *features, int k, int64_t i) {
    double square = features->rows[k].square[i];
    return features->kernel[k]->tanimoto ? (square > 0 ? 1 : 0) : square;
}
