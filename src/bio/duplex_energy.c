/* The nearest-neighbour tables. */
#include "bio/duplex_energy.h"

/* The pairs as rows and columns of the table of stacks. */
enum { AU, CG, GC, UA, GU, UG, PAIRS, NO_PAIR = PAIRS };

static const uint8_t pair_of[CM_NT_COUNT][CM_NT_COUNT] = {
    {NO_PAIR, NO_PAIR, NO_PAIR, AU, NO_PAIR},      {NO_PAIR, NO_PAIR, CG, NO_PAIR, NO_PAIR},
    {NO_PAIR, GC, NO_PAIR, GU, NO_PAIR},           {UA, NO_PAIR, UG, NO_PAIR, NO_PAIR},
    {NO_PAIR, NO_PAIR, NO_PAIR, NO_PAIR, NO_PAIR},
};

/* [first pair, 5' base named first][second pair, the same strand's base named first] */
static const int16_t stacks[PAIRS][PAIRS] = {
    /*        AU    CG    GC    UA    GU    UG */
    [AU] = {-93, -224, -208, -110, -55, -136},   [CG] = {-211, -326, -236, -208, -141, -211},
    [GC] = {-235, -342, -326, -224, -153, -251}, [UA] = {-133, -235, -211, -93, -100, -127},
    [GU] = {-127, -251, -211, -136, -50, 129},   [UG] = {-100, -153, -141, -55, 30, -50},
};

static const int16_t bulges[] = {0, 380, 280, 320, 360, 400, 440};
/* Of 4 and more as measured; of 2 and 3 such that 1x1 gives 0.5 and 1x2 2.3 kcal/mol between G-C pairs. */
static const int16_t interiors[] = {0, 0, 50, 170, 110, 200, 200};
enum { ASYMMETRY = 60, CLOSURE = 70, END = 45, SINGLE_GG = -170 };
_Static_assert(sizeof bulges / sizeof *bulges == CM_DUPLEX_LOOP + 1, "a bulge of every size");
_Static_assert(sizeof interiors / sizeof *interiors == CM_DUPLEX_LOOP + 1, "a loop of every size");

int cm_duplex_code(char letter) {
    switch (letter) {
    case 'A':
        return CM_NT_A;
    case 'C':
        return CM_NT_C;
    case 'G':
        return CM_NT_G;
    case 'U':
        return CM_NT_U;
    default:
        return CM_NT_NONE;
    }
}

bool cm_duplex_pairs(int a, int b) {
    return pair_of[a][b] != NO_PAIR;
}

int32_t cm_duplex_stack(int a, int b, int c, int d) {
    int first = pair_of[a][b], second = pair_of[c][d];
    return first == NO_PAIR || second == NO_PAIR ? CM_DUPLEX_NONE : stacks[first][second];
}

static bool is_strong(int a, int b) {
    return pair_of[a][b] == CG || pair_of[a][b] == GC;
}

int32_t cm_duplex_end(int a, int b) {
    return is_strong(a, b) ? 0 : END;
}

int32_t cm_duplex_closure(int a, int b) {
    return is_strong(a, b) ? 0 : CLOSURE;
}

int32_t cm_duplex_mismatch(int first, int second) {
    if (first == CM_NT_A && second == CM_NT_G) return -80;
    if (first == CM_NT_G && second == CM_NT_A) return -100;
    if (first == CM_NT_G && second == CM_NT_G) return -120;
    if (first == CM_NT_U && second == CM_NT_U) return -70;
    return 0;
}

int32_t cm_duplex_bulge(int size) {
    return bulges[size];
}

int32_t cm_duplex_interior(int n1, int n2) {
    return interiors[n1 + n2] + ASYMMETRY * (n1 > n2 ? n1 - n2 : n2 - n1);
}

int32_t cm_duplex_single(int a, int b) {
    return a == CM_NT_G && b == CM_NT_G ? SINGLE_GG : 0;
}

static int32_t bulge_step(int a, int b, int c, int d, int size) {
    if (size == 1) return bulges[1] + cm_duplex_stack(a, b, c, d);
    return bulges[size] + cm_duplex_end(a, b) + cm_duplex_end(c, d);
}

int32_t cm_duplex_step(const uint8_t *x, const uint8_t *t, int64_t i, int64_t j, int64_t p, int64_t q) {
    int64_t n1 = p - i - 1, n2 = q - j - 1;
    if (n1 + n2 > CM_DUPLEX_LOOP || !cm_duplex_pairs(x[i], t[j]) || !cm_duplex_pairs(x[p], t[q]))
        return CM_DUPLEX_NONE;
    if (n1 == 0 && n2 == 0) return cm_duplex_stack(t[j], x[i], t[q], x[p]);
    if (n1 == 0 || n2 == 0) return bulge_step(t[j], x[i], t[q], x[p], (int)(n1 + n2));
    int32_t energy =
        cm_duplex_interior((int)n1, (int)n2) + cm_duplex_closure(t[j], x[i]) + cm_duplex_closure(t[q], x[p]);
    if (n1 == 1 && n2 == 1) return energy + cm_duplex_single(x[i + 1], t[j + 1]);
    if (n1 == 1 || n2 == 1) return energy;
    return energy + cm_duplex_mismatch(t[j + 1], x[i + 1]) + cm_duplex_mismatch(x[p - 1], t[q - 1]);
}
