"""Writes text files as C arrays: embed_text.py OUT.c NAME=FILE ...; each array ends with NUL."""
import sys

with open(sys.argv[1], "w", encoding="ascii") as out:
    out.write('/* Made from the files of src/eval/report/. */\n#include "eval/report_page.h"\n')
    for pair in sys.argv[2:]:
        name, path = pair.split("=", 1)
        with open(path, "rb") as file:
            data = file.read() + b"\0"
        lines = (",".join(str(b - 256 if b > 127 else b) for b in data[i : i + 24]) for i in range(0, len(data), 24))
        out.write(f"const char {name}[] = {{\n" + ",\n".join(lines) + "};\n")
