#!/bin/sh
# Fuzzing with libFuzzer: fuzz.sh FOLDER SECONDS [TARGET ...] runs each target for SECONDS in its build FOLDER and
# prints executions, executions per second and the size of the corpus, which stays in FOLDER/corpus and grows from
# run to run. With RUNS=N a target ends after N executions; an input may take LIMIT seconds [10] of wall time. A
# finding is kept in FOLDER/findings and fails the run.
set -eu
folder=$1
seconds=$2
shift 2
source=$(cd "$(dirname "$0")/.." && pwd)
[ -f "$folder/build.ninja" ] || CC=clang CXX=clang++ meson setup "$folder" "$source" -Dfuzz=true -Dwerror=false \
  --buildtype=debugoptimized -Doptimization=1 -Db_sanitize="${SANITIZE-address,undefined}" >/dev/null
[ $# -gt 0 ] || set -- $(sed -n "s/^  '\([a-z]*\)': [0-9]*,$/\1/p" "$source/fuzz/meson.build")
for target in "$@"; do echo "fuzz/fuzz_$target"; done | xargs ninja -C "$folder" >"$folder/ninja.log" ||
  { tail -20 "$folder/ninja.log"; exit 1; }
mkdir -p "$folder/findings"
python3 "$source/fuzz/make_seeds.py" "$source" "${PROGRAM:-$source/build/src/cli/crossmamba}" "$folder/seeds"
status=0
printf 'target\texecutions\tper second\tcorpus\tcovered edges\tpeak MB\n'
for target in "$@"; do
  longest=$(sed -n "s/^  '$target': \([0-9]*\),$/\1/p" "$source/fuzz/meson.build")
  found=
  [ -d "$source/fuzz/found/$target" ] && found=$source/fuzz/found/$target
  mkdir -p "$folder/corpus/$target"
  # shellcheck disable=SC2086
  "$folder/fuzz/fuzz_$target" -max_total_time="$seconds" -runs="${RUNS:--1}" -max_len="$longest" -timeout="${LIMIT:-10}" -report_slow_units="${LIMIT:-10}" -rss_limit_mb=2048 \
    -dict="$source/fuzz/dictionaries/$target.dict" -artifact_prefix="$folder/findings/$target-" -print_final_stats=1 \
    "$folder/corpus/$target" "$folder/seeds/$target" $found >"$folder/$target.log" 2>&1 || status=1
  awk -v target="$target" -v corpus="$(ls "$folder/corpus/$target" | wc -l)" '/number_of_executed_units/ { runs = $2 }
    /average_exec_per_sec/ { rate = $2 } /peak_rss_mb/ { memory = $2 } / cov: / { cover = $4 }
    END { printf "%s\t%d\t%d\t%d\t%d\t%d\n", target, runs, rate, corpus, cover, memory }' "$folder/$target.log"
done
for finding in "$folder"/findings/*; do
  [ ! -e "$finding" ] || { echo "finding: $finding"; status=1; }
done
exit $status
