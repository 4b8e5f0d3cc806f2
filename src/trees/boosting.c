/* Growing boosted trees. */
#include "trees/boosting.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "ops/vmath.h"
#include "trees/bins.h"
#include <assert.h>
#include <math.h>
#include <string.h>

enum { KEY_ROWS = 0x626f6f73, KEY_COLUMNS, COLUMN_GRAIN = 16, ROW_GRAIN = 64, CHUNK = 512, LARGE = 1 << 17 };

/* Of the tree that grows, as in cm_boosting. */
typedef struct node {
    int32_t column, left;
    float cut;
    double value;
} node;

/* What a split is judged by. */
typedef struct sum {
    double g, h, rows;
} sum;

typedef struct split {
    int32_t column, bin; /* bins up to this one go left */
    double gain;         /* 0: none */
} split;

/* A leaf of the tree that grows. */
typedef struct open_leaf {
    int64_t begin, end;
    int32_t number;
    sum all;
    split best;
} open_leaf;

typedef struct growth {
    const cm_forest_table *table;
    const double *label;
    const int64_t *index;
    const cm_boosting_options *options;
    cm_team *team;
    cm_boosting *boosting;
    cm_bins bins;
    int64_t n;
    double *f;             /* [n] */
    sum *own;              /* [n] of each row; rows 0 where it is not drawn */
    int32_t *rows, *spare; /* [n] positions in index, of the open leaves; for the partition */
    int32_t *columns;      /* [width] that are drawn */
    split *best;           /* [width] of each drawn column */
    int64_t n_columns;
    open_leaf *leaves;                /* [options->leaves] */
    node *tree;                       /* [2 * options->leaves - 1] */
    sum *sums[CM_FOREST_BLOCKS];      /* [items or n] of the node's rows by item */
    int32_t *items[CM_FOREST_BLOCKS]; /* [items or n] the items that they read, in the order of the rows */
    int32_t *slot[CM_FOREST_BLOCKS];  /* [items] place in items, -1: not there */
    int64_t n_items[CM_FOREST_BLOCKS];
    sum all; /* of the node */
} growth;

static void growth_clear(growth *g) {
    cm_bins_clear(&g->bins);
    cm_free(g->f);
    cm_free(g->own);
    cm_free(g->rows);
    cm_free(g->spare);
    cm_free(g->columns);
    cm_free(g->best);
    cm_free(g->leaves);
    cm_free(g->tree);
    for (int b = 0; b < g->table->n_blocks; b++) {
        cm_free(g->sums[b]);
        cm_free(g->items[b]);
        cm_free(g->slot[b]);
    }
}

static bool make_blocks(growth *g) {
    for (int b = 0; b < g->table->n_blocks; b++) {
        size_t items = (size_t)g->table->block[b].items;
        g->sums[b] = cm_new(items, sizeof *g->sums[b]);
        g->items[b] = cm_new(items, sizeof *g->items[b]);
        g->slot[b] = cm_new(items, sizeof *g->slot[b]);
        if (!g->sums[b] || !g->items[b] || !g->slot[b]) return false;
        for (size_t i = 0; i < items; i++) g->slot[b][i] = -1;
    }
    return true;
}

static bool growth_make(growth *g) {
    size_t n = (size_t)g->n, width = (size_t)cm_forest_width(g->table);
    g->f = cm_new(n, sizeof *g->f);
    g->own = cm_new(n, sizeof *g->own);
    g->rows = cm_new(n, sizeof *g->rows);
    g->spare = cm_new(n, sizeof *g->spare);
    g->columns = cm_new(width, sizeof *g->columns);
    g->best = cm_new(width, sizeof *g->best);
    g->leaves = cm_new((size_t)g->options->leaves, sizeof *g->leaves);
    g->tree = cm_new(2 * (size_t)g->options->leaves - 1, sizeof *g->tree);
    return g->f && g->own && g->rows && g->spare && g->columns && g->best && g->leaves && g->tree &&
           make_blocks(g);
}

static void add(sum *to, const sum *part) {
    to->g += part->g;
    to->h += part->h;
    to->rows += part->rows;
}

/* ---- the best split of a leaf ---- */

/* Sums of a leaf's drawn rows by item of each block: what the columns of a molecule say is the same for all
 * its rows, so that a column costs its molecules, not its rows. */
static void sum_items(growth *g, const open_leaf *o) {
    g->all = (sum){0};
    for (int64_t k = o->begin; k < o->end; k++) add(&g->all, &g->own[g->rows[k]]);
    for (int b = 0; b < g->table->n_blocks; b++) {
        const int32_t *item = g->table->block[b].item;
        int32_t *slot = g->slot[b];
        int64_t n = 0;
        for (int64_t k = o->begin; k < o->end; k++) {
            const sum *own = &g->own[g->rows[k]];
            if (own->rows == 0) continue;
            int64_t row = g->index[g->rows[k]];
            int32_t i = item ? item[row] : (int32_t)row;
            if (slot[i] < 0) {
                slot[i] = (int32_t)n;
                g->items[b][n] = i;
                g->sums[b][n++] = (sum){0};
            }
            add(&g->sums[b][slot[i]], own);
        }
        for (int64_t k = 0; k < n; k++) slot[g->items[b][k]] = -1;
        g->n_items[b] = n;
    }
}

static double quality(const sum *s, double ridge) {
    return s->g * s->g / (s->h + ridge);
}

/* Sums by bin. Most columns say the same of most molecules: that one bin is what the others leave. */
static void fill_bins(const growth *g, int64_t c, int b, sum *bin) {
    const uint8_t *of = g->bins.of[b] + (c - g->bins.first[b]) * g->table->block[b].items;
    const int32_t *items = g->items[b];
    const sum *sums = g->sums[b];
    int32_t common = g->bins.common[c], bins = g->bins.count[c];
    sum rest = g->all;
    memset(bin, 0, (size_t)bins * sizeof *bin);
    for (int64_t begin = 0; begin < g->n_items[b]; begin += CHUNK) {
        int64_t n = g->n_items[b] - begin < CHUNK ? g->n_items[b] - begin : CHUNK;
        uint8_t at[CHUNK];
        uint16_t which[CHUNK];
        int64_t others = 0;
        for (int64_t k = 0; k < n; k++) { /* no branch: which bin an item is in cannot be guessed */
            at[others] = of[items[begin + k]];
            which[others] = (uint16_t)k;
            others += at[others] != common;
        }
        for (int64_t k = 0; k < others; k++) add(&bin[at[k]], &sums[begin + which[k]]);
    }
    for (int32_t at = 0; at < bins; at++)
        rest = (sum){rest.g - bin[at].g, rest.h - bin[at].h, rest.rows - bin[at].rows};
    bin[common] = rest;
}

/* Left sums of the splits of a column that leave enough rows on both sides, field by field. */
typedef struct splits {
    double g[CM_BINS_MAX], h[CM_BINS_MAX], gain[CM_BINS_MAX];
    int32_t bin[CM_BINS_MAX], n;
} splits;

static void list_splits(const growth *g, int64_t c, splits *list) {
    sum bin[CM_BINS_MAX], left = {0};
    double fewest = (double)g->options->leaf;
    list->n = 0;
    fill_bins(g, c, cm_bins_block(&g->bins, c), bin);
    for (int32_t at = 0; at + 1 < g->bins.count[c]; at++) {
        if (bin[at].rows == 0) continue;
        add(&left, &bin[at]);
        if (g->all.rows - left.rows < fewest) break;
        if (left.rows < fewest) continue;
        list->g[list->n] = left.g;
        list->h[list->n] = left.h;
        list->bin[list->n++] = at;
    }
}

/* Divisions beside each other in vector registers. */
CM_CLONES static void judge_splits(splits *list, sum all, double ridge, double whole) {
    for (int32_t i = 0; i < list->n; i++) {
        double g = list->g[i], h = list->h[i], right_g = all.g - g, right_h = all.h - h;
        list->gain[i] = g * g / (h + ridge) + right_g * right_g / (right_h + ridge) - whole;
    }
}

static split search_column(const growth *g, int64_t c) {
    splits list;
    split best = {.column = (int32_t)c};
    list_splits(g, c, &list);
    judge_splits(&list, g->all, g->options->ridge, quality(&g->all, g->options->ridge));
    for (int32_t i = 0; i < list.n; i++)
        if (list.gain[i] > best.gain) best = (split){(int32_t)c, list.bin[i], list.gain[i]};
    return best;
}

static void search_columns(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    growth *g = context;
    for (int64_t i = begin; i < end; i++) g->best[i] = search_column(g, g->columns[i]);
}

/* Small leaves are searched sooner than a team is woken. */
static bool is_large(const growth *g) {
    int64_t items = 0;
    for (int b = 0; b < g->table->n_blocks; b++) items += g->n_items[b];
    return items * g->n_columns >= LARGE;
}

static void search_leaf(growth *g, open_leaf *o) {
    sum_items(g, o);
    o->all = g->all;
    o->best = (split){.gain = 0};
    if (g->all.rows < 2 * (double)g->options->leaf) return;
    cm_team_for(is_large(g) ? g->team : NULL, g->n_columns, COLUMN_GRAIN, search_columns, g);
    for (int64_t i = 0; i < g->n_columns; i++)
        if (g->best[i].gain > o->best.gain) o->best = g->best[i];
}

/* ---- one tree ---- */

/* Rows that go left come first; both keep their order. Returns where the right ones begin. */
static int64_t divide(growth *g, const open_leaf *o) {
    int64_t c = o->best.column, left = o->begin, right = 0;
    int b = cm_bins_block(&g->bins, c);
    const cm_forest_block *block = &g->table->block[b];
    const uint8_t *of = g->bins.of[b] + (c - g->bins.first[b]) * block->items;
    for (int64_t k = o->begin; k < o->end; k++) {
        int32_t position = g->rows[k];
        int64_t row = g->index[position];
        if (of[block->item ? block->item[row] : row] <= o->best.bin)
            g->rows[left++] = position;
        else
            g->spare[right++] = position;
    }
    memcpy(g->rows + left, g->spare, (size_t)right * sizeof *g->rows);
    return left;
}

/* Divides leaf number `at` of n; its right part becomes leaf n. */
static void divide_leaf(growth *g, int at, int n) {
    open_leaf *o = &g->leaves[at];
    int64_t middle = divide(g, o);
    int32_t left = 2 * n - 1;
    g->tree[o->number] = (node){.column = o->best.column,
                                .left = left,
                                .cut = g->bins.cut[o->best.column * CM_BINS_MAX + o->best.bin]};
    g->leaves[n] = (open_leaf){.begin = middle, .end = o->end, .number = left + 1};
    *o = (open_leaf){.begin = o->begin, .end = middle, .number = left};
    search_leaf(g, &g->leaves[n]);
    search_leaf(g, o);
}

static int best_leaf(const growth *g, int n) {
    int best = 0;
    for (int l = 1; l < n; l++)
        if (g->leaves[l].best.gain > g->leaves[best].best.gain) best = l;
    return best;
}

static void set_values(growth *g, int n) {
    for (int l = 0; l < n; l++) {
        const open_leaf *o = &g->leaves[l];
        double value = -g->options->rate * o->all.g / (o->all.h + g->options->ridge);
        g->tree[o->number] = (node){.column = CM_LEAF, .value = value};
        for (int64_t k = o->begin; k < o->end; k++) g->f[g->rows[k]] += value;
    }
}

static void append_tree(growth *g, int round, int nodes) {
    cm_boosting *b = g->boosting;
    int64_t first = b->start[round];
    for (int k = 0; k < nodes; k++) {
        b->column[first + k] = g->tree[k].column;
        b->left[first + k] = g->tree[k].left;
        b->cut[first + k] = g->tree[k].cut;
        b->value[first + k] = g->tree[k].value;
    }
    b->start[round + 1] = b->nodes = first + nodes;
}

static void grow_tree(growth *g, int round) {
    int n = 1;
    g->leaves[0] = (open_leaf){.begin = 0, .end = g->n, .number = 0};
    search_leaf(g, &g->leaves[0]);
    while (n < g->options->leaves) {
        int at = best_leaf(g, n);
        if (g->leaves[at].best.gain <= 0) break;
        divide_leaf(g, at, n++);
    }
    set_values(g, n);
    append_tree(g, round, 2 * n - 1);
}

/* ---- rounds ---- */

static double probability(double f) {
    return 1 / (1 + exp(-f));
}

static bool drawn(uint64_t key, int64_t i, double share) {
    return share >= 1 || cm_rng_uniform(key, (uint64_t)i) < share;
}

static void begin_round(growth *g, int round) {
    const cm_boosting_options *o = g->options;
    uint64_t rows = cm_rng_key(o->seed, KEY_ROWS, (uint64_t)round),
             columns = cm_rng_key(o->seed, KEY_COLUMNS, (uint64_t)round);
    for (int64_t i = 0; i < g->n; i++) {
        double p = o->logistic ? probability(g->f[i]) : g->f[i], y = g->label[g->index[i]];
        g->rows[i] = (int32_t)i;
        g->own[i] = drawn(rows, i, o->rows) ? (sum){p - y, o->logistic ? p * (1 - p) : 1, 1} : (sum){0};
    }
    g->n_columns = 0;
    for (int64_t c = 0; c < g->bins.width; c++)
        if (g->bins.count[c] > 1 && drawn(columns, c, o->columns)) g->columns[g->n_columns++] = (int32_t)c;
}

static double base_of(const growth *g) {
    double all = 0, n = (double)g->n;
    for (int64_t i = 0; i < g->n; i++) all += g->label[g->index[i]];
    return g->options->logistic ? log((all + 0.5) / (n - all + 0.5)) : all / n;
}

static cm_status grow_all(growth *g, cm_error *error) {
    cm_boosting *b = g->boosting;
    if (!growth_make(g)) return cm_fail_memory(error, (size_t)g->n * sizeof *g->own);
    CM_TRY(cm_bins_make(&g->bins, g->table, g->index, g->n, g->team, error));
    b->base = base_of(g);
    for (int64_t i = 0; i < g->n; i++) g->f[i] = b->base;
    for (int round = 0; round < b->rounds; round++) {
        begin_round(g, round);
        grow_tree(g, round);
    }
    return CM_OK;
}

cm_status cm_boosting_fit(cm_boosting **boosting, const cm_forest_table *table, const double *label,
                          const int64_t *index, int64_t n, const cm_boosting_options *options, cm_team *team,
                          cm_error *error) {
    assert(n >= 1 && options->rounds >= 1 && options->leaves >= 1 && options->leaf >= 1 &&
           options->ridge > 0);
    growth g = {.table = table, .label = label, .index = index, .options = options, .team = team, .n = n};
    int64_t most = (int64_t)options->rounds * (2 * options->leaves - 1);
    CM_TRY(cm_boosting_room(&g.boosting, cm_forest_width(table), options->rounds, most, error));
    cm_status status = grow_all(&g, error);
    growth_clear(&g);
    if (status == CM_OK)
        *boosting = g.boosting;
    else
        cm_boosting_destroy(g.boosting);
    return status;
}

/* ---- trees as arrays ---- */

cm_status cm_boosting_room(cm_boosting **boosting, int64_t width, int rounds, int64_t nodes,
                           cm_error *error) {
    cm_boosting *b = cm_new(1, sizeof *b);
    size_t n = (size_t)nodes;
    if (!b) return cm_fail_memory(error, sizeof *b);
    *b = (cm_boosting){.width = width, .rounds = rounds, .nodes = nodes};
    b->start = cm_new((size_t)rounds + 1, sizeof *b->start);
    b->column = cm_new(n, sizeof *b->column);
    b->left = cm_new(n, sizeof *b->left);
    b->cut = cm_new(n, sizeof *b->cut);
    b->value = cm_new(n, sizeof *b->value);
    if (!b->start || !b->column || !b->left || !b->cut || !b->value) {
        cm_boosting_destroy(b);
        return cm_fail_memory(error, n * 20);
    }
    *boosting = b;
    return CM_OK;
}

void cm_boosting_destroy(cm_boosting *boosting) {
    if (!boosting) return;
    cm_free(boosting->start);
    cm_free(boosting->column);
    cm_free(boosting->left);
    cm_free(boosting->cut);
    cm_free(boosting->value);
    cm_free(boosting);
}

void cm_boosting_keep(cm_boosting *boosting, int rounds) {
    assert(rounds >= 1 && rounds <= boosting->rounds);
    boosting->rounds = rounds;
    boosting->nodes = boosting->start[rounds];
}

/* Children come after their parent, so that every way down ends. */
static bool leads_down(const cm_boosting *b, int64_t first, int64_t end, int64_t at) {
    if (b->column[at] == CM_LEAF) return true;
    return b->column[at] >= 0 && b->column[at] < b->width && b->left[at] > at - first &&
           b->left[at] < end - first - 1;
}

cm_status cm_boosting_check(const cm_boosting *b, cm_error *error) {
    int64_t nodes = b->nodes;
    if (b->start[0] != 0 || b->start[b->rounds] != nodes)
        return cm_fail(error, CM_DATA, NULL, "trees", cm_format("nodes 0 to %lld", (long long)nodes).text,
                       "%lld to %lld", (long long)b->start[0], (long long)b->start[b->rounds]);
    for (int t = 0; t < b->rounds; t++)
        if (b->start[t + 1] <= b->start[t] || b->start[t + 1] > nodes)
            return cm_fail(error, CM_DATA, NULL, cm_format("tree %d", t + 1).text, "one node or more",
                           "nodes %lld to %lld", (long long)b->start[t], (long long)b->start[t + 1]);
    for (int t = 0; t < b->rounds; t++)
        for (int64_t at = b->start[t]; at < b->start[t + 1]; at++)
            if (!leads_down(b, b->start[t], b->start[t + 1], at))
                return cm_fail(error, CM_DATA, NULL,
                               cm_format("tree %d, node %lld", t + 1, (long long)(at - b->start[t])).text,
                               cm_format("a column below %lld and two later nodes", (long long)b->width).text,
                               "column %d, node %d", b->column[at], b->left[at]);
    return CM_OK;
}

/* ---- scoring ---- */

typedef struct scoring {
    const cm_boosting *boosting;
    const cm_forest_table *table;
    const int64_t *index;
    const int *rounds;
    int stages;
    int64_t m;
    double *score;
} scoring;

static double descend(const cm_boosting *b, int round, const cm_forest_table *table, int64_t row) {
    int64_t first = b->start[round], at = first;
    while (b->column[at] != CM_LEAF)
        at = first + b->left[at] +
             !(cm_forest_cell(cm_forest_column_of(table, b->column[at]), row) <= b->cut[at]);
    return b->value[at];
}

static void score_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const scoring *s = context;
    const cm_boosting *b = s->boosting;
    int round = 0;
    for (int stage = 0; stage < s->stages; stage++) {
        double *score = s->score + stage * s->m;
        for (int64_t i = begin; i < end; i++) score[i] = stage ? score[i - s->m] : b->base;
        for (; round < s->rounds[stage]; round++)
            for (int64_t i = begin; i < end; i++) score[i] += descend(b, round, s->table, s->index[i]);
    }
}

void cm_boosting_scores(const cm_boosting *boosting, const cm_forest_table *table, const int64_t *index,
                        int64_t m, const int *rounds, int stages, double *score, cm_team *team) {
    assert(cm_forest_width(table) == boosting->width);
    assert(stages >= 1 && rounds[stages - 1] <= boosting->rounds);
    scoring s = {.boosting = boosting,
                 .table = table,
                 .index = index,
                 .rounds = rounds,
                 .stages = stages,
                 .m = m,
                 .score = score};
    cm_team_for(team, m, ROW_GRAIN, score_rows, &s);
}
