/* The tensors of a graph network, checked, with the batch norms folded in and the products packed. */
#ifndef CM_ENCODERS_GRAPH_LOAD_H
#define CM_ENCODERS_GRAPH_LOAD_H

#include "encoders/family.h"

enum {
    CM_GRAPH_BONDS = 5, /* single, double, triple, aromatic, an atom to itself */
    CM_GRAPH_DIRECTIONS = 3,
    CM_GRAPH_SELF = 4,
    CM_GRAPH_EDGES = CM_GRAPH_BONDS * CM_GRAPH_DIRECTIONS
};

typedef enum cm_graph_kind { CM_GRAPH_GCN, CM_GRAPH_GCN_SUM, CM_GRAPH_GIN } cm_graph_kind;

/* A layer behind its folded batch norm. Both GCN: first is W, first_bias b (zeros for CM_GRAPH_GCN_SUM),
 * shift[width] is added after the sum over neighbours, second is NULL. GIN: first and second are W1 and W2
 * with their biases, shift is NULL. */
typedef struct cm_graph_layer {
    cm_packed *first, *second;
    float *first_bias, *second_bias, *shift;
    float *edges; /* [CM_GRAPH_EDGES, width]: row bond * CM_GRAPH_DIRECTIONS + direction */
} cm_graph_layer;

typedef struct cm_graph_net {
    cm_graph_kind kind;
    int n_layers;
    int64_t width, hidden; /* hidden: rows of W1, 0 for GCN */
    int64_t elements, chiralities;
    float *element, *chirality; /* [elements, width], [chiralities, width] */
    cm_graph_layer *layers;
} cm_graph_net;

cm_status cm_graph_load(cm_graph_net *net, const char *const *prefixes, const cm_weights *weights,
                        cm_precision precision, cm_error *error);
void cm_graph_net_clear(cm_graph_net *net);

#endif
