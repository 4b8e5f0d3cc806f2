/* Reading and writing whole files. */
#ifndef CM_BASE_FILE_H
#define CM_BASE_FILE_H

#include <crossmamba/error.h>
#include <stddef.h>
#include <stdint.h>

/* A regular file's bytes, mapped read-only and private. data is NULL when size is 0. */
typedef struct cm_file_map {
    const unsigned char *data;
    size_t size;
} cm_file_map;

/* Refuses directories, FIFOs and devices. */
cm_status cm_file_map_open(cm_file_map *map, const char *path, cm_error *error);
void cm_file_map_close(cm_file_map *map);
/* Lets the system take back the memory of the pages that hold part[size] of the map; they are read again when
 * they are next used. */
void cm_file_map_drop(const cm_file_map *map, const void *part, size_t size);

/* Replaces path by the concatenation of parts[count] so that a crash at any moment leaves the old file
 * or the new one: temporary file in the same folder, fsync, rename, fsync of the folder. On failure
 * the temporary file is removed and the old file is untouched. */
typedef struct cm_file_part {
    const void *data;
    size_t size;
} cm_file_part;
cm_status cm_file_replace(const char *path, const cm_file_part *parts, size_t count, cm_error *error);

#endif
