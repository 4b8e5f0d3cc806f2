#!/bin/sh
# Makes docs/results.md: tools/results.sh PROGRAM DATA. Every finished training is kept in build-results/, so an
# interrupted run continues; delete that folder to begin again.
set -eu
program=$1 data=$2 work=build-results
[ -d "$data" ] || { echo "no data sets at '$data': give DATA=FOLDER (datasets/README.md)" >&2; exit 1; }
mkdir -p "$work"
models=crossmamba,mlp,bilinear,gated,gated-static,id-only
settings="--dim 64 --layers 2 --batch 64 --learning-rate 2e-3 --epochs 100 --patience 15 --calibration platt"
layouts="pooled windows:4"

evaluate() { # name, then the arguments of crossmamba eval
  name=$1
  shift
  for layout in $layouts; do
    out="$work/$name.$(echo "$layout" | tr -d ':').tsv"
    [ -f "$out" ] && continue
    echo "== $name, $layout" >&2
    # shellcheck disable=SC2086
    "$program" eval $settings "$@" --layout "$layout" --compare $models --checkpoint "$work/units" --out "$out"
  done
}

evaluate rpi1460-random --task rna-protein --a "$data/rpi1460/rna.fasta" --b "$data/rpi1460/protein.fasta" \
  --pairs "$data/rpi1460/pairs.tsv" --folds 10
evaluate rpi1460-sw --task rna-protein --a "$data/rpi1460/rna.fasta" --b "$data/rpi1460/protein.fasta" \
  --pairs "$data/rpi1460/pairs_swrandom.tsv" --folds 10
evaluate rpi1807 --task rna-protein --a "$data/rpi1807/rna.fasta" --b "$data/rpi1807/protein.fasta" \
  --pairs "$data/rpi1807/pairs.tsv" --folds 5
evaluate rpi1807-repeats --task rna-protein --a "$data/rpi1807/rna.fasta" --b "$data/rpi1807/protein.fasta" \
  --pairs "$data/rpi1807/pairs.tsv" --folds 5 --keep-duplicates
rsim="--task rna-molecule --a $data/rsim/rna.fasta --b $data/rsim/molecules.tsv --pairs $data/rsim/pairs.tsv --folds 10 --bad-records skip"
# shellcheck disable=SC2086
evaluate rsim-all $rsim
for subset in Aptamers miRNA Repeats Ribosomal Riboswitch Viral_RNA; do
  # shellcheck disable=SC2086
  evaluate "rsim-$subset" $rsim --subset "subset=$subset"
done
for species in ath gma mtr; do
  evaluate "plant-$species" --task rna-rna --a "$data/plant_mlnc/rna.fasta" --pairs "$data/plant_mlnc/pairs.tsv" \
    --fold-column species --train-fold $species --pair-encoder none --repeats 3
done
evaluate davis --task protein-molecule --a "$data/dti_davis/protein.fasta" --b "$data/dti_davis/molecules.tsv" \
  --pairs "$data/dti_davis/pairs.tsv" --fold-column fold --test-fold test --repeats 3 --keep-duplicates --epochs 20 --patience 5

awk -v settings="$settings" -f tools/results.awk "$work"/*.tsv > docs/results.md.tmp
mv docs/results.md.tmp docs/results.md
echo "docs/results.md written" >&2
sh tools/results_pretrained.sh "$program" "$data"
sh tools/results_splits.sh "$program" "$data"
