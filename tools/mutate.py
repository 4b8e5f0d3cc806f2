"""Mutation run: changes one operator, constant or condition at a time and asks the tests whether they notice.

usage: mutate.py BUILD_FOLDER COUNT [SEED] [FILE ...]
       mutate.py BUILD_FOLDER --again LOG

Takes COUNT mutants of the readers and writers of files, the metrics, the checkpoints and their lock, drawn with SEED [1] from all
places in the code, of each file in proportion to the square root of its places. An edit elsewhere draws no others. Left out:
comments, texts, messages, and numbers whose change nothing can show: -1 for "none" or "less", room for an element more. BUILD_FOLDER gets a copy of the sources, taken at
the start, and a debug build of its own; a mutant is compiled and the tests of its file run until one fails. A test that takes ten
times its usual time of the processor (at least 10 s), or five minutes asleep, has failed. What survives is compiled once more with
AddressSanitizer and UndefinedBehaviorSanitizer. Prints one line for each mutant that was not killed (survived, or invalid when it does
not compile) and the share of killed ones. --again takes the survivors that a run has printed into LOG and asks the tests of now; lines
that are no longer in the sources are told as gone. Python's standard library only.
"""
import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
BUILD = Path(sys.argv[1]).resolve()
AGAIN = sys.argv[3] if sys.argv[2] == "--again" else None
COUNT, SEED = 0 if AGAIN else int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 and not AGAIN else 1
BUILDS = {"out": [], "out-sanitizers": ["-Db_sanitize=address,undefined", "-Db_lundef=false"]}  # in this order

# file -> the tests that are its own, and what else runs it, quickest first
TESTS = {
    "src/base/file.c": ["test_file", "faults/test_failing_calls"],
    "src/io/safetensors.c": ["test_safetensors", "test_bad_safetensors"],
    "src/io/json.c": ["test_json", "test_safetensors", "test_bad_config"],
    "src/io/npy.c": ["test_npy", "test_bad_npy"],
    "src/io/npy_header.c": ["test_npy", "test_bad_npy"],
    "src/io/npz_writer.c": ["test_npy", "test_bad_npy"],
    "src/io/fasta.c": ["test_fasta", "test_bad_fasta"],
    "src/io/stream.c": ["test_fasta", "test_table", "test_bad_fasta", "test_bad_table"],
    "src/io/table.c": ["test_table", "test_bad_table"],
    "src/io/torch_file.c": ["test_torch_file", "test_bad_torch"],
    "src/io/unpickle.c": ["test_torch_file", "test_bad_torch"],
    "src/io/unpickle_globals.c": ["test_torch_file", "test_bad_torch"],
    "src/io/weights.c": ["test_weights", "test_bad_config"],
    "src/io/weights_find.c": ["test_weights", "test_bad_config", "faults/test_failing_calls"],
    "src/io/weights_import.c": ["test_weights", "test_bad_config", "faults/test_failing_calls"],
    "src/io/embedding_store.c": ["test_embedding_store"],
    "src/io/store_env.c": ["test_embedding_store", "faults/test_failing_calls"],
    "src/metrics/metrics.c": ["test_metrics", "test_statistics"],
    "src/metrics/ranking.c": ["test_metrics", "test_statistics"],
    "src/metrics/regression.c": ["test_regression"],
    "src/metrics/calibrate.c": ["test_calibrate", "test_statistics"],
    "src/metrics/isotonic.c": ["test_isotonic", "test_statistics", "test_calibrate"],
    "src/metrics/conformal.c": ["test_statistics"],
    "src/metrics/bootstrap.c": ["test_bootstrap", "test_statistics"],
    "src/metrics/resample.c": ["test_bootstrap", "test_statistics"],
    "src/metrics/curves.c": ["test_statistics"],
    "src/metrics/reliability.c": ["test_isotonic", "test_statistics"],
    "src/metrics/baseline.c": ["test_baseline"],
    "src/train/checkpoint.c": ["test_checkpoint", "test_checkpoint_contents"],
    "src/io/sealed.c": ["test_sealed", "test_checkpoint", "test_checkpoint_contents", "test_unit"],
    "src/base/lock.c": ["test_lock", "faults/test_failing_calls"],
}

# pattern -> what stands there instead
CHANGES = [
    (r" < ", [" <= "]), (r" <= ", [" < "]), (r" > ", [" >= "]), (r" >= ", [" > "]), (r" == ", [" != "]), (r" != ", [" == "]),
    (r" && ", [" || "]), (r" \|\| ", [" && "]), (r" \+ ", [" - "]), (r" - ", [" + "]), (r" \* ", [" / "]), (r" / ", [" * "]),
    (r" \+= ", [" -= "]), (r" -= ", [" += "]), (r"\+\+", ["--"]), (r"(?<=[(&| ])!(?=[a-z(])", [""]), (r"(?<![\w.\"'])0(?![\w.x])", ["1"]),
    (r"(?<![\w.\"'])([1-9][0-9]*)(?![\w.])", [r"(\1 + 1)"]), (r"\btrue\b", ["false"]), (r"\bfalse\b", ["true"]),
]


# what only has to be negative, and room of which there may be more: numbers here are not changed
UNSEEN = re.compile(r"-1\b|cm_new\(1, sizeof|^ +(?:static )?(?:const )?(?:unsigned )?\w+ \**\w+\[\d+\](?= =|;|,)|\? -1 : 1")


def unseen(blank, begin):
    return blank[begin].isdigit() and any(match.start() <= begin < match.end() for match in UNSEEN.finditer(blank))


def places(lines):
    """(line number, column, end, new text) of every mutant of a file."""
    found, comment = [], False
    for number, line in enumerate(lines):
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
                if not unseen(blank, match.start()):
                    found += [(number, match.start(), match.end(), match.expand(new)) for new in news]
    return found


def draw(texts):
    """COUNT mutants in the order of a hash of what they are: taken from each file's list, always the one that is furthest behind."""
    files, every = sys.argv[4:] or list(TESTS), []
    pools = {}
    for file in files:
        lines = texts[file]
        times = {}  # the same text may stand in several lines
        keys = []
        for place in places(lines):
            what = f"{SEED} {file} {lines[place[0]]} {place[1]} {place[3]}"
            times[what] = times.get(what, 0) + 1
            keys.append((hashlib.sha256(f"{what} {times[what]}".encode()).digest(), place))
        pools[file] = [place for _, place in sorted(keys, reverse=True)]
    taken = dict.fromkeys(files, 0)
    share = {file: len(pool) ** 0.5 for file, pool in pools.items()}
    while len(every) < COUNT and any(pools.values()):
        file = min((file for file in files if pools[file]), key=lambda file: (taken[file] + 0.5) / share[file])
        taken[file] += 1
        every.append((file, pools[file].pop()))
    return every


def survivors(texts):
    """The mutants of a log whose lines are still there: a line is known by its text and what stands at the place."""
    every = []
    for row in Path(AGAIN).read_text().splitlines():
        if not row.startswith("survived\t"):
            continue
        _, where, change, text = row.split("\t", 3)
        file, number, column = where.rsplit(":", 2)
        new = change.split(" -> ")[1].replace("nothing", "")
        found = [place for place in places(texts[file]) if texts[file][place[0]].strip() == text and place[1] == int(column) - 1 and place[3].strip() == new]
        if found:
            every.append((file, min(found, key=lambda place: abs(place[0] + 1 - int(number)))))
        else:
            print(f"gone\t{where}\t{change}\t{text}")
    return every


def setup():
    """Copies what git knows of the sources; a mutant of a run that was stopped is overwritten."""
    copy = BUILD / "source"
    done = subprocess.run(["git", "-C", SOURCE, "ls-files", "-z"], capture_output=True, check=True)
    for name in done.stdout.decode().split("\0")[:-1]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if not (copy / name).exists() or (copy / name).read_bytes() != (SOURCE / name).read_bytes():
            shutil.copy(SOURCE / name, copy / name)
    for out, options in BUILDS.items():
        if not (BUILD / out / "build.ninja").exists():
            subprocess.run(["meson", "setup", BUILD / out, copy, "--buildtype=plain", "-Doptimization=0", "-Dwerror=false", *options], check=True, stdout=subprocess.DEVNULL)
    return copy


def limits(out, seconds):
    """Of a test's process: processor time, and what a mutant that allocates or writes without end may take of the machine."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if out == "out":  # the sanitizers reserve terabytes
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 30, 4 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def build(out, tests):
    return subprocess.run(["ninja", "-C", BUILD / out, *tests], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def passes(copy, out, test, seconds):
    environment = {**os.environ, "CROSSMAMBA_SOURCE": str(copy), "CROSSMAMBA_PROGRAM": str(BUILD / out / "src/cli/crossmamba"),
                   "ASAN_OPTIONS": "hard_rss_limit_mb=8000:allocator_may_return_null=1"}
    try:
        done = subprocess.run([BUILD / out / "tests" / test], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300, cwd=BUILD / out,
                              env=environment, preexec_fn=lambda: limits(out, seconds))
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def usual_seconds(copy):
    """The processor time that each test may take; all must pass on the sources as they are."""
    tests = sorted({test for tests in TESTS.values() for test in tests})
    seconds = {}
    for out in BUILDS:
        if not build(out, ["src/cli/crossmamba", *(f"tests/{test}" for test in tests)]):
            sys.exit(f"{out} does not compile")
        for test in tests:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            if not passes(copy, out, test, 600):
                sys.exit(f"{test} fails in {out} without a mutant")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            seconds[out, test] = max(10, round(10 * used))
    return seconds


def verdict(copy, seconds, file, lines, place):
    number, begin, end, new = place
    mutant = list(lines)
    mutant[number] = mutant[number][:begin] + new + mutant[number][end:]
    (copy / file).write_text("\n".join(mutant))
    try:
        for out in BUILDS:
            for test in TESTS[file]:
                if not build(out, [f"tests/{test}"]):
                    return "invalid"
                if not passes(copy, out, test, seconds[out, test]):
                    return "killed"
        return "survived"
    finally:
        (copy / file).write_text("\n".join(lines))


def main():
    copy, counts = setup(), {"killed": 0, "survived": 0, "invalid": 0}
    texts = {file: (copy / file).read_text().split("\n") for file in TESTS}
    mutants = survivors(texts) if AGAIN else draw(texts)
    seconds, begun = usual_seconds(copy), time.monotonic()
    for file, place in mutants:
        result = verdict(copy, seconds, file, texts[file], place)
        counts[result] += 1
        line = texts[file][place[0]]
        if result != "killed":
            print(f"{result}\t{file}:{place[0] + 1}:{place[1] + 1}\t{line[place[1]:place[2]].strip()} -> {place[3].strip() or 'nothing'}\t{line.strip()}", flush=True)
    valid = counts["killed"] + counts["survived"]
    print(f"{counts['killed']} of {valid} mutants killed ({100 * counts['killed'] / max(valid, 1):.1f} %), {counts['invalid']} did not compile, "
          f"{time.monotonic() - begun:.0f} s")


main()
