#!/bin/sh
# Fails when a file of src/<layer>/ includes a header of a later layer of the list in src/meson.build, or
# when src/cli/ includes anything but public headers and its own.
set -eu
root=$1
order=$(sed -n "/^layers = \[/,/\]/p" "$root/src/meson.build" | grep -o "'[a-z]*'" | tr -d "'" | tr '\n' ' ')
[ "$(echo $order | wc -w)" -ge 10 ] || { echo "cannot read the layer list of src/meson.build"; exit 1; }
bad=$(find "$root/src" -name '*.[ch]' -o -name '*.def' -o -name '*.cpp' | sort | xargs awk -v order="$order" -v root="$root/src/" '
  BEGIN { n = split(order, names, " "); for (i = 1; i <= n; i++) rank[names[i]] = i }
  /^[ \t]*#[ \t]*include[ \t]*"/ {
    own = substr(FILENAME, length(root) + 1); if (!sub(/\/.*/, "", own)) next
    header = $0; sub(/^[^"]*"/, "", header); sub(/".*/, "", header)
    target = header; if (!sub(/\/.*/, "", target)) { print FILENAME ": \"" header "\": write the layer in the path"; next }
    if (own == "cli" ? target != "cli" : !(target in rank) || rank[target] > rank[own])
      print FILENAME ": " own " must not include \"" header "\""
  }')
[ -z "$bad" ] || { echo "$bad"; exit 1; }
echo "layers: every include goes down ($order)"
