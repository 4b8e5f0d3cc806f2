/* Counter-based random numbers: a value is a pure function of (key, counter), so results do not
 * depend on order, thread count or resume point. Mixing function: two rounds of the SplitMix64
 * finaliser (Steele, Lea, Flood 2014) over key and counter. */
#ifndef CM_BASE_RNG_H
#define CM_BASE_RNG_H

#include <stdint.h>

/* A key from parts, for example (seed, epoch, purpose). */
uint64_t cm_rng_key(uint64_t seed, uint64_t a, uint64_t b);

uint64_t cm_rng_bits(uint64_t key, uint64_t counter);

/* In [0, 1), 53 bits. */
double cm_rng_uniform(uint64_t key, uint64_t counter);

/* Standard normal (Box-Muller on counters 2c and 2c+1). */
double cm_rng_normal(uint64_t key, uint64_t counter);

/* In [0, n), n > 0, unbiased enough for shuffles (64-bit multiply-shift). */
uint64_t cm_rng_below(uint64_t key, uint64_t counter, uint64_t n);

/* Fisher-Yates over items[n] of int64. */
void cm_rng_shuffle(uint64_t key, int64_t *items, int64_t n);

#endif
