/* Counter-based random numbers. */
#include "base/rng.h"

#include <math.h>

__extension__ typedef unsigned __int128 uint128;

/* 2^64 / golden ratio, odd: the increment of SplitMix64. */
static const uint64_t golden = 0x9e3779b97f4a7c15u;

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014, with the constants of Stafford's mix 13). */
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t cm_rng_key(uint64_t seed, uint64_t a, uint64_t b) {
    return cm_rng_bits(cm_rng_bits(mix(seed + golden), a), b);
}

/* The first round alone would make the streams of two keys shifted copies of each other. */
uint64_t cm_rng_bits(uint64_t key, uint64_t counter) {
    uint64_t first = mix(key + golden * (counter + 1));
    return mix(first ^ (key << 32 | key >> 32));
}

double cm_rng_uniform(uint64_t key, uint64_t counter) {
    return (double)(cm_rng_bits(key, counter) >> 11) * 0x1p-53;
}

double cm_rng_normal(uint64_t key, uint64_t counter) {
    double radius = 1 - cm_rng_uniform(key, 2 * counter); /* in (0, 1], so that the logarithm is finite */
    double turn = cm_rng_uniform(key, 2 * counter + 1);
    return sqrt(-2 * log(radius)) * cos(6.283185307179586 * turn);
}

uint64_t cm_rng_below(uint64_t key, uint64_t counter, uint64_t n) {
    return (uint64_t)(((uint128)cm_rng_bits(key, counter) * n) >> 64);
}

void cm_rng_shuffle(uint64_t key, int64_t *items, int64_t n) {
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)cm_rng_below(key, (uint64_t)i, (uint64_t)i + 1);
        int64_t item = items[i];
        items[i] = items[j];
        items[j] = item;
    }
}
