"""Line coverage of each parser by the seeds of its fuzz target, and by a corpus when there is one.

usage: fuzz_coverage.py BUILD_FOLDER SOURCE_FOLDER [CORPUS_FOLDER]

Builds the replay programs in BUILD_FOLDER with gcov, runs each over its own inputs alone and counts the lines of the
parser's files between two texts (the parts that write are no parsers). Ends with 1 when a parser stays below 90 %.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

BUILD, SOURCE = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
CORPUS = Path(sys.argv[3]).resolve() if len(sys.argv) > 3 else None
LEAST = 90.0

# target -> [(file, text where the parser begins or None, text where it ends or None)]
PARSERS = {
    "safetensors": [("src/io/safetensors.c", "---- reading ----", "---- writing ----")],
    "model": [("src/model/model_file.c", "---- reading ----", None), ("src/model/card.c", "static cm_status text_member", None),
              ("src/model/kernel_kind.c", "static cm_status finite_member", "static cm_status list_side"),
              ("src/model/boosting_kind.c", "static cm_status read_set", "---- tensors ----"), ("src/model/parts.c", "cm_status cm_parts_real", "---- tensors ----"),
              ("src/model/column_plan.c", "---- room and check ----", "---- features ----"),
              ("src/trees/boosting.c", "Children come after their parent", "---- scoring ----"),
              ("src/kernel/kernel_features.c", "---- vectors from code ----", "---- vectors of molecules ----"),
              ("src/kernel/count_code.c", "Adds the rest of a number", None)],
    "torch": [("src/io/torch_file.c", None, None), ("src/io/unpickle.c", None, None), ("src/io/unpickle_globals.c", None, None)],
    "npy": [("src/io/npy.c", None, "cm_status cm_npy_write"), ("src/io/npy_header.c", None, "static const char *descr_of")],
    "config": [("src/io/json.c", None, None), ("src/encoders/transformer_load.c", "---- config ----", None)],
    "fasta": [("src/io/fasta.c", None, None), ("src/io/stream.c", None, None), ("src/bio/sequence.c", None, None)],
    "table": [("src/io/table.c", None, None)],
    "smiles": [("src/bio/smiles.c", None, None), ("src/bio/chem.cpp", None, None)],
    "tokenizer": [("src/bio/tokenizer_files.c", None, None), ("src/bio/vocabulary.c", None, None), ("src/bio/tokenizer.c", None, None),
                  ("src/bio/bpe.c", None, None)],
    "checkpoint": [("src/train/checkpoint.c", "---- reading ----", "---- cleaning ----"), ("src/io/sealed.c", "static cm_status check_hash", None)],
    "report": [("src/eval/report_audit.c", None, "---- cards ----"),
               *((f"src/eval/report_{part}.c", None, None) for part in ("read", "summary", "record", "charts", "learning"))],
}


def part(file, begin, end):
    """The line numbers of the parser in file."""
    lines = (SOURCE / file).read_text().split("\n")
    at = {text: next((i for i, line in enumerate(lines, 1) if text in line), None) for text in (begin, end) if text}
    for text, line in at.items():
        if line is None:
            sys.exit(f"{file} has no '{text}' any more: mend PARSERS")
    return range(at.get(begin, 1), at.get(end, len(lines)) + 1)


def measured(target):
    """File -> {line: count} after the target ran over its inputs."""
    for old in BUILD.rglob("*.gcda"):
        old.unlink()
    inputs = [BUILD / "fuzz/seeds" / target, SOURCE / "fuzz/found" / target]
    if CORPUS:
        inputs.append(CORPUS / target)
    subprocess.run([BUILD / "fuzz" / f"fuzz_{target}", *[path for path in inputs if path.exists()]], check=True, stdout=subprocess.DEVNULL)
    files = {}
    wanted = {file.removeprefix("src/").replace("/", "_") + ".gcda" for file, _, _ in PARSERS[target]}
    for data in BUILD.rglob("*.gcda"):
        if data.name not in wanted:
            continue
        done = subprocess.run(["gcov", "--json-format", "--stdout", data], capture_output=True, check=True, cwd=BUILD)
        for text in done.stdout.decode().splitlines():
            for file in json.loads(text)["files"]:
                name = os.path.relpath(os.path.join(BUILD, file["file"]), SOURCE)
                counts = files.setdefault(name, {})
                for line in file["lines"]:
                    counts[line["line_number"]] = counts.get(line["line_number"], 0) + line["count"]
    return files


def main():
    if not (BUILD / "build.ninja").exists():
        subprocess.run(["meson", "setup", BUILD, SOURCE, "--buildtype=debug", "-Db_coverage=true"], check=True, stdout=subprocess.DEVNULL)
    programs = [f"fuzz/fuzz_{target}" for target in PARSERS] + ["fuzz/seeds"]
    subprocess.run(["ninja", "-C", BUILD, *programs], check=True, stdout=subprocess.DEVNULL)
    low = False
    print("target\tlines\treached\tpercent\tfirst lines not reached")
    for target, parsers in PARSERS.items():
        files, lines, reached, missing = measured(target), 0, 0, []
        for file, begin, end in parsers:
            inside = {number: count for number, count in files.get(file, {}).items() if number in part(file, begin, end)}
            lines += len(inside)
            reached += sum(count > 0 for count in inside.values())
            missing += [f"{Path(file).name}:{number}" for number, count in sorted(inside.items()) if count == 0]
        percent = 100.0 * reached / lines
        low |= percent < LEAST
        print(f"{target}\t{lines}\t{reached}\t{percent:.1f}\t{' '.join(missing if os.environ.get('ALL') else missing[:6])}", flush=True)
    return 1 if low else 0


sys.exit(main())
