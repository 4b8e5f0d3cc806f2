#!/bin/sh
# Line coverage of src/ by the tests, in a build folder of its own.
set -eu
build=$1
test -f "$build/build.ninja" || meson setup "$build" --buildtype=debug -Db_coverage=true -Dc_args=-fprofile-update=atomic -Dcpp_args=-fprofile-update=atomic
sh tools/check.sh "$build"
mkdir -p "$build/html"
gcovr --root . --filter src/ --object-directory "$build" --exclude-throw-branches --print-summary --html-details "$build/html/index.html" --txt "$build/coverage.txt" "$build"
cat "$build/coverage.txt"
