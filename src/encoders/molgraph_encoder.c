/* Encoder "molgraph": molecule graph networks, pretrain-gnns (Hu et al. 2020, "Strategies for pre-training
 * graph neural networks"), Mole-BERT (Xia et al. 2023) and MolCLR (Wang et al. 2022). Tokens are atoms. */
#include "encoders/graph.h"

static const char *const prefixes[] = {"", "gnn.", "module.", "model.", "encoder.", NULL};

const cm_family cm_family_molgraph = {
    .name = "molgraph",
    .title = "Molecule graph network (pretrain-gnns, Mole-BERT, MolCLR)",
    .licence = "MIT (pretrain-gnns, MolCLR)",
    .pooling = "mean over atoms",
    .pool_specials = false,
    .model_types = NULL,
    .prefixes = prefixes,
    .tokenizer = NULL,
    .golden = NULL,
    .engine = &cm_graph_engine,
    .rules = NULL,
};
