#!/bin/sh
# Fuzzing with libFuzzer: fuzz.sh FOLDER SECONDS [TARGET ...] runs each target for SECONDS in its build FOLDER and
# prints executions, executions per second and the size of the corpus, which stays in FOLDER/corpus and grows from
# run to run. JOBS=N runs N processes of a target at a time [1]; with RUNS=N each ends after N executions; an input may
# take LIMIT seconds [10] of wall time. SANITIZE=none builds without sanitizers and without following comparisons,
# which is several times faster, in FOLDER-fast. A finding is kept in FOLDER/findings and fails the run.
set -eu
folder=$1
seconds=$2
shift 2
source=$(cd "$(dirname "$0")/.." && pwd)
how="--buildtype=debugoptimized -Doptimization=1 -Db_sanitize=${SANITIZE-address,undefined}"
if [ "${SANITIZE-}" = none ]; then
  how="--buildtype=release -Dc_args=-fno-sanitize-coverage=trace-cmp"
  folder=$folder-fast
fi
# shellcheck disable=SC2086
[ -f "$folder/build.ninja" ] || CC=clang CXX=clang++ meson setup "$folder" "$source" -Dfuzz=true -Dwerror=false $how >/dev/null
[ $# -gt 0 ] || set -- $(sed -n "s/^  '\([a-z]*\)': [0-9]*,$/\1/p" "$source/fuzz/meson.build")
for target in "$@"; do echo "fuzz/fuzz_$target"; done | xargs ninja -C "$folder" >"$folder/ninja.log" ||
  { tail -20 "$folder/ninja.log"; exit 1; }
mkdir -p "$folder/findings"
python3 "$source/fuzz/make_seeds.py" "$source" "${PROGRAM:-$source/build/src/cli/crossmamba}" "$folder/seeds"
status=0

run() { # target, number of the process
  # shellcheck disable=SC2086
  "$folder/fuzz/fuzz_$1" -max_total_time="$seconds" -runs="${RUNS:--1}" -max_len="$longest" -timeout="${LIMIT:-10}" \
    -report_slow_units="${LIMIT:-10}" -rss_limit_mb=2048 -reload=0 -dict="$source/fuzz/dictionaries/$1.dict" \
    -artifact_prefix="$folder/findings/$1-" -print_final_stats=1 "$folder/corpus/$1" "$folder/seeds/$1" $found \
    >"$folder/$1.$2.log" 2>&1
}

printf 'target\texecutions\tper second\tcorpus\tcovered edges\tpeak MB\n'
for target in "$@"; do
  longest=$(sed -n "s/^  '$target': \([0-9]*\),$/\1/p" "$source/fuzz/meson.build")
  found=
  [ -d "$source/fuzz/found/$target" ] && found=$source/fuzz/found/$target
  mkdir -p "$folder/corpus/$target"
  rm -f "$folder/$target".*.log
  processes=
  for job in $(seq "${JOBS:-1}"); do
    run "$target" "$job" &
    processes="$processes $!"
  done
  for process in $processes; do wait "$process" || status=1; done
  awk -v target="$target" -v corpus="$(ls "$folder/corpus/$target" | wc -l)" '/number_of_executed_units/ { runs += $2 }
    /average_exec_per_sec/ { rate += $2 } /peak_rss_mb/ && $2 > memory { memory = $2 } / cov: / && $4 > cover { cover = $4 }
    END { printf "%s\t%d\t%d\t%d\t%d\t%d\n", target, runs, rate, corpus, cover, memory }' "$folder/$target".*.log
done
for finding in "$folder"/findings/*; do
  [ ! -e "$finding" ] || { echo "finding: $finding"; status=1; }
done
exit $status
