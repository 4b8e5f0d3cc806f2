#!/bin/sh
# Speed of the fusion network against PyTorch in one run: bench/compare.sh BUILD [repeats]. Needs a Python with torch
# (PYTHON=...; bench/README.md). Prints one line a case: ours, the fastest eager PyTorch
# variant, and the fastest when torch.compile is allowed, with the ratios; then the scan, the matrix products, and the
# targets with what was measured.
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
  file == 2 {
    if (!($1 in peer) || $3 < peer[$1]) { peer[$1] = $3; variant[$1] = $2 }
    if ($2 !~ /compile/ && (!($1 in plain) || $3 < plain[$1])) { plain[$1] = $3; plain_variant[$1] = $2 }
    next
  }
  { if (!($1 in ours)) order[++n] = $1; if (file == 1) ours[$1] = $3; else ours[$1] = (ours[$1] + $3) / 2 }
  END {
    printf "%-16s %9s  %-12s %9s %6s  %-20s %9s %6s\n", "case", "ours ms", "eager", "ms", "ratio", "compiled allowed", "ms", "ratio"
    for (i = 1; i <= n; i++) {
      c = order[i]
      printf "%-16s %9.2f", c, ours[c]
      if (c in peer) printf "  %-12s %9.2f %6.2f  %-20s %9.2f %6.2f", plain_variant[c], plain[c], plain[c] / ours[c], variant[c], peer[c], peer[c] / ours[c]
      printf "\n"
    }
  }' "$work/ours.tsv" "$work/peer.tsv" "$work/again.tsv"
echo
"$build/bench/bench_scan" | tee "$work/scan.tsv"
echo
"$build/bench/bench_gemm" step | tee "$work/gemm.tsv"
echo
awk -f bench/targets.awk "$work/ours.tsv" "$work/peer.tsv" "$work/again.tsv" "$work/scan.tsv" "$work/gemm.tsv"
