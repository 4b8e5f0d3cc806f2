/* Loading a graph network: every tensor is looked up and checked first, all problems are told at once. */
#include "encoders/graph_load.h"

#include "base/alloc.h"
#include "base/buf.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double norm_eps = 1e-5; /* of torch.nn.BatchNorm1d, not stored in the checkpoints */

enum { MAX_LAYERS = 1000, MAX_NAME = 160 };

typedef struct loader {
    const cm_weights *weights;
    const char *prefix;
    cm_buf problems;
    int n_problems;
    cm_error *error;
} loader;

/* "gnns.3.mlp.0.weight" with the checkpoint's prefix; layer -1: part stands alone. */
typedef struct tensor_name {
    char text[MAX_NAME];
} tensor_name;

static tensor_name name_of(const loader *l, const char *stem, int layer, const char *part) {
    tensor_name name;
    if (layer < 0)
        snprintf(name.text, sizeof name.text, "%s%s", l->prefix, part);
    else
        snprintf(name.text, sizeof name.text, "%s%s.%d.%s", l->prefix, stem, layer, part);
    return name;
}

static const cm_tensor *find(const loader *l, const char *stem, int layer, const char *part) {
    return cm_weights_find(l->weights, name_of(l, stem, layer, part).text);
}

/* What a tensor must be: [rows, cols], cols 0 for a vector. at_least: more rows are allowed and left out. */
typedef struct tensor_want {
    const char *stem;
    int layer;
    const char *part;
    int64_t rows, cols;
    bool at_least;
} tensor_want;

static bool fits(const cm_tensor *tensor, const tensor_want *want) {
    bool is_float = tensor->dtype == CM_DTYPE_F32 || tensor->dtype == CM_DTYPE_F16 ||
                    tensor->dtype == CM_DTYPE_BF16 || tensor->dtype == CM_DTYPE_F64;
    if (!is_float || tensor->n_dims != (want->cols > 0 ? 2 : 1)) return false;
    if (want->cols > 0 && tensor->dims[1] != want->cols) return false;
    return want->at_least ? tensor->dims[0] >= want->rows : tensor->dims[0] == want->rows;
}

static void describe(cm_buf *text, const cm_tensor *tensor) {
    cm_buf_printf(text, "%s [", cm_dtype_name(tensor->dtype));
    for (int i = 0; i < tensor->n_dims; i++)
        cm_buf_printf(text, "%s%lld", i > 0 ? ", " : "", (long long)tensor->dims[i]);
    cm_buf_text(text, "]");
}

/* The tensor, or NULL with the problem noted. */
static const cm_tensor *check(loader *l, const tensor_want *want) {
    const cm_tensor *tensor = find(l, want->stem, want->layer, want->part);
    if (tensor != NULL && fits(tensor, want)) return tensor;
    tensor_name name = name_of(l, want->stem, want->layer, want->part);
    if (l->n_problems++ > 0) cm_buf_text(&l->problems, "; ");
    if (tensor == NULL) {
        cm_buf_printf(&l->problems, "%s is missing", name.text);
        return NULL;
    }
    cm_buf_printf(&l->problems, "%s is ", name.text);
    describe(&l->problems, tensor);
    cm_buf_printf(&l->problems, ", not %s%lld", want->at_least ? "at least [" : "[", (long long)want->rows);
    if (want->cols > 0) cm_buf_printf(&l->problems, ", %lld", (long long)want->cols);
    cm_buf_text(&l->problems, "]");
    return NULL;
}

/* The wanted rows of a tensor that was checked, to be freed with cm_free. */
static cm_status read_tensor(loader *l, tensor_want want, float **out) {
    const cm_tensor *tensor = find(l, want.stem, want.layer, want.part);
    size_t floats;
    if (!cm_size_mul((size_t)want.rows, want.cols > 0 ? (size_t)want.cols : 1, &floats))
        return cm_fail_memory(l->error, SIZE_MAX);
    *out = cm_new(floats, sizeof **out);
    if (*out == NULL) return cm_fail_memory(l->error, floats * sizeof **out);
    return cm_weights_f32(l->weights, tensor, 0, want.rows, *out, l->error);
}

/* ---- what a checkpoint holds ---- */

static bool find_prefix(loader *l, const char *const *prefixes) {
    for (; *prefixes != NULL; prefixes++) {
        l->prefix = *prefixes;
        if (find(l, NULL, -1, "x_embedding1.weight") != NULL) return true;
    }
    return false;
}

/* The tensor of a layer that tells each kind. */
static const char *const kind_marks[] = {
    [CM_GRAPH_GCN] = "linear.weight", [CM_GRAPH_GCN_SUM] = "weight", [CM_GRAPH_GIN] = "mlp.0.weight"};

static bool find_kind(const loader *l, cm_graph_net *net) {
    for (int kind = CM_GRAPH_GCN; kind <= CM_GRAPH_GIN; kind++) {
        net->kind = (cm_graph_kind)kind;
        if (find(l, "gnns", 0, kind_marks[kind]) != NULL) return true;
    }
    return false;
}

static int count_layers(const loader *l) {
    int n = 0;
    while (n < MAX_LAYERS && (find(l, "batch_norms", n, "weight") != NULL ||
                              find(l, "gnns", n, "edge_embedding1.weight") != NULL))
        n++;
    return n;
}

static int64_t dim(const cm_tensor *tensor, int i) {
    return tensor != NULL && i < tensor->n_dims ? tensor->dims[i] : 0;
}

/* Kind and sizes from the tensors' names and shapes. */
static cm_status find_network(loader *l, cm_graph_net *net, const char *const *prefixes) {
    const char *folder = cm_weights_folder(l->weights);
    if (!find_prefix(l, prefixes))
        return cm_fail(l->error, CM_MODEL, folder, NULL, "a molecule graph network (x_embedding1.weight)",
                       "no such tensor");
    if (!find_kind(l, net))
        return cm_fail(l->error, CM_MODEL, folder, NULL,
                       "a GCN or GIN (gnns.0.linear.weight, gnns.0.weight or gnns.0.mlp.0.weight)",
                       "none of these tensors");
    net->n_layers = count_layers(l);
    const cm_tensor *element = find(l, NULL, -1, "x_embedding1.weight");
    net->width = dim(element, 1);
    net->elements = dim(element, 0);
    net->chiralities = dim(find(l, NULL, -1, "x_embedding2.weight"), 0);
    if (net->kind == CM_GRAPH_GIN) net->hidden = dim(find(l, "gnns", 0, "mlp.0.weight"), 0);
    if (net->n_layers > 0 && net->width > 0 && (net->kind != CM_GRAPH_GIN || net->hidden > 0)) return CM_OK;
    return cm_fail(l->error, CM_MODEL, folder, NULL, "at least one layer and one column",
                   "%d layers of %lld columns", net->n_layers, (long long)net->width);
}

enum { MAX_WANTS = 12 };

/* The tensors of a layer; those of its product come first. */
static int layer_wants(const cm_graph_net *net, int layer, tensor_want wants[MAX_WANTS]) {
    int64_t w = net->width, edge = net->kind == CM_GRAPH_GCN_SUM ? 1 : w;
    int n = 0;
    switch (net->kind) {
    case CM_GRAPH_GCN:
        wants[n++] = (tensor_want){"gnns", layer, "linear.weight", w, w, false};
        wants[n++] = (tensor_want){"gnns", layer, "linear.bias", w, 0, false};
        break;
    case CM_GRAPH_GCN_SUM:
        wants[n++] = (tensor_want){"gnns", layer, "weight", w, w, false};
        wants[n++] = (tensor_want){"gnns", layer, "bias", w, 0, false};
        break;
    case CM_GRAPH_GIN:
        wants[n++] = (tensor_want){"gnns", layer, "mlp.0.weight", net->hidden, w, false};
        wants[n++] = (tensor_want){"gnns", layer, "mlp.0.bias", net->hidden, 0, false};
        wants[n++] = (tensor_want){"gnns", layer, "mlp.2.weight", w, net->hidden, false};
        wants[n++] = (tensor_want){"gnns", layer, "mlp.2.bias", w, 0, false};
        break;
    }
    wants[n++] = (tensor_want){"gnns", layer, "edge_embedding1.weight", CM_GRAPH_BONDS, edge, true};
    wants[n++] = (tensor_want){"gnns", layer, "edge_embedding2.weight", CM_GRAPH_DIRECTIONS, edge, true};
    wants[n++] = (tensor_want){"batch_norms", layer, "weight", w, 0, false};
    wants[n++] = (tensor_want){"batch_norms", layer, "bias", w, 0, false};
    wants[n++] = (tensor_want){"batch_norms", layer, "running_mean", w, 0, false};
    wants[n++] = (tensor_want){"batch_norms", layer, "running_var", w, 0, false};
    return n;
}

static tensor_want element_want(const cm_graph_net *net) {
    return (tensor_want){NULL, -1, "x_embedding1.weight", net->elements, net->width, false};
}

static tensor_want chirality_want(const cm_graph_net *net) {
    return (tensor_want){NULL, -1, "x_embedding2.weight", net->chiralities, net->width, false};
}

static cm_status check_all(loader *l, const cm_graph_net *net) {
    tensor_want element = element_want(net), chirality = chirality_want(net);
    check(l, &element);
    if (net->chiralities == 0)
        chirality = (tensor_want){NULL, -1, "x_embedding2.weight", 1, net->width, true};
    check(l, &chirality);
    for (int i = 0; i < net->n_layers; i++) {
        tensor_want wants[MAX_WANTS];
        int n = layer_wants(net, i, wants);
        for (int k = 0; k < n; k++) check(l, &wants[k]);
    }
    if (l->n_problems == 0) return CM_OK;
    return cm_fail(l->error, CM_MODEL, cm_weights_folder(l->weights),
                   cm_format("%d tensors", l->n_problems).text, "the tensors of a molecule graph network",
                   "%s", l->problems.failed ? "too many problems" : l->problems.data);
}

/* ---- a layer ---- */

/* The tensors of a layer as they stand in the checkpoint, and the batch norm as y = scale x + shift. */
typedef struct raw_layer {
    float *tensors[MAX_WANTS];
    float *scale, *shift;
} raw_layer;

static void clear_raw(raw_layer *raw) {
    for (int i = 0; i < MAX_WANTS; i++) cm_free(raw->tensors[i]);
    cm_free(raw->scale);
    cm_free(raw->shift);
}

static cm_status read_raw(loader *l, const cm_graph_net *net, int layer, raw_layer *raw, int *n) {
    tensor_want wants[MAX_WANTS];
    *n = layer_wants(net, layer, wants);
    for (int i = 0; i < *n; i++) CM_TRY(read_tensor(l, wants[i], &raw->tensors[i]));
    raw->scale = cm_new((size_t)net->width, sizeof(float));
    raw->shift = cm_new((size_t)net->width, sizeof(float));
    if (raw->scale == NULL || raw->shift == NULL) return cm_fail_memory(l->error, 0);
    const float *weight = raw->tensors[*n - 4], *bias = raw->tensors[*n - 3], *mean = raw->tensors[*n - 2],
                *variance = raw->tensors[*n - 1];
    for (int64_t c = 0; c < net->width; c++) {
        double deviation = sqrt((double)variance[c] + norm_eps), scale = (double)weight[c] / deviation;
        if (!(deviation > 0))
            return cm_fail(l->error, CM_NUMERIC, cm_weights_folder(l->weights),
                           name_of(l, "batch_norms", layer, "running_var").text, "a variance",
                           "%g in column %lld", (double)variance[c], (long long)c);
        raw->scale[c] = (float)scale;
        raw->shift[c] = (float)((double)bias[c] - (double)mean[c] * scale);
    }
    return CM_OK;
}

static void scale_rows(float *matrix, int64_t rows, int64_t cols, const float *scale) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) matrix[r * cols + c] *= scale[r];
}

static void transpose(float *square, int64_t n) {
    for (int64_t r = 0; r < n; r++)
        for (int64_t c = 0; c < r; c++) {
            float other = square[c * n + r];
            square[c * n + r] = square[r * n + c];
            square[r * n + c] = other;
        }
}

/* bonds[.., cols] + directions[.., cols], times scale (NULL: 1), cols being 1 or the width. */
static float *make_edges(const float *bonds, const float *directions, int64_t cols, const float *scale,
                         int64_t width) {
    float *edges = cm_new(CM_GRAPH_EDGES * (size_t)width, sizeof *edges);
    for (int64_t e = 0; edges != NULL && e < CM_GRAPH_EDGES; e++)
        for (int64_t c = 0; c < width; c++) {
            int64_t from = cols == 1 ? 0 : c;
            float sum = bonds[e / CM_GRAPH_DIRECTIONS * cols + from] +
                        directions[e % CM_GRAPH_DIRECTIONS * cols + from];
            edges[e * width + c] = scale != NULL ? sum * scale[c] : sum;
        }
    return edges;
}

/* GCN: BN(sum of n (W h + b + e)) = sum of n (sW h + sb + se) + shift, for the plain sum with b in the shift.
 */
static cm_status make_gcn(const cm_graph_net *net, cm_graph_layer *layer, raw_layer *raw,
                          cm_precision precision, cm_error *error) {
    int64_t w = net->width;
    bool plain = net->kind == CM_GRAPH_GCN_SUM;
    float *weight = raw->tensors[0], *bias = raw->tensors[1];
    if (plain) transpose(weight, w);
    scale_rows(weight, w, w, raw->scale);
    scale_rows(bias, w, 1, raw->scale);
    for (int64_t c = 0; plain && c < w; c++) {
        raw->shift[c] += bias[c];
        bias[c] = 0;
    }
    layer->edges = make_edges(raw->tensors[2], raw->tensors[3], plain ? 1 : w, raw->scale, w);
    layer->first_bias = bias;
    layer->shift = raw->shift;
    raw->tensors[1] = raw->shift = NULL;
    return cm_packed_create(&layer->first, precision, w, w, weight, w, error);
}

/* GIN: BN(W2 x + b2) = sW2 x + sb2 + shift. */
static cm_status make_gin(const cm_graph_net *net, cm_graph_layer *layer, raw_layer *raw,
                          cm_precision precision, cm_error *error) {
    int64_t w = net->width, f = net->hidden;
    float *second = raw->tensors[2], *bias = raw->tensors[3];
    scale_rows(second, w, f, raw->scale);
    for (int64_t c = 0; c < w; c++) bias[c] = bias[c] * raw->scale[c] + raw->shift[c];
    layer->edges = make_edges(raw->tensors[4], raw->tensors[5], w, NULL, w);
    layer->first_bias = raw->tensors[1];
    layer->second_bias = bias;
    raw->tensors[1] = raw->tensors[3] = NULL;
    CM_TRY(cm_packed_create(&layer->first, precision, f, w, raw->tensors[0], w, error));
    return cm_packed_create(&layer->second, precision, w, f, second, f, error);
}

static cm_status load_layer(loader *l, cm_graph_net *net, int i, cm_precision precision) {
    raw_layer raw = {0};
    int n = 0;
    cm_graph_layer *layer = &net->layers[i];
    cm_status status = read_raw(l, net, i, &raw, &n);
    if (status == CM_OK)
        status = (net->kind == CM_GRAPH_GIN ? make_gin : make_gcn)(net, layer, &raw, precision, l->error);
    if (status == CM_OK && layer->edges == NULL) status = cm_fail_memory(l->error, 0);
    clear_raw(&raw);
    return status;
}

static cm_status load_all(loader *l, cm_graph_net *net, cm_precision precision) {
    net->layers = cm_new((size_t)net->n_layers, sizeof *net->layers);
    if (net->layers == NULL) return cm_fail_memory(l->error, (size_t)net->n_layers * sizeof *net->layers);
    CM_TRY(read_tensor(l, element_want(net), &net->element));
    CM_TRY(read_tensor(l, chirality_want(net), &net->chirality));
    for (int i = 0; i < net->n_layers; i++) CM_TRY(load_layer(l, net, i, precision));
    return CM_OK;
}

cm_status cm_graph_load(cm_graph_net *net, const char *const *prefixes, const cm_weights *weights,
                        cm_precision precision, cm_error *error) {
    loader l = {.weights = weights, .problems = CM_BUF_EMPTY, .error = error};
    *net = (cm_graph_net){0};
    cm_status status = find_network(&l, net, prefixes);
    if (status == CM_OK) status = check_all(&l, net);
    cm_buf_clear(&l.problems);
    if (status == CM_OK) status = load_all(&l, net, precision);
    if (status != CM_OK) cm_graph_net_clear(net);
    return status;
}

void cm_graph_net_clear(cm_graph_net *net) {
    for (int i = 0; net->layers != NULL && i < net->n_layers; i++) {
        cm_graph_layer *layer = &net->layers[i];
        cm_packed_destroy(layer->first);
        cm_packed_destroy(layer->second);
        cm_free(layer->first_bias);
        cm_free(layer->second_bias);
        cm_free(layer->shift);
        cm_free(layer->edges);
    }
    cm_free(net->layers);
    cm_free(net->element);
    cm_free(net->chirality);
    *net = (cm_graph_net){0};
}
