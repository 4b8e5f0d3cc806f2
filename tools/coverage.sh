#!/bin/sh
# Coverage of src/ by the tests, in a build folder of its own. The tests that kill the program run apart: a program
# that is killed while it writes its counts spoils them, and those of all that come after it.
set -eu
build=$1
test -f "$build/build.ninja" || meson setup "$build" --buildtype=debug -Db_coverage=true -Dc_args=-fprofile-update=atomic -Dcpp_args=-fprofile-update=atomic
ninja -C "$build"
find "$build" -name '*.gcda' -delete
export GCOV_ERROR_FILE=/dev/null
[ -n "${CROSSMAMBA_DATA:-}" ] || unset CROSSMAMBA_DATA # tests that need data are skipped by name
GCOV_PREFIX="$(realpath "$build")/killed" meson test -C "$build" --no-rebuild --print-errorlogs --timeout-multiplier 10 --suite kills
meson test -C "$build" --no-rebuild --print-errorlogs --timeout-multiplier 10 --no-suite kills
mkdir -p "$build/html"
gcovr --root . --filter src/ --object-directory "$build" --gcov-ignore-parse-errors --exclude-throw-branches --print-summary --html-details "$build/html/index.html" --txt "$build/coverage.txt" --json "$build/coverage.json" "$build"
cat "$build/coverage.txt"
python3 tools/coverage.py "$build/coverage.json" src/io/ src/train/checkpoint.c src/
