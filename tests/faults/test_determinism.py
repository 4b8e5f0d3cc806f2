"""The same bits whatever the threads, the batch size and the point at which a run was stopped.

usage: test_determinism.py PROGRAM INJECT SOURCE_FOLDER [OTHER_PROGRAM]

OTHER_PROGRAM is the same version built otherwise (a release build beside a sanitizer build); without it that comparison is
skipped. Kernels for AVX2 and AVX-512 order their sums differently, so between them a bound holds instead. Standard library.
"""
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM, INJECT, SOURCE = (os.path.abspath(path) for path in sys.argv[1:4])
OTHER = os.path.abspath(sys.argv[4]) if len(sys.argv) > 4 and os.path.exists(sys.argv[4]) else None
BOUND = 1e-5  # largest difference of a prediction between instruction sets, after training with each
LAYOUTS = {  # name -> options of the network
    "pooled": [], "residues": ["--layout", "residues", "--encoder-a", "onehot", "--encoder-b", "onehot"],
    "ensemble": ["--ensemble", "2", "--fusion", "mlp"], "windows": ["--layout", "windows:4", "--dropout", "0.2", "--noise", "0.1"]}


def sha(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Determinism(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="crossmamba-bits-")
        self.addCleanup(shutil.rmtree, self.folder)
        rng, n = random.Random(4), 16
        texts = {"a.fasta": "".join(f">r{i}\n{''.join(rng.choice('GGCCAU' if i % 2 else 'AAUUGC') for _ in range(12 + i))}\n" for i in range(n)),
                 "b.fasta": "".join(f">p{i}\n{''.join(rng.choice('KRACFG' if i % 2 else 'DEACFG') for _ in range(30 - i))}\n" for i in range(n)),
                 "pairs.tsv": "id_a\tid_b\tlabel\n" + "".join(f"r{i}\tp{(i * 5 + k) % n}\t{int(i % 2 == (i * 5 + k) % n % 2)}\n" for i in range(n) for k in range(4))}
        for name, text in texts.items():
            with open(self.path(name), "w") as file:
                file.write(text)
        self.data = ["--a", self.path("a.fasta"), "--b", self.path("b.fasta")]

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_program(self, *arguments, program=PROGRAM, prefix=(), **environment):
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", **environment}
        if program == OTHER:
            environment.pop("LD_LIBRARY_PATH", None)  # of the build under test
        done = subprocess.run([*prefix, program, *arguments], capture_output=True, timeout=200, stdin=subprocess.DEVNULL, env=environment)
        return done.returncode, done.stdout, done.stderr.decode()

    def command(self, model, layout, *more):
        return ["train", "--task", "rna-protein", "--predictor", "network", *self.data, "--pairs", self.path("pairs.tsv"), "--dim", "8", "--layers", "1", "--head-dim", "4", "--epochs", "3",
                "--batch", "16", "--learning-rate", "3e-3", *LAYOUTS[layout], "--quiet", "--model", self.path(model), "--force", *more]

    def train(self, model, layout, *more, program=PROGRAM, **environment):
        code, _, err = self.run_program(*self.command(model, layout, *more), program=program, **environment)
        self.assertEqual(code, 0, err)
        return self.path(model)

    def predict(self, model, *more, **environment):
        code, out, err = self.run_program("predict", "--model", model, *self.data, "--quiet", *more, **environment)
        self.assertEqual(code, 0, err)
        return out

    def test_threads(self):
        for layout in LAYOUTS:
            models = [self.train(f"m{threads}.safetensors", layout, "--threads", threads) for threads in ("1", "2", "4")]
            self.assertEqual(len({sha(model) for model in models}), 1, layout)
            self.assertEqual(len({self.predict(models[0], "--threads", threads) for threads in ("1", "2", "4")}), 1, layout)

    def test_batches(self):
        for layout in LAYOUTS:
            model = self.train("m.safetensors", layout)
            self.assertEqual(len({self.predict(model, "--batch", batch) for batch in ("1", "2", "3", "7", "64", "100000")}), 1, layout)

    def test_resume_points(self):
        """Killed at ten points of the run, spread over all of it."""
        for layout in ("pooled", "ensemble"):
            wanted = sha(self.train("whole.safetensors", layout))
            command = self.command("m.safetensors", layout, "--checkpoint-seconds", "0", "--threads", "1")
            count = self.path("count")
            code, _, err = self.run_program(*command, prefix=[INJECT, "any", "0", "kill", self.folder, count])
            if code == 77:
                self.skipTest("this system does not allow tracing")
            self.assertEqual((code, sha(self.path("m.safetensors"))), (0, wanted), err)
            with open(count) as file:
                calls = int(file.read())
            for point in range(10):
                os.unlink(self.path("m.safetensors"))
                number = str(1 + calls * point // 10)
                code, _, _ = self.run_program(*command, prefix=[INJECT, "any", number, "kill", self.folder, "-"])
                self.assertEqual(code, 137)
                code, _, err = self.run_program(*command, "--resume")
                self.assertEqual(code, 0, err)
                self.assertEqual(sha(self.path("m.safetensors")), wanted, f"{layout}, killed before call {number} of {calls}")

    def test_instruction_sets(self):
        """Trained and predicted with each set: equal within BOUND; and the limit does something."""
        bits = set()
        for layout in LAYOUTS:
            columns = {}
            for name in ("plain", "avx2", "avx512"):
                model = self.train(f"{name}.safetensors", layout, CROSSMAMBA_CPU=name)
                bits.add((layout, sha(model)))
                rows = self.predict(model, CROSSMAMBA_CPU=name).decode().split("\n")[1:-1]
                columns[name] = [float(row.split("\t")[3]) for row in rows]
            for name in ("plain", "avx2"):
                worst = max(abs(x - y) for x, y in zip(columns[name], columns["avx512"]))
                print(f"{layout}: {name} against avx512: {worst:.1e}", file=sys.stderr)
                self.assertLess(worst, BOUND, f"{layout}: {name} against avx512")
        with open("/proc/cpuinfo") as file:
            wide = " avx2 " in file.read()
        if wide:
            self.assertGreater(len(bits), len(LAYOUTS))

    def test_other_build(self):
        if not OTHER:
            self.skipTest("no second build")
        for layout in LAYOUTS:
            self.assertEqual(sha(self.train("one.safetensors", layout)), sha(self.train("two.safetensors", layout, program=OTHER)), layout)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[5:]])
