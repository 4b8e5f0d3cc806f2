/* The engine of networks over molecular graphs. A pass takes the graphs of a batch as one: all atoms one
 * below the other, products over all of them, sums over neighbours atom by atom in the order of the bonds. */
#include "encoders/graph.h"

#include "base/alloc.h"
#include "bio/chem.h"
#include "encoders/graph_load.h"
#include <math.h>
#include <string.h>

static cm_status open_net(void **state, const cm_family *family, const cm_weights *weights,
                          const json_t *config, cm_precision precision, cm_error *error) {
    (void)config;
    cm_graph_net *net = cm_new(1, sizeof *net);
    if (net == NULL) return cm_fail_memory(error, sizeof *net);
    cm_status status = cm_graph_load(net, family->prefixes, weights, precision, error);
    if (status != CM_OK) {
        cm_free(net);
        return status;
    }
    *state = net;
    return CM_OK;
}

static void close_net(void *state) {
    cm_graph_net_clear(state);
    cm_free(state);
}

static int64_t net_width(const void *state) {
    const cm_graph_net *net = state;
    return net->width;
}

static int net_layers(const void *state) {
    const cm_graph_net *net = state;
    return net->n_layers;
}

static int64_t net_longest(const void *state) {
    (void)state;
    return 0;
}

static size_t scratch_floats(const cm_graph_net *net, int64_t rows) {
    size_t most = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const cm_packed *both[] = {net->layers[i].first, net->layers[i].second};
        for (int k = 0; k < 2; k++) {
            size_t floats = both[k] != NULL ? cm_packed_scratch_floats(both[k], rows) : 0;
            if (floats > most) most = floats;
        }
    }
    return most;
}

static size_t net_row_bytes(const void *state) {
    enum { ROWS = 256, GRAPH_BYTES = 256 }; /* an atom with its bonds, twice, in RDKit's and in our words */
    const cm_graph_net *net = state;
    size_t floats = 2 * (size_t)net->width + (size_t)net->hidden + scratch_floats(net, ROWS) / ROWS + 1;
    return floats * sizeof(float) + GRAPH_BYTES;
}

static cm_status make_graph(cm_chem_graph *graph, const char *text, int64_t length, cm_error *error) {
    char *smiles = cm_copy_text(text, (size_t)length);
    if (smiles == NULL) return cm_fail_memory(error, (size_t)length);
    cm_status status = cm_chem_graph_make(graph, smiles, error);
    cm_free(smiles);
    return status;
}

static const float *element_row(const cm_graph_net *net, const cm_chem_graph *graph, int64_t atom) {
    int64_t row = graph->number[atom] - 1;
    return row < net->elements ? net->element + row * net->width : NULL;
}

static const float *chirality_row(const cm_graph_net *net, const cm_chem_graph *graph, int64_t atom) {
    int64_t row = graph->chirality[atom];
    return row < net->chiralities ? net->chirality + row * net->width : NULL;
}

static int64_t net_tokens(const void *state, const char *text, int64_t length, cm_token_report *report) {
    const cm_graph_net *net = state;
    cm_chem_graph graph = {0};
    if (report != NULL) *report = (cm_token_report){0};
    if (length == 0) return 0;
    if (make_graph(&graph, text, length, NULL) != CM_OK) return -1;
    int64_t atoms = graph.n_atoms;
    for (int64_t i = 0; i < atoms && report != NULL; i++)
        report->unknown += element_row(net, &graph, i) == NULL || chirality_row(net, &graph, i) == NULL;
    cm_chem_graph_clear(&graph);
    return atoms;
}

/* ---- a batch ---- */

/* The edge from atom `from`, with the factor of its message. */
typedef struct edge {
    int64_t from;
    float norm;
    int32_t kind; /* row of cm_graph_layer.edges */
} edge;

typedef struct batch {
    const cm_graph_net *net;
    cm_team *team;
    const char *const *texts;
    const int64_t *lengths;
    int64_t n, rows;
    cm_chem_graph *graphs; /* [n] */
    cm_status *read;       /* [n] */
    int64_t *first;        /* [rows + 1]: edges of atom i are first[i] .. first[i + 1] - 1, its own last */
    edge *edges;
    float *x, *y, *hidden, *scratch; /* [rows, width] twice, [rows, hidden] */
} batch;

static void clear_batch(batch *b) {
    for (int64_t i = 0; b->graphs != NULL && i < b->n; i++) cm_chem_graph_clear(&b->graphs[i]);
    cm_free(b->graphs);
    cm_free(b->read);
    cm_free(b->first);
    cm_free(b->edges);
    cm_free(b->x);
    cm_free(b->y);
    cm_free(b->hidden);
    cm_free(b->scratch);
}

static void read_range(void *context, int64_t begin, int64_t end, int member) {
    batch *b = context;
    (void)member;
    for (int64_t i = begin; i < end; i++)
        b->read[i] = make_graph(&b->graphs[i], b->texts[i], b->lengths[i], NULL);
}

/* Reads the molecules; the first that fails is read again for its message. */
static cm_status read_graphs(batch *b, cm_error *error) {
    b->graphs = cm_new((size_t)b->n, sizeof *b->graphs);
    b->read = cm_new((size_t)b->n, sizeof *b->read);
    if (b->graphs == NULL || b->read == NULL) return cm_fail_memory(error, (size_t)b->n * sizeof *b->graphs);
    cm_team_for(b->team, b->n, 4, read_range, b);
    for (int64_t i = 0; i < b->n; i++) {
        if (b->read[i] != CM_OK) CM_TRY(make_graph(&b->graphs[i], b->texts[i], b->lengths[i], error));
        b->rows += b->graphs[i].n_atoms;
    }
    return CM_OK;
}

/* Fills the edges of graph, whose first atom is row `row`: those of the bonds in their order, then the atom's
 * own. The factor is 1 / sqrt(|N(j)| |N(i)|) for the GCN, else 1. */
static void fill_edges(batch *b, const cm_chem_graph *graph, int64_t row) {
    const int64_t *first = b->first + row;
    bool plain = b->net->kind != CM_GRAPH_GCN;
    for (int64_t e = 0; e <= graph->n_edges + graph->n_atoms - 1; e++) {
        bool bond = e < graph->n_edges;
        int64_t from = bond ? graph->from[e] : e - graph->n_edges, to = bond ? graph->to[e] : from;
        double sizes = (double)(first[from + 1] - first[from]) * (double)(first[to + 1] - first[to]);
        int32_t kind = bond ? graph->bond[e] * CM_GRAPH_DIRECTIONS + graph->direction[e]
                            : CM_GRAPH_SELF * CM_GRAPH_DIRECTIONS;
        edge *at = b->edges + first[to];
        while (at->norm != 0) at++; /* an atom has few neighbours */
        *at = (edge){row + from, plain ? 1 : (float)(1 / sqrt(sizes)), kind};
    }
}

static cm_status join_graphs(batch *b, cm_error *error) {
    size_t rows = (size_t)b->rows, n_edges = rows;
    for (int64_t i = 0; i < b->n; i++) n_edges += (size_t)b->graphs[i].n_edges;
    b->first = cm_new(rows + 1, sizeof *b->first);
    b->edges = cm_new(n_edges, sizeof *b->edges);
    if (b->first == NULL || b->edges == NULL) return cm_fail_memory(error, n_edges * sizeof *b->edges);
    int64_t row = 0;
    for (int64_t i = 0; i < b->n; i++) {
        const cm_chem_graph *graph = &b->graphs[i];
        for (int64_t e = 0; e < graph->n_edges; e++) b->first[row + graph->to[e] + 1]++;
        row += graph->n_atoms;
    }
    for (int64_t i = 0; i < b->rows; i++) b->first[i + 1] += b->first[i] + 1;
    row = 0;
    for (int64_t i = 0; i < b->n; i++) {
        fill_edges(b, &b->graphs[i], row);
        row += b->graphs[i].n_atoms;
    }
    return CM_OK;
}

static float *take(int64_t rows, size_t cols) {
    size_t floats;
    return cm_size_mul((size_t)rows, cols, &floats) ? cm_new_aligned(floats, sizeof(float)) : NULL;
}

static cm_status make_room(batch *b, cm_error *error) {
    size_t width = (size_t)b->net->width;
    b->x = take(b->rows, width);
    b->y = take(b->rows, width);
    b->hidden = take(b->rows, (size_t)b->net->hidden);
    b->scratch = take(1, scratch_floats(b->net, b->rows));
    if (b->x != NULL && b->y != NULL && b->hidden != NULL && b->scratch != NULL) return CM_OK;
    return cm_fail_memory(error, (size_t)b->rows * width * sizeof(float));
}

/* ---- the network ---- */

/* h_0. An atom without a row takes part without that term. */
static void embed_atoms(batch *b) {
    const cm_graph_net *net = b->net;
    float *to = b->x;
    for (int64_t i = 0; i < b->n; i++)
        for (int64_t a = 0; a < b->graphs[i].n_atoms; a++, to += net->width) {
            const float *element = element_row(net, &b->graphs[i], a);
            const float *chirality = chirality_row(net, &b->graphs[i], a);
            for (int64_t c = 0; c < net->width; c++)
                to[c] = (element != NULL ? element[c] : 0) + (chirality != NULL ? chirality[c] : 0);
        }
}

/* to_i = sum over the edges (j, i) of norm (from_j + e) */
typedef struct sum_job {
    const batch *b;
    const cm_graph_layer *layer;
    const float *from;
    float *to;
    bool relu; /* with shift: GCN only, whose layer ends here */
} sum_job;

static void sum_range(void *context, int64_t begin, int64_t end, int member) {
    const sum_job *job = context;
    const batch *b = job->b;
    int64_t width = b->net->width;
    (void)member;
    for (int64_t i = begin; i < end; i++) {
        float *to = job->to + i * width;
        memset(to, 0, (size_t)width * sizeof *to);
        for (int64_t e = b->first[i]; e < b->first[i + 1]; e++) {
            const float *from = job->from + b->edges[e].from * width;
            const float *term = job->layer->edges + b->edges[e].kind * width, norm = b->edges[e].norm;
            for (int64_t c = 0; c < width; c++) to[c] += norm * (from[c] + term[c]);
        }
        const float *shift = job->layer->shift;
        for (int64_t c = 0; shift != NULL && c < width; c++) to[c] += shift[c];
        for (int64_t c = 0; job->relu && c < width; c++) to[c] = to[c] > 0 ? to[c] : 0;
    }
}

/* x = r(BN(layer(x))) */
static void run_layer(batch *b, int i) {
    const cm_graph_net *net = b->net;
    const cm_graph_layer *layer = &net->layers[i];
    bool relu = i < net->n_layers - 1;
    int64_t w = net->width, f = net->hidden;
    if (net->kind == CM_GRAPH_GIN) {
        sum_job sum = {b, layer, b->x, b->y, false};
        cm_team_for(b->team, b->rows, 32, sum_range, &sum);
        cm_packed_multiply(b->team, layer->first, b->rows, b->y, w, layer->first_bias, CM_ACT_RELU, NULL, 0,
                           b->hidden, f, b->scratch);
        cm_packed_multiply(b->team, layer->second, b->rows, b->hidden, f, layer->second_bias,
                           relu ? CM_ACT_RELU : CM_ACT_NONE, NULL, 0, b->x, w, b->scratch);
        return;
    }
    cm_packed_multiply(b->team, layer->first, b->rows, b->x, w, layer->first_bias, CM_ACT_NONE, NULL, 0, b->y,
                       w, b->scratch);
    sum_job sum = {b, layer, b->y, b->x, relu};
    cm_team_for(b->team, b->rows, 32, sum_range, &sum);
}

static cm_status run_net(void *state, cm_team *team, int layer, int64_t n, const char *const *texts,
                         const int64_t *lengths, float *const *out, cm_error *error) {
    batch b = {.net = state, .team = team, .texts = texts, .lengths = lengths, .n = n};
    cm_status status = read_graphs(&b, error);
    if (status == CM_OK) status = join_graphs(&b, error);
    if (status == CM_OK) status = make_room(&b, error);
    if (status == CM_OK) {
        embed_atoms(&b);
        for (int i = 0; i < layer; i++) run_layer(&b, i);
        const float *from = b.x;
        for (int64_t i = 0; i < n; i++) {
            int64_t floats = b.graphs[i].n_atoms * b.net->width;
            memcpy(out[i], from, (size_t)floats * sizeof *from);
            from += floats;
        }
    }
    clear_batch(&b);
    return status;
}

const cm_engine cm_graph_engine = {
    .open = open_net,
    .close = close_net,
    .width = net_width,
    .layers = net_layers,
    .longest = net_longest,
    .row_bytes = net_row_bytes,
    .tokens = net_tokens,
    .run = run_net,
};
