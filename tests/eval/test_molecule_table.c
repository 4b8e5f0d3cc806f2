/* The columns that trees see: by hand, and without a look at labels. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "eval/composition.h"
#include "eval/molecule_table.h"
#include "fail_alloc.h"
#include "synthetic.h"
#include <math.h>

enum { PAIRS = 3, RNA3 = 64 };

typedef struct trial {
    cm_dataset *dataset;
    cm_features *features;
    cm_similarity *similarity;
    cm_options options;
    float label[PAIRS];
    cm_predictor_call call;
} trial;

static const int64_t train[] = {0, 1}, test[] = {2};

static void trial_open(trial *t, const char *task, const char *const text[PAIRS][2]) {
    cm_dataset_options options = {.task = cm_task_find(task)};
    *t = (trial){.options = synthetic_options(), .label = {0, 1, NAN}};
    assert_int_equal(cm_dataset_create(&t->dataset, &options, NULL), CM_OK);
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal(cm_dataset_add_pair(t->dataset, "a", text[i][0], "b", text[i][1], NULL), CM_OK);
    assert_int_equal(cm_features_create(&t->features, t->dataset, &t->options, NULL, NULL, NULL, NULL),
                     CM_OK);
    assert_int_equal(cm_similarity_create(&t->similarity, t->dataset, NULL, NULL, NULL), CM_OK);
    t->call = (cm_predictor_call){.dataset = t->dataset,
                                  .features = t->features,
                                  .similarity = t->similarity,
                                  .options = &t->options,
                                  .label = t->label,
                                  .train = train,
                                  .test = test,
                                  .n_train = 2,
                                  .n_test = 1};
}

static void trial_close(trial *t) {
    cm_features_destroy(t->features);
    cm_similarity_destroy(t->similarity);
    cm_dataset_destroy(t->dataset);
}

static float cell(const cm_molecule_table *t, int block, int64_t column, int64_t pair) {
    const cm_forest_block *b = &t->forest.block[block];
    return b->value[column * b->items + b->item[pair]];
}

static const char *const complexes[PAIRS][2] = {
    {"ACGUACGU", "MKVLA|MK"}, {"AC|GGGGG|U", "MKVLA"}, {"GGGGGGG", "AAAAAAAAAA|KKK|L"}};

/* Before all else: chains and ln(1 + the longest); behind the composition the 3-mers of RNA, as the kernel
 * has them. The sets end behind the length, behind the composition, and at the end. */
static void test_chains(void **state) {
    (void)state;
    static const float chains[2][PAIRS] = {{1, 3, 1}, {2, 1, 3}}, longest[2][PAIRS] = {{8, 5, 7}, {5, 5, 10}};
    trial t;
    cm_molecule_table narrow, wide;
    trial_open(&t, "rna-protein-affinity", complexes);
    assert_int_equal(cm_molecule_table_make(&narrow, &t.call, false, NULL), CM_OK);
    assert_int_equal(cm_molecule_table_make(&wide, &t.call, true, NULL), CM_OK);
    assert_int_equal(wide.forest.n_blocks, 2);
    for (int side = 0; side < 2; side++) {
        int64_t composition = cm_composition_width(side ? CM_PROTEIN : CM_RNA);
        for (int more = 0; more <= 2; more += 2) {
            const cm_molecule_table *table = more ? &wide : &narrow;
            assert_int_equal(cm_molecule_table_columns(table, CM_COLUMNS_LENGTH).block[side].width, more + 1);
            assert_int_equal(cm_molecule_table_columns(table, CM_COLUMNS_COMPOSITION).block[side].width,
                             more + composition);
            assert_int_equal(cm_molecule_table_columns(table, CM_COLUMNS_ALL).block[side].width,
                             table->forest.block[side].width);
        }
        assert_int_equal(wide.forest.block[side].width, narrow.forest.block[side].width + 2);
        for (int i = 0; i < PAIRS; i++) {
            assert_true(cell(&wide, side, 0, i) == chains[side][i]);
            assert_true(cell(&wide, side, 1, i) == (float)log1p((double)longest[side][i]));
            for (int64_t c = 0; c < narrow.forest.block[side].width; c++)
                assert_true(cell(&wide, side, c + 2, i) == cell(&narrow, side, c, i));
        }
    }
    for (int word = 0; word < RNA3; word++) /* the last RNA has the one 3-mer GGG */
        assert_true((cell(&narrow, 0, narrow.end[CM_COLUMNS_COMPOSITION][0] + word, 2) > 0) ==
                    (word == 2 * 16 + 2 * 4 + 2));
    cm_molecule_table_clear(&narrow);
    cm_molecule_table_clear(&wide);
    trial_close(&t);
}

/* Features of small molecules that three of them have: of CCO CCN CCC all have C-C, two or fewer the rest. */
static void test_small_molecules(void **state) {
    (void)state;
    static const char *const text[PAIRS][2] = {{"ACGU", "CCO"}, {"GGAA", "CCN"}, {"UUCC", "CCCC"}};
    trial t;
    cm_molecule_table narrow, wide;
    trial_open(&t, "rna-molecule", text);
    assert_int_equal(cm_molecule_table_make(&narrow, &t.call, false, NULL), CM_OK);
    assert_int_equal(cm_molecule_table_make(&wide, &t.call, true, NULL), CM_OK);
    int64_t more = wide.forest.block[1].width - narrow.forest.block[1].width,
            first = narrow.end[CM_COLUMNS_COMPOSITION][1] + 30;
    assert_int_equal(wide.end[CM_COLUMNS_COMPOSITION][1], narrow.end[CM_COLUMNS_COMPOSITION][1]);
    assert_in_range(more, 2, 4); /* the 2-mer CC; surroundings of the CH3 and of the CH2 */
    for (int64_t c = first; c < first + more; c++)
        for (int i = 0; i < PAIRS; i++) assert_true(cell(&wide, 1, c, i) > 0);
    cm_molecule_table_clear(&narrow);
    cm_molecule_table_clear(&wide);
    trial_close(&t);
}

/* What the pair encoder says of the whole pair is block 2. */
static void test_pairs(void **state) {
    (void)state;
    static const char *const text[PAIRS][2] = {{"ACGUACGUACGUACGUACGUA", "GGGUACGUACGUACGUACGUACGUGG"},
                                               {"ACGUACGUACGUACGUACGUA", "AAAAAAAAAAAAAAAAAAAAAAAAAA"},
                                               {"GGGGCCCCGGGGCCCCGGGGA", "UGGGGCCCCGGGGCCCCGGGGCCCCA"}};
    trial t;
    cm_molecule_table table;
    trial_open(&t, "rna-rna", text);
    assert_int_equal(cm_molecule_table_make(&table, &t.call, true, NULL), CM_OK);
    assert_int_equal(table.forest.n_blocks, 3);
    assert_int_equal(table.end[CM_COLUMNS_LENGTH][2], t.features->pair.width);
    for (int i = 0; i < PAIRS; i++) {
        int64_t tokens;
        const float *row = cm_pair_features_of(&t.features->pair, i, &tokens);
        for (int64_t c = 0; c < table.end[CM_COLUMNS_LENGTH][2]; c++)
            assert_true(cell(&table, 2, c, i) == row[c]);
    }
    cm_molecule_table_clear(&table);
    trial_close(&t);
}

static void every_failed_allocation_is_reported(void **state) {
    (void)state;
    trial t;
    long n = 0;
    trial_open(&t, "rna-protein-affinity", complexes);
    for (bool failed = true; failed; n++) {
        cm_molecule_table table;
        fail_alloc_from(n);
        cm_status status = cm_molecule_table_make(&table, &t.call, true, NULL);
        failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        cm_molecule_table_clear(&table);
    }
    assert_true(n > 8);
    trial_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_small_molecules),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
