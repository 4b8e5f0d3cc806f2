#!/bin/sh
# Speed of the fusion network against PyTorch in one run: bench/compare.sh BUILD [repeats]. Needs a Python with torch
# (PYTHON=...; bench/README.md). Prints one line a case: the fastest PyTorch variant, ours, the ratio.
set -eu
build=$1 repeats=${2:-50} python=${PYTHON:-python3}
"$python" -c 'import torch' 2>/dev/null || { echo "bench: no torch in '$python': set PYTHON (bench/README.md)" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$build/bench/bench_net" --repeats "$repeats" > "$work/ours.tsv"
"$python" bench/peer_torch.py > "$work/peer.tsv"
"$build/bench/bench_net" --repeats "$repeats" > "$work/again.tsv"
awk -F '\t' '
  FNR == 1 { file++; next }
  file == 2 { if (!($1 in peer) || $3 < peer[$1]) { peer[$1] = $3; variant[$1] = $2 } next }
  { if (!($1 in ours)) order[++n] = $1; if (!($1 in ours) || file == 1) ours[$1] = $3; else ours[$1] = (ours[$1] + $3) / 2 }
  END {
    printf "%-16s %-34s %12s %12s %8s\n", "case", "fastest PyTorch variant", "PyTorch ms", "ours ms", "ratio"
    for (i = 1; i <= n; i++) {
      c = order[i]
      if (c in peer) printf "%-16s %-34s %12.2f %12.2f %8.2f\n", c, variant[c], peer[c], ours[c], peer[c] / ours[c]
      else printf "%-16s %-34s %12s %12.2f %8s\n", c, "(not run)", "-", ours[c], "-"
    }
  }' "$work/ours.tsv" "$work/peer.tsv" "$work/again.tsv"
echo
"$build/bench/bench_scan"
echo
"$build/bench/bench_gemm"
