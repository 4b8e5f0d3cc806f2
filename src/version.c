/* The version of the library, from the build. */
#include <crossmamba/crossmamba.h>

const char *cm_version(void) {
    return CM_LIBRARY_VERSION;
}
