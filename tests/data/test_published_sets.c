/* Published sets as users have them: they load, in little time, with the numbers they are known to have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataset_files.h"
#include <time.h>

static const cm_task rna_protein_affinity = {.a = CM_RNA, .b = CM_PROTEIN, .affinity = 1};
static const cm_task protein_molecule = {.a = CM_PROTEIN, .b = CM_MOLECULE, .affinity = 1};

typedef struct set {
    const char *folder, *a, *b;
    const cm_task *task;
    cm_dataset_options more;
    const char *refused; /* part of the message without CM_BAD_SKIP, NULL: loads */
    long pairs, molecules[2], folds;
} set;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static cm_dataset *load(files *f, const set *s, cm_bad_records bad, cm_error *error) {
    const char *root = getenv("CROSSMAMBA_DATA"), *names[3] = {s->a, s->b, "pairs.tsv"};
    if (!root) skip();
    char paths[3][4096];
    for (int i = 0; i < 3; i++) snprintf(paths[i], sizeof paths[i], "%s/%s/%s", root, s->folder, names[i]);
    cm_dataset_options options = s->more;
    options.task = s->task;
    options.labels = 1;
    options.bad_records = bad;
    cm_dataset *dataset;
    assert_int_equal(cm_dataset_create(&dataset, &options, NULL), CM_OK);
    cm_runtime runtime = {.log = files_log, .context = f};
    f->said[0] = '\0';
    if (cm_dataset_add_files(dataset, paths[0], paths[1], paths[2], &runtime, error) == CM_OK) return dataset;
    cm_dataset_destroy(dataset);
    return NULL;
}

static void published(void **state, set s) {
    cm_error error = {0};
    char line[1024];
    cm_dataset *d = load(*state, &s, CM_BAD_REFUSE, &error);
    cm_error_line(&error, line, sizeof line);
    if (s.refused && (d || !strstr(line, s.refused))) fail_msg("%s", line);
    if (!s.refused && !d) fail_msg("%s", line);
    cm_dataset_destroy(d);
    double start = seconds();
    d = load(*state, &s, CM_BAD_SKIP, &error);
    assert_non_null(d);
    printf("%s: %ld pairs of %ld and %ld molecules, %ld folds, %.2f s, hash %.12s\n%s", s.folder,
           cm_dataset_pairs(d), cm_dataset_molecules(d, 0), cm_dataset_molecules(d, 1), (long)d->n_folds,
           seconds() - start, d->hash, ((files *)*state)->said);
    long found[4] = {cm_dataset_pairs(d), cm_dataset_molecules(d, 0), cm_dataset_molecules(d, 1), d->n_folds};
    cm_dataset_destroy(d);
    assert_int_equal(found[0], s.pairs);
    assert_int_equal(found[1], s.molecules[0]);
    assert_int_equal(found[2], s.molecules[1]);
    assert_int_equal(found[3], s.folds);
}

static void rpi2241(void **state) {
    published(state, (set){.folder = "rpi2241",
                           .a = "rna.fasta",
                           .b = "protein.fasta",
                           .task = &rna_protein,
                           .refused = "amino acid",
                           .pairs = 4125,
                           .molecules = {412, 839}});
}

static void rpi1807(void **state) {
    published(state, (set){.folder = "rpi1807",
                           .a = "rna.fasta",
                           .b = "protein.fasta",
                           .task = &rna_protein,
                           .pairs = 1014,
                           .molecules = {372, 460}});
}

static void human_mlnc(void **state) {
    published(state, (set){.folder = "human_mlnc",
                           .a = "rna.fasta",
                           .b = "rna.fasta",
                           .task = &rna_rna,
                           .more = {.fold_column = "split"},
                           .molecules = {266, 1499},
                           .folds = 2,
                           .pairs = 27322});
}

static void plant_mlnc(void **state) {
    published(state, (set){.folder = "plant_mlnc",
                           .a = "rna.fasta",
                           .b = "rna.fasta",
                           .task = &rna_rna,
                           .more = {.subset_column = "species", .subset_value = "ath"},
                           .pairs = 4993,
                           .molecules = {350, 3511}});
}

static void pra310(void **state) {
    published(state, (set){.folder = "pra310",
                           .a = "rna.fasta",
                           .b = "protein.fasta",
                           .task = &rna_protein_affinity,
                           .more = {.fold_column = "fold_2"},
                           .folds = 2,
                           .pairs = 306,
                           .molecules = {279, 275}});
}

static void rsim(void **state) {
    published(state, (set){.folder = "rsim",
                           .a = "rna.fasta",
                           .b = "molecules.tsv",
                           .task = &rna_molecule,
                           .pairs = 1343,
                           .molecules = {294, 742},
                           .refused = "Target_lig_548"});
}

static void dti_davis(void **state) {
    published(state, (set){.folder = "dti_davis",
                           .a = "protein.fasta",
                           .b = "molecules.tsv",
                           .task = &protein_molecule,
                           .more = {.fold_column = "fold"},
                           .folds = 6,
                           .pairs = 25772,
                           .molecules = {379, 68}});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rpi2241),    cmocka_unit_test(rpi1807), cmocka_unit_test(human_mlnc),
        cmocka_unit_test(plant_mlnc), cmocka_unit_test(pra310),  cmocka_unit_test(rsim),
        cmocka_unit_test(dti_davis),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
