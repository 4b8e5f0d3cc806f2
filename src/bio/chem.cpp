/* The C face of RDKit: canonical SMILES, Morgan fingerprints and molecular graphs. No exception leaves this
 * file, and RDKit does not print (its logs stay unopened). */
extern "C" {
#include "base/alloc.h"
#include "base/fail.h"
}
#include "bio/chem.h"

#include <GraphMol/Fingerprints/MorganFingerprints.h>
#include <GraphMol/GraphMol.h>
#include <GraphMol/SmilesParse/SmilesParse.h>
#include <GraphMol/SmilesParse/SmilesWrite.h>
#include <RDGeneral/versions.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <string>

namespace {

constexpr size_t length_limit = 5000;
constexpr int nesting_limit = 200;
/* Perceiving stereochemistry takes time cubic in the atoms: 0.7 s for a chain of 1,000, 10 s for 2,000. */
constexpr unsigned atom_limit = 1000;
/* Atoms that join many rings make the search for rings slow (8 s for three atoms with 150 bridges between
 * them), and beyond 127 neighbours RDKit loses count. Sandwich compounds have 10 or 12. */
constexpr unsigned degree_limit = 16;
constexpr unsigned morgan_radius = 2;

struct source {
    const char *file, *name;
    cm_error *error;
};

cm_status refuse(const source &from, const char *expected, const char *found) {
    cm_text place = cm_format("record %s", from.name ? from.name : "");
    return cm_fail(from.error, CM_DATA, from.file, from.name ? place.text : nullptr, expected, "%s", found);
}

using molecule = std::unique_ptr<RDKit::RWMol>;

molecule parse(const char *smiles, bool sanitise) {
    RDKit::SmilesParserParams how;
    how.allowCXSMILES = false;
    how.parseName = false;
    how.sanitize = sanitise;
    how.removeHs = sanitise;
    return molecule(RDKit::SmilesToMol(smiles, how));
}

/* Limits that hold before RDKit sees the text: length, depth of '(' and '[', and one SMILES alone (names
 * and CXSMILES extensions begin with a blank). */
cm_status check_text(const char *smiles, const source &from) {
    size_t length = strnlen(smiles, length_limit + 1);
    if (length == 0) return refuse(from, "a SMILES", "none (it is empty)");
    if (length > length_limit) return refuse(from, "a SMILES of at most 5000 characters", "a longer one");
    int depth = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)smiles[i];
        if (byte <= ' ' || byte > '~')
            return refuse(from, "a SMILES alone, in printable ASCII without blanks",
                          cm_format("'%c' at position %zu", smiles[i], i + 1).text);
        depth += (byte == '(' || byte == '[') - (byte == ')' || byte == ']');
        if (depth > nesting_limit) return refuse(from, "brackets at most 200 deep", "deeper ones");
    }
    return CM_OK;
}

/* Limits on the graph, before the costly steps: atoms, their neighbours, and every atom an element ('*'
 * stands for an open place: what binds is then not known). */
cm_status check_graph(const RDKit::RWMol &graph, const source &from) {
    if (graph.getNumAtoms() == 0) return refuse(from, "a molecule", "no atom");
    if (graph.getNumAtoms() > atom_limit)
        return refuse(from, "at most 1000 atoms", cm_format("%u atoms", graph.getNumAtoms()).text);
    for (const RDKit::Atom *atom : graph.atoms()) {
        if (atom->getAtomicNum() == 0)
            return refuse(from, "elements only", "an atom without element ('*' or an R group)");
        if (atom->getDegree() > degree_limit)
            return refuse(from, "at most 16 neighbours of an atom",
                          cm_format("atom %u with %u", atom->getIdx() + 1, atom->getDegree()).text);
    }
    return CM_OK;
}

cm_status unreadable(const char *smiles, const source &from) {
    return refuse(from, "a SMILES that RDKit can read",
                  cm_format("'%.60s%s'", smiles, std::strlen(smiles) > 60 ? "..." : "").text);
}

/* The sanitised molecule of a SMILES that keeps all limits. */
cm_status read_molecule(const char *smiles, molecule &checked, const source &from) {
    CM_TRY(check_text(smiles, from));
    molecule graph = parse(smiles, false);
    if (!graph) return unreadable(smiles, from);
    CM_TRY(check_graph(*graph, from));
    checked = parse(smiles, true);
    if (!checked) return unreadable(smiles, from);
    if (checked->getNumAtoms() == 0) return refuse(from, "a molecule", "no atom");
    return CM_OK;
}

cm_status canonical(const char *smiles, char *out, size_t size, const source &from) {
    molecule checked;
    CM_TRY(read_molecule(smiles, checked, from));
    if (out == nullptr) return CM_OK;
    std::string text = RDKit::MolToSmiles(*checked);
    if (text.size() >= size)
        return refuse(from, cm_format("a canonical SMILES below %zu characters", size).text,
                      cm_format("%zu", text.size()).text);
    std::memcpy(out, text.c_str(), text.size() + 1);
    return CM_OK;
}

cm_status morgan(const char *smiles, int64_t width, float *out, const source &from) {
    molecule mol = parse(smiles, true);
    if (!mol) return unreadable(smiles, from);
    std::unique_ptr<RDKit::SparseIntVect<std::uint32_t>> counts(
        RDKit::MorganFingerprints::getHashedFingerprint(*mol, morgan_radius, (unsigned)width));
    std::memset(out, 0, (size_t)width * sizeof *out);
    for (const auto &entry : counts->getNonzeroElements()) out[entry.first] = (float)std::log1p(entry.second);
    return CM_OK;
}

cm_status surroundings(const char *smiles, int64_t width, float *out, const source &from) {
    molecule mol;
    CM_TRY(read_molecule(smiles, mol, from));
    std::unique_ptr<RDKit::SparseIntVect<std::uint32_t>> counts(
        RDKit::MorganFingerprints::getHashedFingerprint(*mol, morgan_radius, (unsigned)width));
    std::memset(out, 0, (size_t)width * sizeof *out);
    for (const auto &entry : counts->getNonzeroElements()) out[entry.first] = (float)entry.second;
    return CM_OK;
}

/* The column of a bond's order in the published tables; -1: it has none. */
int bond_order(RDKit::Bond::BondType type) {
    switch (type) {
    case RDKit::Bond::SINGLE:
        return 0;
    case RDKit::Bond::DOUBLE:
        return 1;
    case RDKit::Bond::TRIPLE:
        return 2;
    case RDKit::Bond::AROMATIC:
        return 3;
    default:
        return -1;
    }
}

int bond_direction(RDKit::Bond::BondDir direction) {
    return direction == RDKit::Bond::ENDUPRIGHT ? 1 : direction == RDKit::Bond::ENDDOWNRIGHT ? 2 : 0;
}

void fill_atoms(cm_chem_graph &graph, const RDKit::RWMol &mol) {
    for (const RDKit::Atom *atom : mol.atoms()) {
        int tag = (int)atom->getChiralTag();
        graph.number[atom->getIdx()] = atom->getAtomicNum();
        graph.chirality[atom->getIdx()] = tag < 3 ? tag : 3;
    }
}

cm_status fill_bonds(cm_chem_graph &graph, const RDKit::RWMol &mol, const source &from) {
    for (const RDKit::Bond *bond : mol.bonds()) {
        int order = bond_order(bond->getBondType());
        if (order < 0)
            return refuse(from, "single, double, triple and aromatic bonds only",
                          cm_format("another between atoms %u and %u", bond->getBeginAtomIdx() + 1,
                                    bond->getEndAtomIdx() + 1)
                              .text);
        for (unsigned way = 0; way < 2; way++) {
            size_t e = (size_t)bond->getIdx() * 2 + way;
            graph.from[e] = (int32_t)(way ? bond->getEndAtomIdx() : bond->getBeginAtomIdx());
            graph.to[e] = (int32_t)(way ? bond->getBeginAtomIdx() : bond->getEndAtomIdx());
            graph.bond[e] = order;
            graph.direction[e] = bond_direction(bond->getBondDir());
        }
    }
    return CM_OK;
}

cm_status make_graph(cm_chem_graph &graph, const char *smiles, const source &from) {
    molecule mol;
    CM_TRY(read_molecule(smiles, mol, from));
    size_t atoms = mol->getNumAtoms(), edges = (size_t)mol->getNumBonds() * 2;
    auto *block = static_cast<int32_t *>(cm_new(2 * atoms + 4 * edges, sizeof(int32_t)));
    if (block == nullptr) return cm_fail_memory(from.error, (2 * atoms + 4 * edges) * sizeof(int32_t));
    graph.n_atoms = (int64_t)atoms;
    graph.n_edges = (int64_t)edges;
    graph.number = block;
    graph.chirality = block + atoms;
    graph.from = graph.chirality + atoms;
    graph.to = graph.from + edges;
    graph.bond = graph.to + edges;
    graph.direction = graph.bond + edges;
    fill_atoms(graph, *mol);
    return fill_bonds(graph, *mol, from);
}

/* Runs body and turns whatever it throws into the error record. */
template <typename Body> cm_status guarded(const source &from, Body body) {
    try {
        return body();
    } catch (const std::bad_alloc &) {
        return cm_fail_memory(from.error, 0);
    } catch (const std::exception &thrown) {
        auto found = cm_format("%s", thrown.what());
        std::replace(found.text, found.text + std::strlen(found.text), '\n', ' ');
        return refuse(from, "a molecule that RDKit accepts", found.text);
    } catch (...) {
        return refuse(from, "a molecule that RDKit accepts", "one that it refuses");
    }
}

} // namespace

const char *cm_chem_version(void) {
    return RDKit::rdkitVersion;
}

cm_status cm_chem_canonical(const char *smiles, char *out, size_t size, const char *file, const char *name,
                            cm_error *error) {
    source from = {file, name, error};
    return guarded(from, [&] { return canonical(smiles, out, size, from); });
}

cm_status cm_chem_morgan(const char *smiles, int64_t width, float *out, cm_error *error) {
    source from = {nullptr, nullptr, error};
    return guarded(from, [&] { return morgan(smiles, width, out, from); });
}

cm_status cm_chem_surroundings(const char *smiles, int64_t width, float *out, cm_error *error) {
    source from = {nullptr, nullptr, error};
    return guarded(from, [&] { return surroundings(smiles, width, out, from); });
}

cm_status cm_chem_graph_make(cm_chem_graph *graph, const char *smiles, cm_error *error) {
    source from = {nullptr, nullptr, error};
    *graph = cm_chem_graph{};
    cm_status status = guarded(from, [&] { return make_graph(*graph, smiles, from); });
    if (status != CM_OK) cm_chem_graph_clear(graph);
    return status;
}

void cm_chem_graph_clear(cm_chem_graph *graph) {
    cm_free(graph->number);
    *graph = cm_chem_graph{};
}
