/* The limit that the environment sets on vector instructions. */
#include "base/cpu.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static cm_cpu widest = CM_CPU_AVX512;

static void read_limit(void) {
    static const char *const names[] = {"plain", "avx2"};
    const char *limit = getenv("CROSSMAMBA_CPU");
    for (int i = 0; limit && i < 2; i++)
        if (strcmp(limit, names[i]) == 0) widest = (cm_cpu)i;
}

bool cm_cpu_allows(cm_cpu set) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_limit);
    return set <= widest;
}
