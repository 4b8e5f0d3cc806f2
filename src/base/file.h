/* Reading and writing whole files. */
#ifndef CM_BASE_FILE_H
#define CM_BASE_FILE_H

#include <crossmamba/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A regular file's bytes, read only. data is NULL when size is 0. Up to CM_FILE_COPY bytes are read into
 * memory of their own, which nobody else can change; a larger file is mapped, and ends the process by SIGBUS
 * when somebody shortens it meanwhile (docs/decisions/0008-files-that-shrink.md). */
typedef struct cm_file_map {
    const unsigned char *data;
    size_t size;
    bool copied;
} cm_file_map;
enum { CM_FILE_COPY = 16 << 20 };

/* The size of the file at path; CM_IO when there is none, for directories, FIFOs and devices. */
cm_status cm_file_size(const char *path, size_t *size, cm_error *error);

/* Refuses directories, FIFOs and devices, and a file that becomes shorter while it is copied. */
cm_status cm_file_map_open(cm_file_map *map, const char *path, cm_error *error);
void cm_file_map_close(cm_file_map *map);
/* Lets the system take back the memory of the pages that hold part[size] of the map; they are read again when
 * they are next used. Nothing happens to a copy. */
void cm_file_map_drop(const cm_file_map *map, const void *part, size_t size);

/* Replaces path by the concatenation of parts[count] so that a crash at any moment leaves the old file
 * or the new one: temporary file in the same folder, fsync, rename, fsync of the folder. On failure
 * the temporary file is removed and the old file is untouched; what a killed process left of one is removed
 * by the next call for the same path. */
typedef struct cm_file_part {
    const void *data;
    size_t size;
} cm_file_part;
cm_status cm_file_replace(const char *path, const cm_file_part *parts, size_t count, cm_error *error);

/* The same for writers that cannot hand over all parts at once: a new file beside path, locked (flock) for as
 * long as a process writes it. */
enum { CM_FILE_NAME = 320 /* over NAME_MAX: a longer name is refused by the system, not cut */ };
typedef struct cm_file_new {
    const char *path, *base; /* what it will be, not owned; the last part of path */
    char name[CM_FILE_NAME]; /* what it is until then, in the same folder */
    int fd;                  /* open for writing; a writer that closes it itself leaves -1 */
    int folder, lock;        /* lock: the same file as fd, which keeps the lock and can be synced */
} cm_file_new;
cm_status cm_file_new_open(cm_file_new *file, const char *path, cm_error *error);
/* With status CM_OK puts the file in path's place; else, and when that fails, removes it. Returns status or
 * what failed. */
cm_status cm_file_new_close(cm_file_new *file, cm_status status, cm_error *error);

/* Removes what killed processes have left of files that were to take path's place. */
void cm_file_sweep(const char *path);

#endif
