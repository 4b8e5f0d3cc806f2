/* Free energies of RNA duplexes at 37 C, in hundredths of a kcal/mol (1 M NaCl).
 *
 * Sources: Watson-Crick stacks, initiation and the A-U end term: Xia et al., Biochemistry 37 (1998) 14719;
 * G-U stacks: Mathews et al., J Mol Biol 288 (1999) 911; initiation of bulges and internal loops, asymmetry,
 * A-U/G-U closure and first mismatches: Mathews et al., PNAS 101 (2004) 7287. Simplified: 1x1 and 1x2 loops
 * take the mean of the measured ones with the closure term and a bonus for G.G in 1x1, and there are neither
 * dangling ends nor special sequences. */
#ifndef CM_BIO_DUPLEX_ENERGY_H
#define CM_BIO_DUPLEX_ENERGY_H

#include <stdbool.h>
#include <stdint.h>

/* Codes of nucleotides; CM_NT_NONE (unknown, chain break) pairs with nothing. */
enum { CM_NT_A, CM_NT_C, CM_NT_G, CM_NT_U, CM_NT_NONE, CM_NT_COUNT };
/* Most unpaired nucleotides of a loop, both strands together; no duplex. */
enum { CM_DUPLEX_LOOP = 6, CM_DUPLEX_NONE = 1 << 18 };
enum { CM_DUPLEX_INITIATION = 409 };

/* The code of a letter of a normalised sequence. */
int cm_duplex_code(char letter);

/* Whether a and b pair: A-U, G-C or G-U. */
bool cm_duplex_pairs(int a, int b);

/* 5' a c 3' over 3' b d 5'; CM_DUPLEX_NONE when either does not pair. */
int32_t cm_duplex_stack(int a, int b, int c, int d);

/* The term of a helix that ends with a-b: 45 for A-U and G-U. Also beside bulges of more than one. */
int32_t cm_duplex_end(int a, int b);

/* The same for the pair that closes an internal loop: 70. */
int32_t cm_duplex_closure(int a, int b);

/* A mismatch beside the closing pair, seen along the strand of first (5' closing base, first, .. 3'); for
 * internal loops with at least two unpaired nucleotides on either side. */
int32_t cm_duplex_mismatch(int first, int second);

/* Initiation of a bulge of 1 .. CM_DUPLEX_LOOP nucleotides; one of size 1 keeps the stack of its neighbours.
 */
int32_t cm_duplex_bulge(int size);

/* Initiation with asymmetry of an internal loop of n1 x n2 unpaired nucleotides, n1, n2 >= 1, n1 + n2 <=
 * CM_DUPLEX_LOOP. */
int32_t cm_duplex_interior(int n1, int n2);

/* The bonus of a 1x1 loop of a opposite b. */
int32_t cm_duplex_single(int a, int b);

/* From pair x[i]-t[j] to the next pair x[p]-t[q], p > i, q > j, x a strand written 3' to 5' and t one written
 * 5' to 3': stack, bulge or internal loop. CM_DUPLEX_NONE when either does not pair or the loop is too large.
 */
int32_t cm_duplex_step(const uint8_t *x, const uint8_t *t, int64_t i, int64_t j, int64_t p, int64_t q);

#endif
