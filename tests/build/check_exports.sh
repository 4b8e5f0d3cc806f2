#!/bin/sh
# Fails unless the shared library exports exactly the functions that include/crossmamba declares:
# check_exports.sh LIBRARY SOURCE_FOLDER. C++ symbols (templates of the standard library) are left out.
set -eu
library=$1 root=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sed -e 's#/\*.*\*/##' -e '/\/\*/,/\*\//d' "$root"/include/crossmamba/*.h | grep -o '\<cm_[a-z0-9_]*(' | tr -d '(' | LC_ALL=C sort -u > "$folder/declared"
nm -D --defined-only "$library" | awk '$3 ~ /^cm_/ { print $3 }' | LC_ALL=C sort -u > "$folder/exported"
count=$(wc -l < "$folder/declared")
[ "$count" -ge 20 ] || { echo "cannot read the declarations of include/crossmamba"; exit 1; }
comm -13 "$folder/declared" "$folder/exported" | sed 's/$/: exported but not declared in include\/crossmamba/' > "$folder/bad"
comm -23 "$folder/declared" "$folder/exported" | sed 's/$/: declared in include\/crossmamba but not exported (CM_API)/' >> "$folder/bad"
if [ -s "$folder/bad" ]; then
  cat "$folder/bad"
  exit 1
fi
echo "exports: the $count declared functions and no other"
