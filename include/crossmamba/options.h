/* The settings of options.def as a struct. */
#ifndef CROSSMAMBA_OPTIONS_H
#define CROSSMAMBA_OPTIONS_H

#include <crossmamba/error.h>
#include <crossmamba/export.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cm_options {
#define CM_OPTION_TEXT(name, standard, help) char name[256];
#define CM_OPTION_INT(name, standard, least, most, help) long name;
#define CM_OPTION_REAL(name, standard, least, most, help) double name;
#define CM_OPTION_FLAG(name, standard, help) int name;
#include <crossmamba/options.def>
#undef CM_OPTION_TEXT
#undef CM_OPTION_INT
#undef CM_OPTION_REAL
#undef CM_OPTION_FLAG
} cm_options;

typedef enum cm_option_kind { CM_KIND_TEXT, CM_KIND_INT, CM_KIND_REAL, CM_KIND_FLAG } cm_option_kind;

/* One row of options.def, for help texts and generic readers. */
typedef struct cm_option_row {
    const char *name;
    cm_option_kind kind;
    const char *standard; /* default as text */
    const char *help;
} cm_option_row;

/* The table; *count rows. */
CM_API const cm_option_row *cm_option_rows(int *count);

/* All defaults. */
CM_API void cm_options_default(cm_options *options);

/* Sets one option from text; name with underscores or hyphens. CM_USAGE with the name as place for an
 * unknown name, a value that does not parse or lies outside its range. */
CM_API cm_status cm_options_set(cm_options *options, const char *name, const char *value, cm_error *error);

/* The value as text that cm_options_set reads back to the same value. NULL for an unknown name. */
CM_API const char *cm_options_get(const cm_options *options, const char *name, char *text,
                                  unsigned long size);

#ifdef __cplusplus
}
#endif
#endif
