"""Mutation run: changes one operator, constant or condition at a time and asks the tests whether they notice.

usage: mutate.py BUILD_FOLDER COUNT [SEED] [FILE ...]

Takes COUNT mutants of the readers and writers of files, the metrics, the checkpoints and their lock, drawn with SEED [1] from all
places in the code (comments, texts and messages left out), evenly over the files. BUILD_FOLDER gets a copy of the sources and a
debug build of its own; a mutant is compiled and the tests of its file run until one fails. Prints one line a mutant (killed,
survived, or invalid when it does not compile) and the share of killed ones. Python's standard library only.
"""
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
BUILD = Path(sys.argv[1]).resolve()
COUNT, SEED = int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1

# file -> the tests that are its own, and what else runs it, quickest first
TESTS = {
    "src/base/file.c": ["test_file"],
    "src/io/safetensors.c": ["test_safetensors"],
    "src/io/json.c": ["test_json", "test_safetensors"],
    "src/io/npy.c": ["test_npy"],
    "src/io/npy_header.c": ["test_npy"],
    "src/io/npz_writer.c": ["test_npy"],
    "src/io/fasta.c": ["test_fasta"],
    "src/io/stream.c": ["test_fasta", "test_table"],
    "src/io/table.c": ["test_table"],
    "src/io/torch_file.c": ["test_torch_file"],
    "src/io/unpickle.c": ["test_torch_file"],
    "src/io/unpickle_globals.c": ["test_torch_file"],
    "src/io/weights.c": ["test_weights"],
    "src/io/weights_find.c": ["test_weights"],
    "src/io/weights_import.c": ["test_weights"],
    "src/metrics/metrics.c": ["test_metrics"],
    "src/metrics/ranking.c": ["test_metrics", "test_statistics"],
    "src/metrics/regression.c": ["test_regression"],
    "src/metrics/calibrate.c": ["test_calibrate"],
    "src/metrics/isotonic.c": ["test_statistics", "test_calibrate"],
    "src/metrics/conformal.c": ["test_statistics"],
    "src/metrics/bootstrap.c": ["test_bootstrap"],
    "src/metrics/resample.c": ["test_bootstrap", "test_statistics"],
    "src/metrics/curves.c": ["test_statistics"],
    "src/metrics/reliability.c": ["test_statistics"],
    "src/train/checkpoint.c": ["test_checkpoint"],
    "src/io/sealed.c": ["test_checkpoint", "test_unit"],
    "src/base/lock.c": ["test_lock"],
}

# pattern -> what stands there instead
CHANGES = [
    (r" < ", [" <= "]), (r" <= ", [" < "]), (r" > ", [" >= "]), (r" >= ", [" > "]), (r" == ", [" != "]), (r" != ", [" == "]),
    (r" && ", [" || "]), (r" \|\| ", [" && "]), (r" \+ ", [" - "]), (r" - ", [" + "]), (r" \* ", [" / "]), (r" / ", [" * "]),
    (r" \+= ", [" -= "]), (r" -= ", [" += "]), (r"\+\+", ["--"]), (r"(?<=[(&| ])!(?=[a-z(])", [""]), (r"(?<![\w.\"'])0(?![\w.x])", ["1"]),
    (r"(?<![\w.\"'])([1-9][0-9]*)(?![\w.])", [r"(\1 + 1)"]), (r"\btrue\b", ["false"]), (r"\bfalse\b", ["true"]),
]


def places(file):
    """(line number, column, end, new text) of every mutant of a file."""
    found, comment = [], False
    for number, line in enumerate((SOURCE / file).read_text().split("\n")):
        begins = "/*" in line
        code = line[:line.index("/*")] if begins else line
        if comment:
            code = ""
        if begins:
            comment = "*/" not in line
        elif comment and "*/" in line:
            comment = False
        if not code.startswith(" ") or re.search(r"cm_fail|bad_|fail_at|_fail\(|expected|assert|enum|static const", code):
            continue
        blank = re.sub(r'"(\\.|[^"\\])*"', lambda text: '"' + "_" * (len(text.group()) - 2) + '"', code)
        for pattern, news in CHANGES:
            for match in re.finditer(pattern, blank):
                found += [(number, match.start(), match.end(), match.expand(new)) for new in news]
    return found


def draw():
    """COUNT mutants, as many of each file as it has places in proportion to the square root of their number."""
    rng, every = random.Random(SEED), []
    files = sys.argv[4:] or list(TESTS)
    pools = {file: rng.sample(all_places, len(all_places)) for file in files if (all_places := places(file))}
    while len(every) < COUNT and any(pools.values()):
        weights = {file: len(pool) ** 0.5 for file, pool in pools.items() if pool}
        file = rng.choices(list(weights), list(weights.values()))[0]
        every.append((file, pools[file].pop()))
    return every


def setup():
    copy = BUILD / "source"
    if not copy.exists():
        done = subprocess.run(["git", "-C", SOURCE, "ls-files", "-z"], capture_output=True, check=True)
        for name in done.stdout.decode().split("\0")[:-1]:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(SOURCE / name, copy / name)
            shutil.copymode(SOURCE / name, copy / name)
    if not (BUILD / "out/build.ninja").exists():
        subprocess.run(["meson", "setup", BUILD / "out", copy, "--buildtype=plain", "-Doptimization=0", "-Dwerror=false"], check=True, stdout=subprocess.DEVNULL)
    return copy


def verdict(copy, file, place):
    number, begin, end, new = place
    lines = (SOURCE / file).read_text().split("\n")
    lines[number] = lines[number][:begin] + new + lines[number][end:]
    (copy / file).write_text("\n".join(lines))
    try:
        for test in TESTS[file]:
            if subprocess.run(["ninja", "-C", BUILD / "out", f"tests/{test}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
                return "invalid"
            try:
                done = subprocess.run([BUILD / "out/tests" / test], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300, cwd=BUILD / "out",
                                      env={**os.environ, "CROSSMAMBA_SOURCE": str(copy)})
            except subprocess.TimeoutExpired:
                return "killed"
            if done.returncode != 0:
                return "killed"
        return "survived"
    finally:
        shutil.copyfile(SOURCE / file, copy / file)


def main():
    copy = setup()
    subprocess.run(["ninja", "-C", BUILD / "out", *sorted({f"tests/{test}" for tests in TESTS.values() for test in tests})], check=True, stdout=subprocess.DEVNULL)
    counts = {"killed": 0, "survived": 0, "invalid": 0}
    for file, place in draw():
        result = verdict(copy, file, place)
        counts[result] += 1
        line = (SOURCE / file).read_text().split("\n")[place[0]]
        if result != "killed":
            print(f"{result}\t{file}:{place[0] + 1}:{place[1] + 1}\t{line[place[1]:place[2]].strip()} -> {place[3].strip() or 'nothing'}\t{line.strip()}", flush=True)
    valid = counts["killed"] + counts["survived"]
    print(f"{counts['killed']} of {valid} mutants killed ({100 * counts['killed'] / max(valid, 1):.1f} %), {counts['invalid']} did not compile")


main()
