/* Cost of the duplex scan of a 21-nt RNA by the length of the other one. Usage: bench_duplex [REPEATS]
 * Prints, tab-separated: target length, microseconds of the fastest repeat, nanoseconds a target position. */
#include "base/rng.h"
#include "bio/duplex_site.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LONGEST = 64000, QUERY = 21 };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv) {
    static char target[LONGEST], query[QUERY];
    int repeats = argc > 1 ? atoi(argv[1]) : 5;
    for (int i = 0; i < LONGEST; i++) target[i] = "ACGU"[cm_rng_below(1, (uint64_t)i, 4)];
    for (int i = 0; i < QUERY; i++) query[i] = "ACGU"[cm_rng_below(2, (uint64_t)i, 4)];
    cm_duplex duplex = {0};
    printf("length\tus\tns_per_position\n");
    for (int64_t n = 250; n <= LONGEST; n *= 4) {
        double best = 1e30;
        for (int r = 0; r <= repeats; r++) { /* the first one warms up */
            double start = seconds();
            if (!cm_duplex_scan(&duplex, query, QUERY, target, n)) return 1;
            double took = seconds() - start;
            if (r > 0 && took < best) best = took;
        }
        printf("%lld\t%.1f\t%.1f\n", (long long)n, 1e6 * best, 1e9 * best / (double)n);
    }
    cm_duplex_clear(&duplex);
    return 0;
}
