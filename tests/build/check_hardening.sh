#!/bin/sh
# The program and the library are hardened: position independent, relocations read-only from the start (full RELRO,
# BIND_NOW), no executable stack, stack protector, and with "fortify" the checked functions of FORTIFY_SOURCE.
# usage: check_hardening.sh PROGRAM LIBRARY fortify|plain
set -eu
export LC_ALL=C
fail() {
  echo "$1: $2"
  exit 1
}
for file in "$1" "$2"; do
  readelf -hW "$file" | grep -q 'Type: *DYN' || fail "$file" "not position independent"
  readelf -lW "$file" | grep -q GNU_RELRO || fail "$file" "no RELRO"
  readelf -dW "$file" | grep -qE 'BIND_NOW|FLAGS_1.*NOW' || fail "$file" "symbols are bound late"
  readelf -lW "$file" | grep GNU_STACK | grep -q 'RW ' || fail "$file" "an executable stack"
  readelf -lW "$file" | grep LOAD | grep -q RWE && fail "$file" "a segment that can be written and run"
  readelf -dW "$file" | grep -q TEXTREL && fail "$file" "relocations in the code"
  readelf --dyn-syms -W "$file" | grep -q __stack_chk_fail || fail "$file" "no stack protector"
  [ "$3" != fortify ] || readelf --dyn-syms -W "$file" | grep -q '_chk@' || fail "$file" "no fortified functions"
done
readelf -dW "$1" | grep -q 'FLAGS_1.*PIE' || fail "$1" "not a position independent program"
echo "hardened: $1 $2"
