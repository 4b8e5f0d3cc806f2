#!/bin/sh
# Tests of the readers, metrics and checkpoints and the replays of the fuzz targets under valgrind: valgrind.sh BUILD [NAME ...]
# Fails at an invalid access, a use of an undefined value or a block that is definitely lost. valgrind does not know AVX-512.
set -eu
build=$1
shift
[ $# -gt 0 ] || set -- test_buf test_map test_file test_json test_safetensors test_table test_fasta test_npy test_torch_file \
  test_weights test_metrics test_calibrate test_adamw fuzz_safetensors fuzz_torch fuzz_npy fuzz_config fuzz_fasta fuzz_table \
  fuzz_tokenizer fuzz_model
export CROSSMAMBA_CPU=avx2 CROSSMAMBA_SLOW=1
CROSSMAMBA_SOURCE=$(cd "$(dirname "$0")/.." && pwd)
export CROSSMAMBA_SOURCE
status=0
for name in "$@"; do
  program=$build/tests/$name
  seeds=
  case $name in fuzz_*) program=$build/fuzz/$name seeds=$build/fuzz/seeds/${name#fuzz_} ;; esac
  # shellcheck disable=SC2086
  if valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite --trace-children=no \
    "$program" $seeds >"$build/valgrind.$name.log" 2>&1; then
    echo "$name: clean"
  else
    echo "$name: see $build/valgrind.$name.log"
    status=1
  fi
done
exit $status
