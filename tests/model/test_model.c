/* The model file and prediction: round trip, damaged files, batch sizes, warnings. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/file.h"
#include "close.h"
#include "io/safetensors.h"
#include "model/network.h"
#include "synthetic.h"
#include <math.h>
#include <unistd.h>

/* One trained model for all tests. */
typedef struct fixture {
    synthetic set;
    char path[96];
} fixture;

static int set_up(void **state) {
    fixture *f = malloc(sizeof *f);
    f->set = synthetic_make(150, 21, 0);
    snprintf(f->path, sizeof f->path, "%s/m.safetensors", f->set.folder);
    cm_dataset *d = synthetic_open(&f->set, 0, NULL);
    cm_error error = {0};
    cm_train_request request = {
        .options = synthetic_options(), .model_path = f->path, .evaluation = "a\tb\n"};
    snprintf(request.options.layout, sizeof request.options.layout, "windows:3");
    request.options.epochs = 5;
    cm_status status = cm_train(&request, d, NULL, &error);
    cm_dataset_destroy(d);
    *state = f;
    return status == CM_OK ? 0 : -1;
}

static int tear_down(void **state) {
    fixture *f = *state;
    synthetic_remove(&f->set);
    free(f);
    return 0;
}

typedef struct collected {
    double score[1024], value[1024];
    double uncertainty[1024], low[1024], high[1024];
    char warnings[1024][192];
    int n, most;
} collected;

/* Stops after a number of polls. */
static int stop_after(void *context) {
    int *left = context;
    return --*left < 0;
}

static int collect(void *context, const cm_prediction *p) {
    collected *c = context;
    if (c->n == c->most) return 1;
    c->score[c->n] = p->score;
    c->value[c->n] = p->value;
    c->uncertainty[c->n] = p->uncertainty;
    c->low[c->n] = p->low;
    c->high[c->n] = p->high;
    snprintf(c->warnings[c->n++], sizeof *c->warnings, "%s", p->warnings);
    return 0;
}

static void test_round_trip(void **state) {
    fixture *f = *state;
    cm_error error = {0};
    cm_model *model = NULL, *again = NULL;
    char copy[128];
    snprintf(copy, sizeof copy, "%s/copy.safetensors", f->set.folder);
    assert_int_equal(cm_model_open(&model, f->path, &error), CM_OK);
    assert_string_equal(cm_model_task(model)->name, "rna-protein");
    assert_int_equal(cm_model_options(model)->dim, 16);
    assert_string_equal(cm_model_options(model)->encoder_a, "kmer");
    assert_non_null(strstr(cm_model_card(model), "\"evaluation\":\"a\\tb\\n\""));
    assert_non_null(strstr(cm_model_card_text(model), "\nevaluation:\n  a\tb\n"));
    assert_non_null(strstr(cm_model_card_text(model), "\noptions:\n  encoder_a: kmer\n"));
    assert_int_equal(cm_model_save(model, copy, &error), CM_OK);
    assert_int_equal(cm_model_open(&again, copy, &error), CM_OK);
    assert_string_equal(cm_model_card(model), cm_model_card(again));
    assert_string_equal(cm_model_card_text(model), cm_model_card_text(again));
    cm_file_map a, b;
    assert_int_equal(cm_file_map_open(&a, f->path, &error), CM_OK);
    assert_int_equal(cm_file_map_open(&b, copy, &error), CM_OK);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    cm_file_map_close(&a);
    cm_file_map_close(&b);
    cm_model_close(model);
    cm_model_close(again);
}

/* A staircase of the score and the conformal bounds survive the file; bounds that there are none of do too.
 */
static void test_keeps_calibration(void **state) {
    fixture *f = *state;
    cm_error error = {0};
    cm_model *model = NULL, *again = NULL;
    char copy[128];
    snprintf(copy, sizeof copy, "%s/isotonic.safetensors", f->set.folder);
    assert_int_equal(cm_model_open(&model, f->path, &error), CM_OK);
    model->calibration = (cm_calibration){.slope = 1,
                                          .method = CM_CALIBRATION_ISOTONIC,
                                          .knots = 3,
                                          .at = {-1, 0.25, 2},
                                          .to = {0.125, 0.5, 0.75}};
    model->conformal = (cm_conformal){NAN, {0.3, NAN}};
    assert_int_equal(cm_model_save(model, copy, &error), CM_OK);
    assert_int_equal(cm_model_open(&again, copy, &error), CM_OK);
    for (double score = -3; score < 4; score += 0.25)
        assert_true(cm_model_value(model, score) == cm_model_value(again, score));
    assert_close(cm_model_value(again, 1.125), 0.625, 1e-12);
    assert_true(again->conformal.bound[0] == 0.3 && isnan(again->conformal.bound[1]));
    assert_true(isnan(again->conformal.half_width));
    cm_model_close(again);
    again = NULL;
    model->calibration.at[2] = 0;
    assert_int_equal(cm_model_save(model, copy, &error), CM_OK);
    assert_int_equal(cm_model_open(&again, copy, &error), CM_DATA);
    assert_non_null(strstr(error.place, "knots"));
    cm_model_close(model);
}

/* A file of version 0.1.0, from before calibration methods, conformal bounds and ensembles. */
static void test_opens_old_files(void **state) {
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s/tests/fixtures/model-0.1.0.safetensors", getenv("CROSSMAMBA_SOURCE"));
    cm_error error = {0};
    cm_model *model = NULL;
    assert_int_equal(cm_model_open(&model, path, &error), CM_OK);
    cm_dataset_options options = {.task = cm_model_task(model)};
    cm_dataset *d = NULL;
    assert_int_equal(cm_dataset_create(&d, &options, &error), CM_OK);
    assert_int_equal(cm_dataset_add_pair(d, "a", "ACAUGAGGAUCACCCAUGU", "b", "MASNFTQFVLVDNGG", &error),
                     CM_OK);
    collected *c = calloc(1, sizeof *c);
    c->most = 1;
    assert_int_equal(cm_predict(model, d, 0, collect, c, NULL, &error), CM_OK);
    assert_close(c->score[0], 0.38554, 1e-5);
    assert_close(c->value[0], 0.856682, 1e-5);
    free(c);
    cm_dataset_destroy(d);
    cm_model_close(model);
}

/* Three networks in one file: their mean is the score, their disagreement the uncertainty; the same bits for
 * any number of threads, after reading back, and whether or not the training was interrupted. */
static void test_ensemble(void **state) {
    (void)state;
    synthetic s = synthetic_make(150, 22, 1);
    cm_dataset *d = synthetic_open(&s, 1, NULL);
    collected *c = calloc(2, sizeof *c);
    cm_error error = {0};
    for (int run = 0; run < 2; run++) {
        char path[128];
        snprintf(path, sizeof path, "%s/e%d.safetensors", s.folder, run);
        cm_train_request request = {.options = synthetic_options(), .model_path = path};
        request.options.ensemble = 3;
        request.options.epochs = 6;
        cm_runtime runtime = {.threads = run == 0 ? 1 : 3};
        int left = 40; /* steps: in the second network */
        cm_runtime stopping = {.threads = 2, .stop = stop_after, .context = &left};
        if (run == 1) {
            assert_int_equal(cm_train(&request, d, &stopping, &error), CM_INTERRUPTED);
            request.resume = 1;
        }
        assert_int_equal(cm_train(&request, d, &runtime, &error), CM_OK);
        cm_model *model = NULL;
        assert_int_equal(cm_model_open(&model, path, &error), CM_OK);
        assert_int_equal(model->n_members, 2);
        c[run].most = 1024;
        assert_int_equal(cm_predict(model, d, run * 7, collect, &c[run], &runtime, &error), CM_OK);
        cm_model_close(model);
    }
    double disagreement = 0;
    for (int i = 0; i < 150; i++) {
        assert_true(c[0].score[i] == c[1].score[i] && c[0].uncertainty[i] == c[1].uncertainty[i]);
        disagreement += c[0].uncertainty[i] / 150;
        assert_true(c[0].low[i] < c[0].value[i] && c[0].value[i] < c[0].high[i]);
        assert_close(c[0].high[i] - c[0].low[i], c[0].high[0] - c[0].low[0], 1e-9);
    }
    assert_true(disagreement > 0 && disagreement < 2);
    assert_int_equal(synthetic_files_in(s.folder), 2 + 3); /* no checkpoint is left */
    free(c);
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

/* A molecule of another kind is flagged, those of the training set are not. */
static void test_domain(void **state) {
    fixture *f = *state;
    cm_error error = {0};
    cm_model *model = NULL;
    assert_int_equal(cm_model_open(&model, f->path, &error), CM_OK);
    assert_true(model->domain[0].n == 41 && model->domain[1].n == 41);
    assert_true(model->domain[0].threshold > -1 && model->domain[0].threshold < 1);
    cm_dataset *d = synthetic_open(&f->set, 0, NULL);
    collected *c = calloc(1, sizeof *c);
    c->most = 1024;
    assert_int_equal(cm_predict(model, d, 0, collect, c, NULL, &error), CM_OK);
    for (int i = 0; i < c->n; i++) {
        assert_null(strstr(c->warnings[i], "unlike"));
        assert_true(isnan(c->low[i]) && isnan(c->uncertainty[i])); /* binary, one network */
    }
    cm_dataset_destroy(d);
    d = NULL;
    cm_dataset_options options = {.task = cm_model_task(model)};
    assert_int_equal(cm_dataset_create(&d, &options, &error), CM_OK);
    assert_int_equal(cm_dataset_add_pair(d, "a", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "b",
                                         "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW", &error),
                     CM_OK);
    c->n = 0;
    assert_int_equal(cm_predict(model, d, 0, collect, c, NULL, &error), CM_OK);
    assert_non_null(strstr(c->warnings[0], "B unlike the training molecules"));
    free(c);
    cm_dataset_destroy(d);
    cm_model_close(model);
}

/* Finite weights whose products are none: no prediction, and the pair is named. */
static void test_scores_that_are_no_numbers(void **state) {
    fixture *f = *state;
    cm_error error = {0};
    cm_model *model = NULL;
    assert_int_equal(cm_model_open(&model, f->path, &error), CM_OK);
    cm_params *params = model->net->params;
    cm_mat out = cm_params_value(params, cm_params_find(params, "head.out.weight"));
    for (int64_t i = 0; i < out.cols; i++) out.data[i] = i % 2 ? 3e38f : -3e38f;
    cm_dataset *d = synthetic_open(&f->set, 0, NULL);
    collected *c = calloc(1, sizeof *c);
    c->most = 1024;
    assert_int_equal(cm_predict(model, d, 0, collect, c, NULL, &error), CM_NUMERIC);
    assert_string_equal(error.expected, "a finite score");
    assert_non_null(strstr(error.place, "pair r"));
    assert_int_equal(c->n, 0);
    free(c);
    cm_dataset_destroy(d);
    cm_model_close(model);
}

static void test_finds_by_name(void **state) {
    fixture *f = *state;
    cm_error error = {0};
    cm_model *model = NULL;
    setenv("CROSSMAMBA_MODELS", f->set.folder, 1);
    assert_int_equal(cm_model_open(&model, "m", &error), CM_OK);
    cm_model_close(model);
    model = NULL;
    assert_int_equal(cm_model_open(&model, "no-such-model", &error), CM_MODEL);
    assert_null(model);
    assert_int_equal(cm_model_open(&model, "no/such/file", &error), CM_IO);
    unsetenv("CROSSMAMBA_MODELS");
}

static void test_same_bits_for_batches_and_threads(void **state) {
    fixture *f = *state;
    static const long batches[] = {0, 1, 7, 64};
    cm_error error = {0};
    cm_model *model = NULL;
    assert_int_equal(cm_model_open(&model, f->path, &error), CM_OK);
    cm_dataset *d = synthetic_open(&f->set, 0, NULL);
    collected *first = calloc(1, sizeof *first), *c = calloc(1, sizeof *c);
    for (int threads = 1; threads <= 4; threads *= 2)
        for (size_t i = 0; i < 4; i++) {
            cm_runtime runtime = {.threads = threads};
            collected *to = threads == 1 && i == 0 ? first : c;
            to->n = 0;
            to->most = 1024;
            assert_int_equal(cm_predict(model, d, batches[i], collect, to, &runtime, &error), CM_OK);
            assert_int_equal(to->n, 150);
            if (to == first) continue;
            assert_memory_equal(first->score, c->score, sizeof(double) * 150);
            assert_memory_equal(first->value, c->value, sizeof(double) * 150);
        }
    c->n = 0;
    c->most = 5;
    assert_int_equal(cm_predict(model, d, 0, collect, c, NULL, &error), CM_INTERRUPTED);
    free(first);
    free(c);
    cm_dataset_destroy(d);
    cm_model_close(model);
}

static void test_values_are_probabilities(void **state) {
    fixture *f = *state;
    cm_error error = {0};
    cm_model *model = NULL;
    assert_int_equal(cm_model_open(&model, f->path, &error), CM_OK);
    double last = 0;
    for (double score = -20; score <= 20; score += 0.5) {
        double p = cm_model_value(model, score);
        assert_true(p >= last && p <= 1);
        last = p;
    }
    cm_model_close(model);
}

static void test_warnings(void **state) {
    fixture *f = *state;
    cm_error error = {0};
    cm_model *model = NULL;
    assert_int_equal(cm_model_open(&model, f->path, &error), CM_OK);
    cm_dataset_options options = {.task = cm_model_task(model)};
    cm_dataset *d = NULL;
    char longer[512] = {0};
    memset(longer, 'A', 100);
    assert_int_equal(cm_dataset_create(&d, &options, &error), CM_OK);
    assert_int_equal(cm_dataset_add_pair(d, "x", longer, "y", "MKVLAAGIV", &error), CM_OK);
    assert_int_equal(cm_dataset_add_pair(d, "x", "ACGUNNNNAC", "y", "MKVLAAGIV", &error), CM_OK);
    assert_int_equal(cm_dataset_add_pair(d, "x", "ACGUACGUAC", "y", "MKVLAAGIV", &error), CM_OK);
    collected *c = calloc(1, sizeof *c);
    c->most = 10;
    assert_int_equal(cm_predict(model, d, 0, collect, c, NULL, &error), CM_OK);
    assert_string_equal(c->warnings[0], "A longer than trained (100 > 46)");
    assert_string_equal(c->warnings[1], "A unknown residues 40 %");
    assert_string_equal(c->warnings[2], "");
    free(c);
    cm_dataset_destroy(d);
    cm_model_close(model);
}

static void test_refuses_other_task(void **state) {
    fixture *f = *state;
    cm_error error = {0};
    cm_model *model = NULL;
    assert_int_equal(cm_model_open(&model, f->path, &error), CM_OK);
    cm_dataset_options options = {.task = cm_task_find("rna-rna")};
    cm_dataset *d = NULL;
    assert_int_equal(cm_dataset_create(&d, &options, &error), CM_OK);
    collected c = {.most = 1};
    assert_int_equal(cm_predict(model, d, 0, collect, &c, NULL, &error), CM_USAGE);
    cm_dataset_destroy(d);
    cm_model_close(model);
}

/* Writes the fixture's tensors and metadata with one thing changed. */
static void write_changed(const fixture *f, const char *path, const char *drop, const char *reshape,
                          const char *poison, const char *card) {
    cm_error error = {0};
    cm_safetensors *file = NULL;
    assert_int_equal(cm_safetensors_open(&file, f->path, &error), CM_OK);
    cm_tensor tensors[128];
    size_t n = 0;
    float bad[1 << 14];
    for (size_t i = 0; i < cm_safetensors_count(file); i++) {
        cm_tensor t = *cm_safetensors_get(file, i);
        if (drop && strcmp(t.name, drop) == 0) continue;
        if (reshape && strcmp(t.name, reshape) == 0) t.n_dims = 2, t.dims[1] = t.dims[0], t.dims[0] = 1;
        if (poison && strcmp(t.name, poison) == 0) {
            assert_true(t.bytes <= sizeof bad);
            memcpy(bad, t.data, t.bytes);
            bad[0] = NAN;
            t.data = bad;
        }
        tensors[n++] = t;
    }
    cm_metadata_entry entry = {"crossmamba", card ? card : cm_safetensors_metadata(file, "crossmamba")};
    assert_int_equal(cm_safetensors_write(path, tensors, n, &entry, card && !*card ? 0 : 1, &error), CM_OK);
    cm_safetensors_close(file);
}

static void test_refuses_damaged_models(void **state) {
    fixture *f = *state;
    static const struct {
        const char *drop, *reshape, *poison, *card;
        cm_status status;
        const char *message;
    } cases[] = {
        {"modality", NULL, NULL, NULL, CM_MODEL, "modality is missing"},
        {NULL, "head.hidden.bias", NULL, NULL, CM_MODEL, "head.hidden.bias is F32 [1, 8], not F32 [8]"},
        {NULL, NULL, "standard.a.mean", NULL, CM_MODEL, "standard.a.mean holds a value that is not finite"},
        {NULL, NULL, NULL, "", CM_MODEL, "without a crossmamba card"},
        {NULL, NULL, NULL, "[]", CM_DATA, NULL},
        {NULL, NULL, NULL, "{\"format\":\"x\"}", CM_MODEL, "x"},
        {NULL, NULL, NULL, "{\"format\":\"crossmamba model\",\"format_version\":99}", CM_MODEL, "version 99"},
        {NULL, NULL, NULL, "{\"format\":\"crossmamba model\",\"format_version\":1,\"task\":\"x\"}", CM_MODEL,
         "x"},
        {NULL, NULL, NULL,
         "{\"format\":\"crossmamba "
         "model\",\"format_version\":1,\"task\":\"rna-rna\",\"options\":{\"dim\":\"-3\"}}",
         CM_DATA, "-3"},
        {NULL, NULL, NULL,
         "{\"format\":\"crossmamba model\",\"format_version\":1,\"task\":\"rna-rna\",\"options\":{}}",
         CM_DATA, NULL},
        {NULL, NULL, NULL,
         "{\"format\":\"crossmamba model\",\"format_version\":1,\"task\":\"rna-rna\",\"options\":{},"
         "\"inputs\":{\"a\":{\"width\":0,\"longest\":1}}}",
         CM_DATA, "0"},
        /* a card that asks for 400 GB: refused before memory is taken */
        {NULL, NULL, NULL,
         "{\"format\":\"crossmamba model\",\"format_version\":1,\"task\":\"rna-rna\",\"options\":{"
         "\"dim\":\"4096\"},\"inputs\":{\"a\":{\"width\":16777216,\"longest\":1},"
         "\"b\":{\"width\":8388608,\"longest\":1}}}",
         CM_MODEL, "tensors of"},
    };
    char path[128];
    snprintf(path, sizeof path, "%s/changed.safetensors", f->set.folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_changed(f, path, cases[i].drop, cases[i].reshape, cases[i].poison, cases[i].card);
        cm_model *model = NULL;
        cm_error error = {0};
        cm_status status = cm_model_open(&model, path, &error);
        if (status != cases[i].status) print_error("case %zu: %s: %s\n", i, error.place, error.found);
        assert_int_equal(status, cases[i].status);
        assert_null(model);
        assert_string_equal(error.file, path);
        if (cases[i].message && !strstr(error.found, cases[i].message))
            print_error("case %zu: '%s'\n", i, error.found);
        assert_true(!cases[i].message || strstr(error.found, cases[i].message));
    }
}

static void test_refuses_truncated_model(void **state) {
    fixture *f = *state;
    cm_error error = {0};
    cm_file_map map;
    char path[128];
    snprintf(path, sizeof path, "%s/cut.safetensors", f->set.folder);
    assert_int_equal(cm_file_map_open(&map, f->path, &error), CM_OK);
    for (size_t length = 0; length < map.size; length += map.size / 37) {
        cm_file_part part = {map.data, length};
        cm_model *model = NULL;
        assert_int_equal(cm_file_replace(path, &part, 1, &error), CM_OK);
        assert_int_equal(cm_model_open(&model, path, &error), CM_DATA);
    }
    cm_file_map_close(&map);
}

/* Identifiers reach no model: renaming every id changes no score. */
static void test_ids_do_not_matter(void **state) {
    fixture *f = *state;
    cm_error error = {0};
    cm_model *model = NULL;
    assert_int_equal(cm_model_open(&model, f->path, &error), CM_OK);
    cm_dataset_options options = {.task = cm_model_task(model)};
    collected *c[2];
    for (int k = 0; k < 2; k++) {
        cm_dataset *d = NULL;
        c[k] = calloc(1, sizeof **c);
        c[k]->most = 10;
        assert_int_equal(cm_dataset_create(&d, &options, &error), CM_OK);
        assert_int_equal(
            cm_dataset_add_pair(d, k ? "1ABC-A" : "x", "ACGUACGGC", k ? "1ABC-B" : "y", "MKVLAAGIV", &error),
            CM_OK);
        assert_int_equal(cm_predict(model, d, 0, collect, c[k], NULL, &error), CM_OK);
        cm_dataset_destroy(d);
    }
    assert_true(c[0]->score[0] == c[1]->score[0]);
    free(c[0]);
    free(c[1]);
    cm_model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_ensemble),
        cmocka_unit_test(test_domain),
        cmocka_unit_test(test_keeps_calibration),
        cmocka_unit_test(test_opens_old_files),
        cmocka_unit_test(test_scores_that_are_no_numbers),
        cmocka_unit_test(test_finds_by_name),
        cmocka_unit_test(test_same_bits_for_batches_and_threads),
        cmocka_unit_test(test_values_are_probabilities),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_refuses_other_task),
        cmocka_unit_test(test_refuses_damaged_models),
        cmocka_unit_test(test_refuses_truncated_model),
        cmocka_unit_test(test_ids_do_not_matter),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
