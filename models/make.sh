#!/bin/sh
# Trains the shipped models: models/make.sh PROGRAM DATA OUT. The same data and machine type give the same
# bits. Each card carries the cross-validation of the same recipe.
set -eu
program=$1 data=$2 out=$3
[ -d "$data" ] || { echo "no data sets at '$data': give DATA=FOLDER (datasets/README.md)" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

settings="--dim 64 --batch 64 --learning-rate 2e-3 --epochs 100 --patience 15"

recipe() { # name, task, predictor, what to compare, licence, then the options that evaluation and training share
  name=$1 task=$2 predictor=$3 compare=$4 licence=$5
  shift 5
  "$program" eval --task "$task" "$@" --compare "$compare" --folds 5 --out "$work/$name.tsv"
  "$program" train --task "$task" "$@" --predictor "$predictor" --licence "$licence" --evaluation "$work/$name.tsv" \
    --model "$out/$name.safetensors" --force
}

recipe rna-protein rna-protein kernel kernel,stack:crossmamba/kernel,crossmamba,id-only \
  "trained on RPI1807 and RPI2241 (distributed under MIT by RPITER); model Apache-2.0" \
  --a "$data/rpi1807/rna.fasta" --b "$data/rpi1807/protein.fasta" --pairs "$data/rpi1807/pairs.tsv" \
  --a "$data/rpi2241/rna.fasta" --b "$data/rpi2241/protein.fasta" --pairs "$data/rpi2241/pairs.tsv" \
  --bad-records skip $settings
recipe rna-molecule rna-molecule mean:network/kernel/boosting mean:crossmamba/kernel/boosting,crossmamba,kernel,boosting,id-only \
  "trained on R-SIM (distributed under MIT by RSAPred); model Apache-2.0" \
  --a "$data/rsim/rna.fasta" --b "$data/rsim/molecules.tsv" --pairs "$data/rsim/pairs.tsv" \
  --bad-records skip $settings
recipe rna-rna rna-rna kernel kernel,crossmamba,id-only \
  "trained on the human miRNA-lncRNA pairs of ncRNAInter (MIT); model Apache-2.0" \
  --a "$data/human_mlnc/rna.fasta" --pairs "$data/human_mlnc/pairs.tsv" \
  --pair-encoder none $settings
