#!/bin/sh
# Predictions with the three shipped models on well-known sequences: examples/demo.sh PROGRAM
set -eu
program=$1
show() { # title, then the arguments of crossmamba
  echo
  echo "== $1"
  shift
  echo "\$ crossmamba $*"
  "$program" "$@" --quiet
}
show "RNA and protein: probability of interaction, all against all" \
  predict --model rna-protein --a examples/rna.fasta --b examples/protein.fasta
show "RNA and small molecule: affinity (pKd)" \
  predict --model rna-molecule --a examples/aptamer.fasta --b examples/molecules.tsv
show "miRNA and long RNA: probability of interaction" \
  predict --model rna-rna --a examples/mirna.fasta --b examples/lncrna.fasta
echo
echo "These scores come from small models; docs/results.md says how far to trust them."
