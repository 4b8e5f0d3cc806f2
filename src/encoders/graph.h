/* Networks over molecular graphs: the graph convolution and graph isomorphism networks of pretrain-gnns (Hu
 * et al. 2020; Mole-BERT has the same network), and of MolCLR (Wang et al. 2022).
 *
 *   h_0 = E1[element] + E2[chirality]
 *   h_k = r(BN(layer_k(h_{k-1}))),  r = ReLU, nothing after the last layer
 *
 * With e(j, i) = B[bond] + D[direction] of the edge from atom j to i and N(i) the neighbours of i and i
 * itself (by an edge with bond 4 and direction 0), layer(h)_i is
 *
 *   pretrain-gnns GCN   sum over j in N(i) of (W h_j + b + e(j, i)) / sqrt(|N(j)| |N(i)|)
 *   MolCLR GCN          b + sum over j in N(i) of (h_j W + e(j, i)), e one number for all columns
 *   GIN of both         W2 relu(W1 a_i + b1) + b2,  a_i = sum over j in N(i) of (h_j + e(j, i))
 *
 * Which of them a checkpoint holds is told by the names of its tensors, the sizes by their shapes. Tokens are
 * atoms. An element or a chirality for which the checkpoint has no row counts as unknown: it takes part
 * without that term. */
#ifndef CM_ENCODERS_GRAPH_H
#define CM_ENCODERS_GRAPH_H

#include "encoders/family.h"

/* No rules, no ids; config.json is not read. */
extern const cm_engine cm_graph_engine;

extern const cm_family cm_family_molgraph;

#endif
