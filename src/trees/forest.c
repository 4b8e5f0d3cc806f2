/* Growing extremely randomised trees. */
#include "trees/forest.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "ops/vmath.h"
#include <assert.h>
#include <math.h>
#include <string.h>

enum { KEY_TREE = 0x74726565, KEY_CUT = 1, KEY_LEFT, KEY_RIGHT, LEAF = -1, GRAIN = 64, LANES = 8 };

typedef struct node {
    int32_t column; /* LEAF, or the column that cut is for */
    int32_t left;   /* number of the left child; the right one follows it */
    float cut;
    float value; /* mean label */
} node;

typedef struct tree {
    node *nodes;
    int64_t n, room;
} tree;

struct cm_forest {
    int64_t width;
    int n_trees;
    tree *trees;
};

/* ---- growing ---- */

typedef struct growth {
    const cm_forest_table *table;
    const double *label;
    const int64_t *index;
    const cm_forest_options *options;
    int64_t n, width, tried;
    cm_forest *forest;
    cm_status *status; /* [trees] */
} growth;

/* A tree while it grows, with its thread's work space. */
typedef struct sprout {
    const growth *g;
    tree *tree;
    int32_t *rows, *spare;            /* [n] rows of the open nodes; for the partition */
    double *label;                    /* [n + LANES] of the node's rows */
    float *value, *goes;              /* [n + LANES] one column of them; 1 where a row goes left, else 0 */
    int32_t *items[CM_FOREST_BLOCKS]; /* [n] which items of a block they read, once a column asked */
    bool listed[CM_FOREST_BLOCKS];    /* whether they are those of the node */
    int32_t *columns, *drawn;         /* [width] columns in order; the place of each draw of a node */
    struct open_node *pending;        /* [n + 1] */
} sprout;

typedef struct open_node {
    int64_t begin, end;
    uint64_t key;
    int32_t number;
} open_node;

typedef struct split {
    int32_t column;
    float cut;
    double gain;
} split;

static void sprout_clear(sprout *s) {
    cm_free(s->rows);
    cm_free(s->spare);
    cm_free(s->label);
    cm_free(s->value);
    cm_free(s->goes);
    cm_free(s->columns);
    cm_free(s->drawn);
    cm_free(s->pending);
    for (int b = 0; b < CM_FOREST_BLOCKS; b++) cm_free(s->items[b]);
}

static bool sprout_make(sprout *s) {
    size_t n = (size_t)s->g->n;
    s->rows = cm_new(n, sizeof *s->rows);
    s->spare = cm_new(n, sizeof *s->spare);
    s->label = cm_new(n + LANES, sizeof *s->label);
    s->value = cm_new(n + LANES, sizeof *s->value);
    s->goes = cm_new(n + LANES, sizeof *s->goes);
    s->columns = cm_new((size_t)s->g->width, sizeof *s->columns);
    s->drawn = cm_new((size_t)s->g->width, sizeof *s->drawn);
    s->pending = cm_new(n + 1, sizeof *s->pending);
    if (!s->rows || !s->spare || !s->label || !s->value || !s->goes || !s->columns || !s->drawn ||
        !s->pending)
        return false;
    for (int b = 0; b < s->g->table->n_blocks; b++)
        if (!(s->items[b] = cm_new(n, sizeof *s->items[b]))) return false;
    for (size_t i = 0; i < n; i++) s->rows[i] = (int32_t)s->g->index[i];
    for (int32_t c = 0; c < s->g->width; c++) s->columns[c] = c;
    return true;
}

static bool add_nodes(tree *t, int count) {
    if (t->n + count > t->room) {
        int64_t room = 2 * t->room + 16;
        node *nodes = cm_resize(t->nodes, (size_t)room, sizeof *nodes);
        if (!nodes) return false;
        t->nodes = nodes;
        t->room = room;
    }
    t->n += count;
    return true;
}

/* The items that a node's rows read in a block: looked up once a node, not once a column. */
static const int32_t *items_of(sprout *s, const open_node *o, int b) {
    const int32_t *rows = s->rows + o->begin, *item = s->g->table->block[b].item;
    if (!item) return rows;
    if (!s->listed[b])
        for (int64_t k = 0; k < o->end - o->begin; k++) s->items[b][k] = item[rows[k]];
    s->listed[b] = true;
    return s->items[b];
}

/* Eight numbers in a vector register, and what a comparison of them gives. */
typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t choices __attribute__((vector_size(4 * LANES)));

/* The least and the largest of value[n], which the first one follows LANES times. */
CM_CLONES static void find_range(const float *value, int64_t n, float *least, float *most) {
    lanes low = *(const lanes *)(value + n), high = low;
    for (int64_t i = 0; i < n; i += LANES) {
        lanes next = *(const lanes *)(value + i);
        choices lower = next<low, higher = next> high;
        low = (lanes)(((choices)next & lower) | ((choices)low & ~lower));
        high = (lanes)(((choices)next & higher) | ((choices)high & ~higher));
    }
    *least = low[0];
    *most = high[0];
    for (int l = 1; l < LANES; l++) {
        *least = low[l] < *least ? low[l] : *least;
        *most = high[l] > *most ? high[l] : *most;
    }
}

/* Copies a column's numbers of items[n] to value, with infinities behind them; false when it is constant. */
static bool gather(const float *restrict column, const int32_t *restrict items, int64_t n,
                   float *restrict value, float *least, float *most) {
    for (int64_t k = 0; k < n; k++) value[k] = column[items[k]];
    for (int l = 0; l < LANES; l++) value[n + l] = value[0];
    find_range(value, n, least, most);
    for (int l = 0; l < LANES; l++) value[n + l] = INFINITY;
    return *least < *most;
}

/* Number and label sum of what goes left at a cut of the gathered column. Labels behind the node's are 0,
 * values are past every cut. */
CM_CLONES static void sum_left(const float *restrict value, const double *restrict label, int64_t n,
                               float cut, float *restrict goes, double *count, double *sum) {
    double sums[LANES] = {0}, counts[LANES] = {0}, left = 0, n_left = 0;
    int64_t padded = (n + LANES - 1) / LANES * LANES;
    for (int64_t i = 0; i < padded; i++) goes[i] = value[i] <= cut ? 1.0F : 0.0F;
    for (int64_t i = 0; i < padded; i += LANES)
        for (int l = 0; l < LANES; l++) {
            counts[l] += (double)goes[i + l];
            sums[l] += (double)goes[i + l] * label[i + l];
        }
    for (int l = 0; l < LANES; l++) {
        n_left += counts[l];
        left += sums[l];
    }
    *count = n_left;
    *sum = left;
}

/* Judges one cut of the gathered column. */
static void consider(const sprout *s, int64_t n, double sum, split next, split *best) {
    double left, n_left;
    sum_left(s->value, s->label, n, next.cut, s->goes, &n_left, &left);
    double n_right = (double)n - n_left, fewest = (double)s->g->options->leaf;
    if (n_left < fewest || n_right < fewest) return;
    next.gain = left * left / n_left + (sum - left) * (sum - left) / n_right;
    if (next.gain > best->gain) *best = next;
}

static void swap(int32_t *columns, int64_t i, int64_t k) {
    int32_t c = columns[i];
    columns[i] = columns[k];
    columns[k] = c;
}

/* Draws columns and cuts; column LEAF: none divides the node. Draw d swaps column d with one at or behind it;
 * the swaps are taken back, so that a draw depends on its node alone. */
static split choose(sprout *s, const open_node *o, double sum) {
    split best = {.column = LEAF, .gain = -1};
    for (int b = 0; b < CM_FOREST_BLOCKS; b++) s->listed[b] = false;
    int64_t width = s->g->width, used = 0, draws = 0;
    uint64_t key = cm_rng_key(o->key, KEY_CUT, 0);
    for (; draws < width && used < s->g->tried; draws++) {
        float least, most;
        int64_t at = draws + (int64_t)cm_rng_below(key, (uint64_t)(2 * draws), (uint64_t)(width - draws));
        s->drawn[draws] = (int32_t)at;
        swap(s->columns, draws, at);
        cm_forest_column from = cm_forest_column_of(s->g->table, s->columns[draws]);
        const int32_t *items = items_of(s, o, from.block);
        if (!gather(from.value, items, o->end - o->begin, s->value, &least, &most)) continue;
        used++;
        double share = cm_rng_uniform(key, (uint64_t)(2 * draws + 1));
        float cut = (float)((double)least + share * ((double)most - (double)least));
        if (cut >= most) cut = least;
        consider(s, o->end - o->begin, sum, (split){.column = s->columns[draws], .cut = cut}, &best);
    }
    while (draws-- > 0) swap(s->columns, draws, s->drawn[draws]);
    return best;
}

/* Rows that go left come first; both keep their order. Returns where the right ones begin. */
static int64_t divide(sprout *s, const open_node *o, const split *by) {
    cm_forest_column from = cm_forest_column_of(s->g->table, by->column);
    int64_t left = o->begin, right = 0;
    for (int64_t i = o->begin; i < o->end; i++) {
        int32_t row = s->rows[i];
        if (cm_forest_cell(from, row) <= by->cut)
            s->rows[left++] = row;
        else
            s->spare[right++] = row;
    }
    memcpy(s->rows + left, s->spare, (size_t)right * sizeof *s->rows);
    return left;
}

/* Makes node o a leaf, or divides it and leaves its children pending. */
static bool grow_node(sprout *s, open_node o, int64_t *pending) {
    int64_t n = o.end - o.begin;
    double sum = 0;
    bool equal = true;
    for (int64_t i = 0; i < n; i++) {
        s->label[i] = s->g->label[s->rows[o.begin + i]];
        sum += s->label[i];
        equal = equal && s->label[i] == s->label[0];
    }
    for (int l = 0; l < LANES; l++) s->label[n + l] = 0;
    s->tree->nodes[o.number] = (node){.column = LEAF, .value = (float)(sum / (double)n)};
    if (equal || n < 2 * s->g->options->leaf) return true;
    split by = choose(s, &o, sum);
    if (by.column == LEAF) return true;
    int64_t middle = divide(s, &o, &by);
    int32_t left = (int32_t)s->tree->n;
    if (!add_nodes(s->tree, 2)) return false;
    s->tree->nodes[o.number].column = by.column;
    s->tree->nodes[o.number].cut = by.cut;
    s->tree->nodes[o.number].left = left;
    s->pending[(*pending)++] = (open_node){middle, o.end, cm_rng_key(o.key, KEY_RIGHT, 0), left + 1};
    s->pending[(*pending)++] = (open_node){o.begin, middle, cm_rng_key(o.key, KEY_LEFT, 0), left};
    return true;
}

static bool grow_tree(const growth *g, int64_t t) {
    sprout s = {.g = g, .tree = &g->forest->trees[t]};
    int64_t pending = 0;
    bool done = sprout_make(&s) && add_nodes(s.tree, 1);
    if (done)
        s.pending[pending++] = (open_node){0, g->n, cm_rng_key(g->options->seed, KEY_TREE, (uint64_t)t), 0};
    while (done && pending > 0) {
        open_node next = s.pending[--pending];
        done = grow_node(&s, next, &pending);
    }
    sprout_clear(&s);
    return done;
}

static void grow_trees(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    growth *g = context;
    for (int64_t t = begin; t < end; t++) g->status[t] = grow_tree(g, t) ? CM_OK : CM_MEMORY;
}

static cm_status grow_all(growth *g, cm_team *team, cm_error *error) {
    int trees = g->options->trees;
    g->forest->trees = cm_new((size_t)trees, sizeof *g->forest->trees);
    g->status = cm_new((size_t)trees, sizeof *g->status);
    if (!g->forest->trees || !g->status) return cm_fail_memory(error, (size_t)trees * sizeof(tree));
    cm_team_for(team, trees, 1, grow_trees, g);
    for (int t = 0; t < trees; t++)
        if (g->status[t] != CM_OK) return cm_fail_memory(error, 0);
    return CM_OK;
}

cm_status cm_forest_fit(cm_forest **forest, const cm_forest_table *table, const double *label,
                        const int64_t *index, int64_t n, const cm_forest_options *options, cm_team *team,
                        cm_error *error) {
    assert(n >= 1 && options->leaf >= 1 && options->trees >= 1);
    int64_t width = cm_forest_width(table), root = (int64_t)(sqrt((double)width) + 0.5);
    growth g = {.table = table,
                .label = label,
                .index = index,
                .options = options,
                .n = n,
                .width = width,
                .tried = options->columns > 0 ? options->columns : root,
                .forest = cm_new(1, sizeof *g.forest)};
    if (!g.forest) return cm_fail_memory(error, sizeof *g.forest);
    g.forest->width = width;
    g.forest->n_trees = options->trees;
    cm_status status = grow_all(&g, team, error);
    cm_free(g.status);
    if (status == CM_OK)
        *forest = g.forest;
    else
        cm_forest_destroy(g.forest);
    return status;
}

void cm_forest_destroy(cm_forest *forest) {
    if (!forest) return;
    for (int t = 0; forest->trees && t < forest->n_trees; t++) cm_free(forest->trees[t].nodes);
    cm_free(forest->trees);
    cm_free(forest);
}

int64_t cm_forest_nodes(const cm_forest *forest) {
    int64_t n = 0;
    for (int t = 0; t < forest->n_trees; t++) n += forest->trees[t].n;
    return n;
}

/* ---- scoring ---- */

typedef struct scoring {
    const cm_forest *forest;
    const cm_forest_table *table;
    const int64_t *index;
    double *score;
} scoring;

static float descend(const tree *t, const cm_forest_table *table, int64_t row) {
    const node *at = t->nodes;
    while (at->column != LEAF)
        at = t->nodes + at->left + !(cm_forest_cell(cm_forest_column_of(table, at->column), row) <= at->cut);
    return at->value;
}

/* Tree by tree, so that a tree stays in the cache; a row's sum is in the order of the trees all the same. */
static void score_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const scoring *s = context;
    for (int64_t i = begin; i < end; i++) s->score[i] = 0;
    for (int t = 0; t < s->forest->n_trees; t++)
        for (int64_t i = begin; i < end; i++)
            s->score[i] += (double)descend(&s->forest->trees[t], s->table, s->index[i]);
    for (int64_t i = begin; i < end; i++) s->score[i] /= s->forest->n_trees;
}

void cm_forest_scores(const cm_forest *forest, const cm_forest_table *table, const int64_t *index, int64_t m,
                      double *score, cm_team *team) {
    assert(cm_forest_width(table) == forest->width);
    scoring s = {forest, table, index, score};
    cm_team_for(team, m, GRAIN, score_rows, &s);
}
