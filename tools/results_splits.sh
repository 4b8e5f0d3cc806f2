#!/bin/sh
# Makes docs/splits.md: tools/results_splits.sh PROGRAM DATA. Finished trainings are kept in build-results/, so an interrupted
# run continues.
set -eu
program=$1 data=$2 work=build-results page=docs/splits.md
[ -d "$data" ] || { echo "no data sets at '$data': give DATA=FOLDER (datasets/README.md)" >&2; exit 1; }
mkdir -p "$work"
models=crossmamba,mlp,kernel,neighbour,composition,id-only
settings="--dim 64 --layers 2 --batch 64 --learning-rate 2e-3 --epochs 100 --patience 15 --layout pooled"

evaluate() { # set, then the arguments of crossmamba eval
  set_name=$1
  shift
  for split in stratified:5 cold-a:5 cold-b:5 cold-both:3 cluster-both:3; do
    out="$work/split-$set_name.${split%:*}.tsv"
    [ -f "$out" ] && continue
    echo "== $set_name, ${split%:*}" >&2
    # shellcheck disable=SC2086
    "$program" eval $settings "$@" --split "${split%:*}" --folds "${split#*:}" --bad-records skip --compare $models \
      --checkpoint "$work/units" --out "$out"
  done
}

evaluate rsim --task rna-molecule --a "$data/rsim/rna.fasta" --b "$data/rsim/molecules.tsv" --pairs "$data/rsim/pairs.tsv"
evaluate rpi1460 --task rna-protein --a "$data/rpi1460/rna.fasta" --b "$data/rpi1460/protein.fasta" --pairs "$data/rpi1460/pairs.tsv"

awk -v settings="$settings" -f tools/results_splits.awk "$work"/split-*.tsv > "$page.tmp"
mv "$page.tmp" "$page"
echo "$page written" >&2
