"""Splits never drift: every kind gives the division of tests/fixtures/splits/, byte for byte.

usage: test_splits.py PROGRAM SOURCE_FOLDER [--write]

--write makes the golden files anew; a change of them is a change of every published figure. Python's standard library.
"""
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
GOLDEN = os.path.join(SOURCE, "tests/fixtures/splits")
WRITE = "--write" in sys.argv
KINDS = ["random", "stratified", "cold-a", "cold-b", "cold-both", "cluster-a", "cluster-b", "cluster-both", "column", "column-cold"]
MOLECULES, PAIRS = 12, 40


def numbers(seed):
    """splitmix64, so that the data set does not depend on Python's generators."""
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & (2 ** 64 - 1)
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & (2 ** 64 - 1)
        z = (z ^ z >> 27) * 0x94D049BB133111EB & (2 ** 64 - 1)
        yield z ^ z >> 31


def sequences(letters, seed):
    """Pairs of near relatives: every second one repeats the one before with one letter changed."""
    draw, made = numbers(seed), []
    for i in range(MOLECULES):
        text = [letters[next(draw) % len(letters)] for _ in range(60)] if i % 2 == 0 else list(made[-1])
        if i % 2:
            text[next(draw) % 60] = letters[next(draw) % len(letters)]
        made.append("".join(text))
    return made


class Splits(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        draw = numbers(3)
        for name, letters, seed in (("a", "ACGU", 1), ("b", "ACDEFGHIKLMNPQRSTVWY", 2)):
            with open(self.path(name + ".fasta"), "w") as file:
                file.write("".join(f">{name}{i}\n{text}\n" for i, text in enumerate(sequences(letters, seed))))
        chosen = list(dict.fromkeys(next(draw) % MOLECULES ** 2 for _ in range(4 * PAIRS)))[:PAIRS]
        with open(self.path("pairs.tsv"), "w") as file:
            file.write("id_a\tid_b\tlabel\tfold\n" + "".join(f"a{c // MOLECULES}\tb{c % MOLECULES}\t{next(draw) % 2}\t{i % 3}\n" for i, c in enumerate(chosen)))

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def test_every_kind(self):
        for kind in KINDS:
            folds = ["--fold-column", "fold"] if kind.startswith("column") else ["--folds", "2" if "both" in kind else "3"]
            done = subprocess.run([PROGRAM, "eval", "--task", "rna-protein", "--a", self.path("a.fasta"), "--b", self.path("b.fasta"), "--pairs", self.path("pairs.tsv"),
                                   "--compare", "id-only", "--split", kind, *folds, "--seed", "7", "--repeats", "2", "--save-splits", self.path("splits.json"), "--quiet"],
                                  capture_output=True, timeout=100)
            self.assertEqual(done.returncode, 0, f"{kind}: {done.stderr.decode()}")
            with open(self.path("splits.json")) as file:
                made = file.read()
            golden = os.path.join(GOLDEN, kind + ".json")
            if WRITE:
                os.makedirs(GOLDEN, exist_ok=True)
                with open(golden, "w") as file:
                    file.write(made)
            with open(golden) as file:
                self.assertEqual(made, file.read(), kind)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
