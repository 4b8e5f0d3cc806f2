/* The columns that trees see: by hand, and without a look at labels. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fail_alloc.h"
#include "model/composition.h"
#include "model/kernel_inputs.h"
#include "model/molecule_table.h"
#include "synthetic.h"
#include <math.h>

enum { PAIRS = 3, RNA3 = 64 };

typedef struct trial {
    cm_dataset *dataset;
    cm_features *features;
    cm_options options;
} trial;

static const int64_t train[] = {0, 1, 2};

static void trial_open(trial *t, const char *task, const char *const text[PAIRS][2]) {
    cm_dataset_options options = {.task = cm_task_find(task)};
    *t = (trial){.options = synthetic_options()};
    assert_int_equal(cm_dataset_create(&t->dataset, &options, NULL), CM_OK);
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal(cm_dataset_add_pair(t->dataset, "a", text[i][0], "b", text[i][1], NULL), CM_OK);
    assert_int_equal(cm_features_create(&t->features, t->dataset, &t->options, NULL, NULL, NULL, NULL),
                     CM_OK);
}

static void trial_close(trial *t) {
    cm_features_destroy(t->features);
    cm_dataset_destroy(t->dataset);
}

/* A table and the plan that it was made by; the first n_train pairs train. */
typedef struct planned {
    cm_column_plan plan;
    cm_molecule_table table;
} planned;

static cm_status plan_and_fill(planned *p, const trial *t, bool extended, int64_t n_train) {
    const cm_kernel_features *features[2];
    *p = (planned){0};
    CM_TRY(cm_kernel_inputs_get(t->features->kernels, t->dataset, features, NULL));
    CM_TRY(cm_column_plan_learn(&p->plan, t->dataset, features, t->features->pair.width, extended, train,
                                n_train, 1, NULL));
    return cm_molecule_table_make(&p->table, &p->plan, t->dataset, t->features, NULL);
}

static void planned_clear(planned *p) {
    cm_molecule_table_clear(&p->table);
    cm_column_plan_clear(&p->plan);
}

static const cm_molecule_table *open_table(planned *p, const trial *t, bool extended, int64_t n_train) {
    assert_int_equal(plan_and_fill(p, t, extended, n_train), CM_OK);
    for (int set = 0; set < CM_COLUMN_SETS; set++) {
        cm_forest_table columns = cm_molecule_table_columns(&p->table, (cm_column_set)set);
        assert_int_equal(cm_molecule_table_width(&p->plan, (cm_column_set)set), cm_forest_width(&columns));
    }
    return &p->table;
}

static float cell(const cm_molecule_table *t, int block, int64_t column, int64_t pair) {
    const cm_forest_block *b = &t->forest.block[block];
    return b->value[column * b->items + b->item[pair]];
}

static const char *const complexes[PAIRS][2] = {{"ACGUACGU", "MKVLA|MK"},
                                                {"AC|GGGGG|U", "MKVLA"},
                                                {"GGGGGGG", "AAAAAAAAAA|KKK|L"}},
                         *const ligands[PAIRS][2] = {{"ACGU", "CCO"}, {"GGAA", "CCN"}, {"UUCC", "CCCC"}};

/* Before all else: chains and ln(1 + the longest); behind the composition the 3-mers of RNA, as the kernel
 * has them. The sets end behind the length, behind the composition, and at the end. */
static void test_chains(void **state) {
    (void)state;
    static const float chains[2][PAIRS] = {{1, 3, 1}, {2, 1, 3}}, longest[2][PAIRS] = {{8, 5, 7}, {5, 5, 10}};
    trial t;
    planned of_narrow, of_wide;
    trial_open(&t, "rna-protein-affinity", complexes);
    const cm_molecule_table *narrow = open_table(&of_narrow, &t, false, 2),
                            *wide = open_table(&of_wide, &t, true, 2);
    assert_int_equal(wide->forest.n_blocks, 2);
    for (int side = 0; side < 2; side++) {
        int64_t composition = cm_composition_width(side ? CM_PROTEIN : CM_RNA);
        for (int more = 0; more <= 2; more += 2) {
            const cm_molecule_table *table = more ? wide : narrow;
            assert_int_equal(cm_molecule_table_columns(table, CM_COLUMNS_LENGTH).block[side].width, more + 1);
            assert_int_equal(cm_molecule_table_columns(table, CM_COLUMNS_COMPOSITION).block[side].width,
                             more + composition);
            assert_int_equal(cm_molecule_table_columns(table, CM_COLUMNS_ALL).block[side].width,
                             table->forest.block[side].width);
        }
        assert_int_equal(wide->forest.block[side].width, narrow->forest.block[side].width + 2);
        for (int i = 0; i < PAIRS; i++) {
            assert_true(cell(wide, side, 0, i) == chains[side][i]);
            assert_true(cell(wide, side, 1, i) == (float)log1p((double)longest[side][i]));
            for (int64_t c = 0; c < narrow->forest.block[side].width; c++)
                assert_true(cell(wide, side, c + 2, i) == cell(narrow, side, c, i));
        }
    }
    for (int word = 0; word < RNA3; word++) /* the last RNA has the one 3-mer GGG */
        assert_true((cell(narrow, 0, narrow->end[CM_COLUMNS_COMPOSITION][0] + word, 2) > 0) ==
                    (word == 2 * 16 + 2 * 4 + 2));
    planned_clear(&of_narrow);
    planned_clear(&of_wide);
    trial_close(&t);
}

/* The last columns say how alike a molecule is to each training molecule: 1 to itself. The RNA that does not
 * train shares no 6-mer with those that do; of three training molecules there is one more landmark. */
static void test_landmarks(void **state) {
    (void)state;
    trial t;
    trial_open(&t, "rna-protein-affinity", complexes);
    for (int64_t n_train = 2; n_train <= PAIRS; n_train++) {
        planned p;
        const cm_molecule_table *table = open_table(&p, &t, true, n_train);
        int64_t first = table->forest.block[0].width - CM_LANDMARKS;
        assert_int_equal(p.plan.side[0].n_landmarks, n_train);
        for (int i = 0; i < PAIRS; i++) {
            int alike = 0;
            for (int64_t c = 0; c < CM_LANDMARKS; c++) alike += cell(table, 0, first + c, i) == 1;
            /* the second RNA is three chains, all too short for a 6-mer */
            assert_int_equal(alike, i != 1 && i < n_train);
        }
        planned_clear(&p);
    }
    trial_close(&t);
}

/* Features of small molecules that three training molecules have: of CCO CCN CCCC all have C-C, two or fewer
 * the rest; two molecules alone take none. */
static void test_small_molecules(void **state) {
    (void)state;
    trial t;
    planned of_narrow, of_wide, of_two;
    trial_open(&t, "rna-molecule", ligands);
    const cm_molecule_table *narrow = open_table(&of_narrow, &t, false, 3),
                            *wide = open_table(&of_wide, &t, true, 3),
                            *two = open_table(&of_two, &t, true, 2);
    int64_t more = wide->forest.block[1].width - narrow->forest.block[1].width,
            first = narrow->end[CM_COLUMNS_COMPOSITION][1] + 30;
    assert_int_equal(two->forest.block[1].width, narrow->forest.block[1].width);
    assert_int_equal(wide->end[CM_COLUMNS_COMPOSITION][1], narrow->end[CM_COLUMNS_COMPOSITION][1]);
    assert_in_range(more, 2, 4); /* the 2-mer CC; surroundings of the CH3 and of the CH2 */
    for (int64_t c = first; c < first + more; c++)
        for (int i = 0; i < PAIRS; i++) assert_true(cell(wide, 1, c, i) > 0);
    planned_clear(&of_narrow);
    planned_clear(&of_wide);
    planned_clear(&of_two);
    trial_close(&t);
}

/* What the pair encoder says of the whole pair is block 2. */
static void test_pairs(void **state) {
    (void)state;
    static const char *const text[PAIRS][2] = {{"ACGUACGUACGUACGUACGUA", "GGGUACGUACGUACGUACGUACGUGG"},
                                               {"ACGUACGUACGUACGUACGUA", "AAAAAAAAAAAAAAAAAAAAAAAAAA"},
                                               {"GGGGCCCCGGGGCCCCGGGGA", "UGGGGCCCCGGGGCCCCGGGGCCCCA"}};
    trial t;
    planned p;
    trial_open(&t, "rna-rna", text);
    const cm_molecule_table *table = open_table(&p, &t, true, 2);
    assert_int_equal(table->forest.n_blocks, 3);
    assert_int_equal(table->end[CM_COLUMNS_LENGTH][2], t.features->pair.width);
    for (int i = 0; i < PAIRS; i++) {
        int64_t tokens;
        const float *row = cm_pair_features_of(&t.features->pair, i, &tokens);
        for (int64_t c = 0; c < table->end[CM_COLUMNS_LENGTH][2]; c++)
            assert_true(cell(table, 2, c, i) == row[c]);
    }
    planned_clear(&p);
    trial_close(&t);
}

static void every_failed_allocation_is_reported(void **state) {
    (void)state;
    static const struct {
        const char *task;
        const char *const (*text)[2];
    } cases[] = {{"rna-protein-affinity", complexes}, {"rna-molecule", ligands}};
    for (size_t k = 0; k < 2; k++) {
        trial t;
        long n = 0;
        trial_open(&t, cases[k].task, cases[k].text);
        for (bool failed = true; failed; n++) {
            planned p;
            fail_alloc_from(n);
            cm_status status = plan_and_fill(&p, &t, true, 2);
            failed = fail_alloc_stop();
            assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
            planned_clear(&p);
        }
        assert_true(n > 8);
        trial_close(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_landmarks),
        cmocka_unit_test(test_small_molecules),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
