/* The reader of small molecules that several of these tests share. */
#ifndef CM_BAD_MOLECULES_H
#define CM_BAD_MOLECULES_H

#include <crossmamba/crossmamba.h>
#include <stdio.h>
#include <stdlib.h>

/* Reads path as the molecules of side B beside the RNAs of the examples; note: how many. */
static inline cm_status bad_read_molecules(const char *path, char *note, size_t size, cm_error *error) {
    const char *root = getenv("CROSSMAMBA_SOURCE");
    char rna[512];
    cm_dataset_options options = {.task = cm_task_find("rna-molecule")};
    cm_dataset *dataset = NULL;
    snprintf(rna, sizeof rna, "%s/examples/rna.fasta", root ? root : ".");
    cm_status status = cm_dataset_create(&dataset, &options, error);
    if (status == CM_OK) status = cm_dataset_add_files(dataset, rna, path, NULL, NULL, error);
    if (status == CM_OK) snprintf(note, size, "%ld molecules", cm_dataset_molecules(dataset, 1));
    cm_dataset_destroy(dataset);
    return status;
}

#endif
