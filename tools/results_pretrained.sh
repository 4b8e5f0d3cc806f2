#!/bin/sh
# The section "Pretrained encoders" of docs/results.md: tools/results_pretrained.sh PROGRAM DATA. Embeddings made elsewhere
# and checkpoints come from DATA/embeddings and DATA/weights; finished trainings are kept in build-results/.
set -eu
program=$1 data=$2 work=build-results page=docs/results.md
[ -d "$data/weights" ] || { echo "no weights at '$data/weights': the section 'Pretrained encoders' stays" >&2; exit 0; }
mkdir -p "$work"
CROSSMAMBA_CHECKPOINTS=$work/checkpoints CROSSMAMBA_STORE=$work/store
export CROSSMAMBA_CHECKPOINTS CROSSMAMBA_STORE
settings="--dim 64 --layers 2 --batch 64 --learning-rate 2e-3 --epochs 100 --patience 15 --calibration platt --layout pooled"

for name in rnabert_RNABERT pretraingnns_chem_gcn_contextpred; do
  [ -d "$work/checkpoints/$name" ] || "$program" models import "$data/weights/$name.pth"
done
[ -f "$work/rnafm.done" ] || {
  "$program" store import "$data/embeddings/rnafm_rsim.safetensors" --a "$data/rsim/rna.fasta" --type rna --name rnafm-rsim --truncated
  : > "$work/rnafm.done"
}

evaluate() { # name, then the arguments of crossmamba eval
  out="$work/$1.tsv"
  [ -f "$out" ] && return
  echo "== $1" >&2
  shift
  # shellcheck disable=SC2086
  "$program" eval $settings "$@" --compare crossmamba,mlp,id-only --checkpoint "$work/units" --out "$out"
}

rsim="--task rna-molecule --a $data/rsim/rna.fasta --b $data/rsim/molecules.tsv --pairs $data/rsim/pairs.tsv --folds 10 --bad-records skip"
rpi="--task rna-protein --a $data/rpi1460/rna.fasta --b $data/rpi1460/protein.fasta --pairs $data/rpi1460/pairs.tsv --folds 10"
plant="--task rna-rna --a $data/plant_mlnc/rna.fasta --pairs $data/plant_mlnc/pairs.tsv --fold-column species --train-fold ath --pair-encoder none"
gcn=molgraph:pretraingnns_chem_gcn_contextpred rnabert=rnabert:rnabert_RNABERT
# shellcheck disable=SC2086
{
  evaluate pre-rsim-builtin $rsim
  evaluate pre-rsim-rnafm $rsim --encoder-a stored:rnafm-rsim --encoder-b morgan
  evaluate pre-rsim-molgraph $rsim --encoder-a kmer --encoder-b $gcn
  evaluate pre-rsim-both $rsim --encoder-a stored:rnafm-rsim --encoder-b $gcn
  evaluate pre-rpi1460-builtin $rpi
  evaluate pre-rpi1460-rnabert $rpi --encoder-a $rnabert
  evaluate pre-plant-builtin $plant
  evaluate pre-plant-rnabert $plant --encoder-a $rnabert --encoder-b $rnabert
}

awk '/^## Pretrained encoders$/ { skip = 1; next } /^## / { skip = 0 } !skip' "$page" > "$page.tmp"
awk -v settings="$settings" -f tools/results_pretrained.awk "$work"/pre-*.tsv >> "$page.tmp"
mv "$page.tmp" "$page"
echo "$page: section 'Pretrained encoders' written" >&2
