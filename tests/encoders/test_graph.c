/* Molecule graph networks: against reference hidden states (tests/fixtures/make_graphs.py), a plain reference
 * written here, refused checkpoints, batches. */
#include "base/alloc.h"
#include "bio/chem.h"
#include "encoders/graph.h"
#include "io/table.h"
#include "io/torch_file.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fail_alloc.h"

static const cm_engine *const engine = &cm_graph_engine;

enum { MOLECULES = 11, LAYERS = 3, WIDTH = 8 };

typedef struct path_text {
    char text[512];
} path_text;

static path_text fixture(const char *name) {
    path_text path;
    snprintf(path.text, sizeof path.text, "%s/tests/fixtures/%s.safetensors", getenv("CROSSMAMBA_SOURCE"),
             name);
    return path;
}

static cm_weights *open_weights(const char *path) {
    cm_weights *weights = NULL;
    cm_error error;
    if (cm_weights_open(&weights, path, &error) != CM_OK) fail_msg("%s: %s", path, error.found);
    return weights;
}

static void *open_net(const cm_weights *weights) {
    void *net = NULL;
    cm_error error;
    if (engine->open(&net, &cm_family_molgraph, weights, NULL, CM_F32, &error) != CM_OK)
        fail_msg("%s: %s", error.place, error.found);
    return net;
}

static cm_safetensors *open_reference(void) {
    cm_safetensors *file = NULL;
    assert_int_equal(cm_safetensors_open(&file, fixture("graphs").text, NULL), CM_OK);
    return file;
}

static const char *smiles_of(const cm_safetensors *file, int i) {
    return cm_safetensors_metadata(file, cm_format("smiles.%d", i).text);
}

/* A tensor's data, which the writer's order may leave unaligned, copied. */
static void *copy_of(const cm_safetensors *file, const char *name, const cm_tensor **tensor) {
    *tensor = cm_safetensors_find(file, name);
    if (*tensor == NULL) fail_msg("no %s", name);
    void *copy = malloc((*tensor)->bytes + 1);
    assert_non_null(copy);
    if ((*tensor)->bytes > 0) memcpy(copy, (*tensor)->data, (*tensor)->bytes);
    return copy;
}

static void run_one(void *net, cm_team *team, int layer, const char *smiles, float *out) {
    int64_t length = (int64_t)strlen(smiles);
    cm_error error;
    if (engine->run(net, team, layer, 1, &smiles, &length, &out, &error) != CM_OK)
        fail_msg("%s: %s", smiles, error.found);
}

/* ---- against the fixtures ---- */

static void test_graphs(void **state) {
    (void)state;
    cm_safetensors *file = open_reference();
    for (int i = 0; i < MOLECULES; i++) {
        const cm_tensor *atoms, *tensor;
        cm_chem_graph graph;
        assert_int_equal(cm_chem_graph_make(&graph, smiles_of(file, i), NULL), CM_OK);
        int32_t *number = copy_of(file, cm_format("%d.number", i).text, &atoms);
        int32_t *chirality = copy_of(file, cm_format("%d.chirality", i).text, &tensor);
        int32_t *edges = copy_of(file, cm_format("%d.edges", i).text, &tensor);
        assert_int_equal(graph.n_atoms, atoms->dims[0]);
        assert_int_equal(graph.n_edges, tensor->dims[0]);
        assert_memory_equal(graph.number, number, atoms->bytes);
        assert_memory_equal(graph.chirality, chirality, atoms->bytes);
        for (int64_t e = 0; e < graph.n_edges; e++) {
            assert_int_equal(graph.from[e], edges[e * 4]);
            assert_int_equal(graph.to[e], edges[e * 4 + 1]);
            assert_int_equal(graph.bond[e], edges[e * 4 + 2]);
            assert_int_equal(graph.direction[e], edges[e * 4 + 3]);
        }
        cm_chem_graph_clear(&graph);
        free(number);
        free(chirality);
        free(edges);
    }
    cm_safetensors_close(file);
}

static void check_network(const char *name) {
    cm_safetensors *file = open_reference();
    cm_weights *weights = open_weights(fixture(name).text);
    void *net = open_net(weights);
    assert_int_equal(engine->width(net), WIDTH);
    assert_int_equal(engine->layers(net), LAYERS);
    assert_int_equal(engine->longest(net), 0);
    for (int i = 0; i < MOLECULES; i++) {
        const cm_tensor *tensor;
        const char *smiles = smiles_of(file, i);
        float *expected = copy_of(file, cm_format("%d.%s", i, name).text, &tensor);
        int64_t rows = engine->tokens(net, smiles, (int64_t)strlen(smiles), NULL);
        assert_int_equal(rows, tensor->dims[1]);
        for (int layer = 0; layer <= LAYERS; layer++) {
            float *out = malloc((size_t)(rows * WIDTH) * sizeof *out),
                  *want = expected + layer * rows * WIDTH;
            double largest = 0, difference = 0;
            assert_non_null(out);
            run_one(net, NULL, layer, smiles, out);
            for (int64_t c = 0; c < rows * WIDTH; c++) {
                largest = fmax(largest, fabs((double)want[c]));
                difference = fmax(difference, fabs((double)out[c] - (double)want[c]));
            }
            if (!(difference <= 1e-5 * largest)) fail_msg("%s %s: %g", name, smiles, difference / largest);
            free(out);
        }
        free(expected);
    }
    engine->close(net);
    cm_weights_close(weights);
    cm_safetensors_close(file);
}

static void test_gcn(void **state) {
    (void)state;
    check_network("graph_gcn");
}

static void test_gin(void **state) {
    (void)state;
    check_network("graph_gin");
}

static void test_molclr(void **state) {
    (void)state;
    check_network("graph_molclr");
}

/* ---- batches ---- */

/* One batch on three threads gives the bits of every molecule by itself. */
static void test_same_bits(void **state) {
    (void)state;
    static const char *const names[] = {"graph_gcn", "graph_gin", "graph_molclr"};
    cm_safetensors *file = open_reference();
    cm_team *team = cm_team_create(3);
    assert_non_null(team);
    for (int k = 0; k < 3; k++) {
        cm_weights *weights = open_weights(fixture(names[k]).text);
        void *net = open_net(weights);
        const char *texts[MOLECULES];
        int64_t lengths[MOLECULES], rows[MOLECULES];
        float *out[MOLECULES], alone[40 * WIDTH];
        for (int i = 0; i < MOLECULES; i++) {
            texts[i] = smiles_of(file, i);
            lengths[i] = (int64_t)strlen(texts[i]);
            rows[i] = engine->tokens(net, texts[i], lengths[i], NULL);
            assert_true(rows[i] > 0 && rows[i] <= 40);
            out[i] = malloc((size_t)(rows[i] * WIDTH) * sizeof(float));
            assert_non_null(out[i]);
        }
        assert_int_equal(engine->run(net, team, LAYERS, MOLECULES, texts, lengths, out, NULL), CM_OK);
        for (int i = 0; i < MOLECULES; i++) {
            run_one(net, NULL, LAYERS, texts[i], alone);
            assert_memory_equal(out[i], alone, (size_t)(rows[i] * WIDTH) * sizeof(float));
            free(out[i]);
        }
        assert_true(engine->row_bytes(net) >= 2 * WIDTH * sizeof(float));
        engine->close(net);
        cm_weights_close(weights);
    }
    cm_team_destroy(team);
    cm_safetensors_close(file);
}

static void test_tokens(void **state) {
    (void)state;
    cm_weights *weights = open_weights(fixture("graph_gcn").text);
    void *net = open_net(weights);
    cm_token_report report;
    assert_int_equal(engine->tokens(net, "CCO", 3, &report), 3);
    assert_int_equal(report.unknown, 0);
    assert_int_equal(engine->tokens(net, "CCO", 2, NULL), 2); /* the length counts */
    assert_int_equal(engine->tokens(net, "C(", 2, &report), -1);
    assert_int_equal(engine->tokens(net, "C->[Fe]", 7, NULL), -1);
    /* a square-planar centre has no row of its own */
    static const char planar[] = "N[Pt@SP1](N)(Cl)Cl";
    assert_int_equal(engine->tokens(net, planar, (int64_t)strlen(planar), &report), 5);
    assert_int_equal(report.unknown, 1);
    float out[5 * WIDTH];
    run_one(net, NULL, 0, planar, out);
    float row[120 * WIDTH];
    assert_int_equal(
        cm_weights_f32(weights, cm_weights_find(weights, "x_embedding1.weight"), 0, 120, row, NULL), CM_OK);
    assert_memory_equal(out + WIDTH, row + 77 * WIDTH, WIDTH * sizeof(float)); /* platinum alone */
    const char *texts[] = {"CCO", "c1cccc1"};
    const int64_t lengths[] = {3, 7};
    float *outs[] = {out, out};
    cm_error error;
    assert_int_equal(engine->run(net, NULL, 1, 2, texts, lengths, outs, &error), CM_DATA);
    assert_non_null(strstr(error.found, "kekulize"));
    engine->close(net);
    cm_weights_close(weights);
}

/* ---- checkpoints that do not fit ---- */

/* A copy of a fixture in which tensor `name` is left out (rename NULL), renamed, or has one row less. */
static cm_weights *altered(const char *fixture_name, const char *name, const char *rename, char path[64]) {
    cm_safetensors *file = NULL;
    assert_int_equal(cm_safetensors_open(&file, fixture(fixture_name).text, NULL), CM_OK);
    size_t n = cm_safetensors_count(file), kept = 0;
    cm_tensor *tensors = calloc(n, sizeof *tensors);
    assert_non_null(tensors);
    for (size_t i = 0; i < n; i++) {
        tensors[kept] = *cm_safetensors_get(file, i);
        if (name != NULL && strcmp(tensors[kept].name, name) == 0) {
            if (rename == NULL) continue;
            if (strcmp(rename, "shorter") == 0) {
                tensors[kept].bytes -= tensors[kept].bytes / (size_t)tensors[kept].dims[0];
                tensors[kept].dims[0]--;
            } else
                tensors[kept].name = rename;
        }
        kept++;
    }
    strcpy(path, P_tmpdir "/cm_graph_XXXXXX.safetensors");
    close(mkstemps(path, 12));
    assert_int_equal(cm_safetensors_write(path, tensors, kept, NULL, 0, NULL), CM_OK);
    free(tensors);
    cm_safetensors_close(file);
    return open_weights(path);
}

static void expect_refused(const char *fixture_name, const char *name, const char *rename, const char *part) {
    char path[64], line[1024];
    cm_weights *weights = altered(fixture_name, name, rename, path);
    void *net = NULL;
    cm_error error = {.status = CM_OK};
    assert_int_equal(engine->open(&net, &cm_family_molgraph, weights, NULL, CM_F32, &error), CM_MODEL);
    assert_null(net);
    cm_error_line(&error, line, sizeof line);
    if (strstr(line, part) == NULL) fail_msg("%s", line);
    cm_weights_close(weights);
    unlink(path);
}

static void test_refused(void **state) {
    (void)state;
    expect_refused("graph_gcn", "gnns.1.linear.bias", NULL, "1 tensors: found gnns.1.linear.bias is missing");
    expect_refused("graph_gcn", "gnns.2.linear.weight", "shorter",
                   "gnns.2.linear.weight is F32 [7, 8], not [8, 8]");
    expect_refused("graph_gcn", "batch_norms.0.running_var", NULL, "batch_norms.0.running_var is missing");
    expect_refused("graph_gcn", "x_embedding1.weight", NULL, "no such tensor");
    expect_refused("graph_gcn", "x_embedding2.weight", NULL, "x_embedding2.weight is missing");
    expect_refused("graph_gcn", "gnns.0.linear.weight", NULL, "expected a GCN or GIN");
    expect_refused("graph_gin", "gnns.2.mlp.2.bias", "other", "gnns.2.mlp.2.bias is missing");
    expect_refused("graph_molclr", "gnns.0.edge_embedding1.weight", "shorter",
                   "gnns.0.edge_embedding1.weight is F32 [4, 1], not at least [5, 1]");
    /* a GCN read as the other GCN misses its tensors in every layer but the first */
    expect_refused("graph_gcn", "gnns.0.linear.weight", "gnns.0.weight", "11 tensors");
}

static void test_memory(void **state) {
    (void)state;
    static const char *const names[] = {"graph_gcn", "graph_gin", "graph_molclr"};
    for (int k = 0; k < 3; k++) {
        cm_weights *weights = open_weights(fixture(names[k]).text);
        void *net = NULL;
        for (long n = 0; net == NULL; n++) {
            fail_alloc_from(n);
            cm_status status = engine->open(&net, &cm_family_molgraph, weights, NULL, CM_F32, NULL);
            assert_int_equal(status, fail_alloc_stop() ? CM_MEMORY : CM_OK);
        }
        const char *texts[] = {"CCO", "c1ccccc1"};
        const int64_t lengths[] = {3, 8};
        float rows[9 * WIDTH], *out[] = {rows, rows + 3 * WIDTH};
        for (long n = 0;; n++) {
            fail_alloc_from(n);
            cm_status status = engine->run(net, NULL, LAYERS, 2, texts, lengths, out, NULL);
            bool failed = fail_alloc_stop();
            assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
            if (!failed) break;
        }
        engine->close(net);
        cm_weights_close(weights);
    }
}

/* ---- published weights ---- */

/* A tensor of a checkpoint, to be freed. */
static float *values_of(const cm_weights *weights, const char *name) {
    const cm_tensor *tensor = cm_weights_find(weights, name);
    if (tensor == NULL) fail_msg("no %s", name);
    float *values = malloc(tensor->bytes);
    assert_non_null(values);
    memcpy(values, tensor->data, tensor->bytes);
    return values;
}

static float *layer_values(const cm_weights *weights, const char *stem, int layer, const char *part) {
    return values_of(weights, cm_format("%s.%d.%s", stem, layer, part).text);
}

/* z[n, width] = h W^T, or h W for MolCLR's layer. */
static void reference_product(const float *weight, bool transposed, int64_t n, int64_t width, const double *h,
                              double *z) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t o = 0; o < width; o++) {
            double sum = 0;
            for (int64_t c = 0; c < width; c++)
                sum += (double)weight[transposed ? c * width + o : o * width + c] * h[i * width + c];
            z[i * width + o] = sum;
        }
}

/* sum[n, width]: a graph convolution of h as its definition reads, in float64. */
static void reference_convolution(const cm_weights *weights, const cm_chem_graph *graph, int64_t width,
                                  int layer, const double *h, double *sum) {
    int64_t n = graph->n_atoms;
    bool plain = cm_weights_find(weights, "gnns.0.weight") != NULL; /* MolCLR's */
    float *weight = layer_values(weights, "gnns", layer, plain ? "weight" : "linear.weight");
    float *bias = layer_values(weights, "gnns", layer, plain ? "bias" : "linear.bias");
    float *bonds = layer_values(weights, "gnns", layer, "edge_embedding1.weight");
    float *directions = layer_values(weights, "gnns", layer, "edge_embedding2.weight");
    double *z = calloc((size_t)(n * width), sizeof *z), *degree = calloc((size_t)n, sizeof *degree);
    assert_true(z != NULL && degree != NULL);
    reference_product(weight, plain, n, width, h, z);
    for (int64_t i = 0; i < n * width; i++) *(plain ? &sum[i] : &z[i]) += (double)bias[i % width];
    for (int64_t e = 0; e < graph->n_edges; e++) degree[graph->from[e]]++;
    for (int64_t e = 0; e < graph->n_edges + n; e++) {
        bool own = e >= graph->n_edges;
        int64_t from = own ? e - graph->n_edges : graph->from[e], to = own ? from : graph->to[e];
        int64_t bond = own ? 4 : graph->bond[e], direction = own ? 0 : graph->direction[e];
        double norm = plain ? 1 : 1 / sqrt((degree[from] + 1) * (degree[to] + 1));
        for (int64_t c = 0; c < width; c++)
            sum[to * width + c] +=
                norm * (z[from * width + c] + (double)bonds[plain ? bond : bond * width + c] +
                        (double)directions[plain ? direction : direction * width + c]);
    }
    free(weight);
    free(bias);
    free(bonds);
    free(directions);
    free(z);
    free(degree);
}

/* Replaces h[n, width] by the next hidden state. */
static void reference_layer(const cm_weights *weights, const cm_chem_graph *graph, int64_t width, int layer,
                            bool last, double *h) {
    static const char stem[] = "batch_norms";
    int64_t count = graph->n_atoms * width;
    double *sum = calloc((size_t)count, sizeof *sum);
    assert_non_null(sum);
    reference_convolution(weights, graph, width, layer, h, sum);
    float *mean = layer_values(weights, stem, layer, "running_mean");
    float *variance = layer_values(weights, stem, layer, "running_var");
    float *weight = layer_values(weights, stem, layer, "weight");
    float *bias = layer_values(weights, stem, layer, "bias");
    for (int64_t i = 0; i < count; i++) {
        int64_t c = i % width;
        double x = (sum[i] - (double)mean[c]) / sqrt((double)variance[c] + 1e-5);
        x = x * (double)weight[c] + (double)bias[c];
        h[i] = last || x > 0 ? x : 0;
    }
    free(mean);
    free(variance);
    free(weight);
    free(bias);
    free(sum);
}

/* Largest difference of the last layer, relative to the largest value. */
static double difference_to_reference(void *net, const cm_weights *weights, const char *smiles) {
    cm_chem_graph graph;
    if (cm_chem_graph_make(&graph, smiles, NULL) != CM_OK) return 0;
    int64_t n = graph.n_atoms, width = engine->width(net);
    double *h = calloc((size_t)(n * width), sizeof *h), largest = 0, difference = 0;
    float *out = calloc((size_t)(n * width), sizeof *out);
    assert_true(h != NULL && out != NULL);
    float *element = values_of(weights, "x_embedding1.weight");
    float *chirality = values_of(weights, "x_embedding2.weight");
    for (int64_t i = 0; i < n * width; i++)
        h[i] = (double)element[(graph.number[i / width] - 1) * width + i % width] +
               (double)chirality[graph.chirality[i / width] * width + i % width];
    free(element);
    free(chirality);
    int layers = engine->layers(net);
    for (int k = 0; k < layers; k++) reference_layer(weights, &graph, width, k, k == layers - 1, h);
    run_one(net, NULL, layers, smiles, out);
    for (int64_t i = 0; i < n * width; i++) {
        largest = fmax(largest, fabs(h[i]));
        difference = fmax(difference, fabs((double)out[i] - h[i]));
    }
    cm_chem_graph_clear(&graph);
    free(h);
    free(out);
    return difference / largest;
}

/* A published checkpoint as safetensors at path. */
static void import(const char *data, const char *name, const char *path) {
    char from[512];
    snprintf(from, sizeof from, "%s/weights/%s", data, name);
    cm_torch_file *file = NULL;
    cm_error error;
    if (cm_torch_file_open(&file, from, &error) != CM_OK) fail_msg("%s: %s", from, error.found);
    size_t n = cm_torch_file_count(file);
    cm_tensor *tensors = calloc(n, sizeof *tensors);
    assert_non_null(tensors);
    for (size_t i = 0; i < n; i++) tensors[i] = *cm_torch_file_get(file, i);
    assert_int_equal(cm_safetensors_write(path, tensors, n, NULL, 0, NULL), CM_OK);
    free(tensors);
    cm_torch_file_close(file);
}

static void check_published(const char *name, int molecules) {
    const char *data = getenv("CROSSMAMBA_DATA");
    if (data == NULL || *data == '\0') skip();
    char path[64] = P_tmpdir "/cm_graph_XXXXXX.safetensors", table_path[512];
    close(mkstemps(path, 12));
    import(data, name, path);
    cm_weights *weights = open_weights(path);
    void *net = open_net(weights);
    assert_int_equal(engine->width(net), 300);
    assert_int_equal(engine->layers(net), 5);
    snprintf(table_path, sizeof table_path, "%s/rsim/molecules.tsv", data);
    cm_table *table = NULL;
    bool more = true;
    int column = -1;
    assert_int_equal(cm_table_open(&table, table_path, NULL), CM_OK);
    assert_int_equal(cm_table_require(table, "smiles", &column, NULL), CM_OK);
    double most = 0;
    for (int i = 0; i < molecules && cm_table_next(table, &more, NULL) == CM_OK && more; i++)
        most = fmax(most, difference_to_reference(net, weights, cm_table_cell(table, column)));
    assert_true(most > 0);
    /* 300 columns and five layers in float32: PyTorch's own run differs by up to 1.5e-5 */
    if (!(most <= 5e-5)) fail_msg("%s: largest relative difference %g", name, most);
    cm_table_close(table);
    engine->close(net);
    cm_weights_close(weights);
    unlink(path);
}

static void test_data_gcn(void **state) {
    (void)state;
    check_published("pretraingnns_chem_gcn_contextpred.pth", 50);
}

static void test_data_gcn_supervised(void **state) {
    (void)state;
    check_published("pretraingnns_chem_gcn_supervised_contextpred.pth", 5);
}

static void test_data_molclr(void **state) {
    (void)state;
    check_published("molclr_gcn.pth", 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graphs),      cmocka_unit_test(test_gcn),
        cmocka_unit_test(test_gin),         cmocka_unit_test(test_molclr),
        cmocka_unit_test(test_same_bits),   cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_memory),
        cmocka_unit_test(test_data_gcn),    cmocka_unit_test(test_data_gcn_supervised),
        cmocka_unit_test(test_data_molclr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
