#!/bin/sh
# Builds and runs the tests of a build folder and ends with one line of counts.
set -eu
build=$1
ninja -C "$build"
if [ -z "${CROSSMAMBA_DATA:-}" ]; then
  unset CROSSMAMBA_DATA
  echo "note: no data sets found (DATA=...): the tests that need them are skipped by name"
fi
# sanitizers and coverage slow the tests down: longer limits
slack=1
if grep -qE -e '-fsanitize=|--coverage' "$build/build.ninja"; then slack=10; fi
status=0
meson test -C "$build" --no-rebuild --print-errorlogs --timeout-multiplier "$slack" || status=$?
python3 - "$build/meson-logs/testlog.json" <<'P'
import collections, json, sys
results = collections.Counter(json.loads(line)["result"] for line in open(sys.argv[1]))
passed = results.pop("OK", 0) + results.pop("EXPECTEDFAIL", 0)
skipped = results.pop("SKIP", 0)
print(f"{passed} passed, {sum(results.values())} failed, {skipped} skipped")
P
exit $status
