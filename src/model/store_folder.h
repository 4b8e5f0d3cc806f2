/* Where the embedding store lies (cm_runtime.store). */
#ifndef CM_MODEL_STORE_FOLDER_H
#define CM_MODEL_STORE_FOLDER_H

#include "base/fail.h"
#include "io/embedding_store.h"
#include <crossmamba/runtime.h>

enum { CM_STORE_PATH = 4096 };

/* The folder that store stands for into path[CM_STORE_PATH]: store itself, the default folder for NULL, ""
 * for "" or when the default has no place (no home). Nothing is created. */
void cm_store_folder(const char *store, char *path);

/* Creates the folders above path; what fails shows when the store is opened. */
void cm_store_make_parents(const char *path);

/* Opens the store that folder stands for as above. CM_USAGE when there is none. */
cm_status cm_store_open(cm_embeddings **store, const char *folder, bool create, cm_error *error);

/* The folder for encoders, its parents created: path, or NULL for none. A default folder that cannot be used
 * is a warning in runtime's log and NULL; a given one is an error. */
cm_status cm_store_prepare(const cm_runtime *runtime, char *path, const char **folder, cm_error *error);

#endif
