#!/usr/bin/env python3
"""Writes src/bio/unicode_table.c from Python's unicodedata: letters, numbers and the characters
whose upper case is several characters or ASCII. python3 tools/make_unicode.py > src/bio/unicode_table.c
"""
import unicodedata


def ranges(kind):
    found = []
    for code in range(0x110000):
        if unicodedata.category(chr(code))[0] != kind:
            continue
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def uppers():
    """Code points from 0x80 whose upper case has ASCII letters or more than one character."""
    for code in range(0x80, 0x110000):
        upper = chr(code).upper()
        if len(upper) > 1 or upper.isascii():
            letters = [f"'{c}'" if c.isascii() else "0" for c in upper] + ["0"] * 3
            yield f"{{0x{code:x}, {len(upper)}, {{{', '.join(letters[:3])}}}}}"


def table(name, items):
    rows, row = [], "   "
    for item in items:
        if len(row) + len(item) > 105:
            rows.append(row)
            row = "   "
        row += " " + item + ","
    rows.append(row.rstrip(","))
    print(f"{name} = {{\n" + "\n".join(rows) + "};\n")


print("/* Made by tools/make_unicode.py from Unicode", unicodedata.unidata_version + "; not edited by hand. */")
print("/* clang-format off */")
print('#include "bio/unicode.h"\n')
for kind, name in (("L", "letters"), ("N", "numbers")):
    found = ranges(kind)
    print(f"const size_t cm_unicode_{name}_count = {len(found)};")
    table(f"const cm_unicode_range cm_unicode_{name}[]", [f"{{0x{a:x}, 0x{b:x}}}" for a, b in found])
found = list(uppers())
print(f"const size_t cm_unicode_uppers_count = {len(found)};")
table("const cm_unicode_upper cm_unicode_uppers[]", found)
