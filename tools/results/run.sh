#!/bin/sh
# Makes docs/results.md: tools/results/run.sh PROGRAM DATA [SET...]. The evaluations are the rows of runs.tsv, the data sets
# those of sets.tsv; given SETs, only theirs. Every finished training and table is kept in build-results/, so an
# interrupted run continues; delete that folder to begin again.
set -eu
program=$1 D=$2 W=build-results here=tools/results page=docs/results.md
shift 2
only=" $* "
[ -d "$D" ] || { echo "no data sets at '$D': give DATA=FOLDER (datasets/README.md)" >&2; exit 1; }
mkdir -p "$W/tables"
networks=crossmamba,mlp,bilinear,gated,gated-static
plain=$networks,kernel,trees,neighbour,composition,length,id-only
memory=kernel+memory,neighbour+memory,presence
joined=crossmamba,kernel,boosting,mean:kernel/boosting,mean:crossmamba/kernel/boosting
settings="--dim 64 --layers 2 --batch 64 --learning-rate 2e-3 --epochs 100 --patience 15 --calibration platt"

# R-SIM's folds with both molecules new list only what they test, PRA310 has one column a fold: one column for both
awk -F '\t' -v OFS='\t' 'NR == FNR { if (FNR > 1) fold[$5] = $4; next }
  FNR == 1 { print $0, "fold"; next } { print $0, ($5 in fold) ? fold[$5] : "-" }' \
  "$D/rsim/blind_rm.tsv" "$D/rsim/pairs.tsv" > "$W/rsim_blind_rm.tsv"
awk -F '\t' -v OFS='\t' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i ~ /^fold_/) column[i] = $i; print $0, "fold"; next }
  { for (i in column) if ($i == "val") own = column[i]; print $0, own }' "$D/pra310/pairs.tsv" > "$W/pra310.tsv"

# real embeddings and weights of language models; what needs them waits until they are there
CROSSMAMBA_CHECKPOINTS=$W/checkpoints CROSSMAMBA_STORE=$W/store
export CROSSMAMBA_CHECKPOINTS CROSSMAMBA_STORE
pretrained=0
if [ -d "$D/weights" ] && [ -d "$D/embeddings" ]; then
  pretrained=1
  for name in rnabert_RNABERT pretraingnns_chem_gcn_contextpred; do
    [ -d "$W/checkpoints/$name" ] || "$program" models import "$D/weights/$name.pth"
  done
  [ -f "$W/rnafm.done" ] || {
    "$program" store import "$D/embeddings/rnafm_rsim.safetensors" --a "$D/rsim/rna.fasta" --type rna --name rnafm-rsim --truncated
    : > "$W/rnafm.done"
  }
fi

file_of() { echo "$W/tables/$(echo "$1@$2@$3" | tr ' ' '_' | tr -d ',:').tsv"; } # set, column, models
wanted() { # set, options
  case "$1" in '#'*) return 1 ;; esac
  case "$2" in *stored:* | *molgraph:* | *rnabert:*) [ "$pretrained" = 1 ] || return 1 ;; esac
  case "$only" in "  " | *" $1 "*) return 0 ;; esac
  return 1
}

# what is to be done, one line each: its table and the arguments of its evaluation. Kinds of models one after the other, as
# an evaluation takes finished trainings of others and two at a time must not make the same; large sets, the last ones, first
tab=$(printf '\t')
: > "$W/todo"
while IFS=$tab read -r set_name column models options; do
  wanted "$set_name" "$options" || continue
  out=$(file_of "$set_name" "$column" "$models")
  [ -f "$out" ] && continue
  common=$(awk -F '\t' -v set="$set_name" '$1 == set { print $5 }' "$here/sets.tsv")
  case "$models" in
    plain) compare=$plain rank=1 ;;
    networks) compare=$networks rank=2 ;;
    joined) compare=$joined rank=3 ;;
    *) compare=$memory rank=4 ;;
  esac
  arguments=$(printf '%s' "$settings $common $options" | sed "s|\$D|$D|g; s|\$W|$W|g")
  echo "$rank $program eval $arguments --compare $compare --checkpoint $W/units --out $out" >> "$W/todo"
done < "$here/runs.tsv"
tac "$W/todo" | sort -s -n -k 1,1 | sed 's/^[0-9] //' > "$W/todo.sorted"
mv "$W/todo.sorted" "$W/todo"

# as many at a time as there are cores, with one thread each: small networks use a second one badly
total=$(wc -l < "$W/todo") begun=$(date +%s)
rm -rf "$W/left" && mkdir "$W/left"
touch "$W/seconds.tsv"
export total begun W
xargs -P "$(nproc)" -I '{}' sh -c '
  set -eu
  out=${1##*--out }
  name=$(basename "$out" .tsv)
  $1 --threads 1 --quiet 2> "$W/left/$name.log" || { echo "== failed: $name" >&2; cat "$W/left/$name.log" >&2; exit 1; }
  rm "$W/left/$name.log"
  times > "$W/left/$name.times" # the second line is the processor time of the evaluation
  awk -v name="$name" "NR == 2 { gsub(/[ms]/, \" \"); print name \"\\t\" 60 * (\$1 + \$3) + \$2 + \$4 }" "$W/left/$name.times" >> "$W/seconds.tsv"
  : > "$W/left/$name.done"
  finished=$(ls "$W/left" | grep -c "done$")
  minutes=$(((total - finished) * ($(date +%s) - begun) / finished / 60 + 1))
  echo "== $finished of $total: $name, about $minutes min left" >&2
' sh '{}' < "$W/todo" || { echo "== the page was not written: $(ls "$W/left" | grep -c 'log$') evaluations failed" >&2; exit 1; }

awk -v settings="$settings" -f "$here/page.awk" "$here/sets.tsv" "$here/runs.tsv" "$here/targets.tsv" "$W"/tables/*.tsv > "$page.tmp"
mv "$page.tmp" "$page"
awk '{ sum += $2 } END { if (NR) printf "%d evaluations took %.1f hours of one core\n", NR, sum / 3600 }' "$W/seconds.tsv" >&2
echo "$page written" >&2
