"""Pretrained encoders from outside: embed, store, models and selftest, training with imported embeddings.

usage: test_embed.py PROGRAM SOURCE_FOLDER. Uses only the Python standard library. Tests with checkpoints use
the tiny ones of tests/fixtures and are skipped by name when there are none.
"""
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile

PROGRAM, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
FIXTURES = os.path.join(SOURCE, "tests", "fixtures")
TINY = [(f, os.path.join(FIXTURES, "encoders", d)) for f, d in (("esm2", "esm2-formula"), ("rinalmo", "rinalmo-model"))
        if os.path.isdir(os.path.join(FIXTURES, "encoders", d))]


def read_safetensors(path):
    """{name: (shape, list of floats)} and the metadata."""
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header, data = json.loads(file.read(size)), file.read()
    metadata, tensors = header.pop("__metadata__", {}), {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        form = {"F32": "f", "F16": "e"}[entry["dtype"]]
        tensors[name] = entry["shape"], list(struct.unpack(f"<{(end - begin) // struct.calcsize(form)}{form}",
                                                           data[begin:end]))
    return tensors, metadata


def write_safetensors(path, tensors, dtype="F32"):
    form = {"F32": "f", "F16": "e"}[dtype]
    header, data = {}, b""
    for name, rows in tensors.items():
        flat = [v for row in rows for v in row]
        packed = struct.pack(f"<{len(flat)}{form}", *flat)
        header[name] = {"dtype": dtype, "shape": [len(rows), len(rows[0])], "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def npy(rows):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (len(rows), len(rows[0]))
    header += " " * (-(len(header) + 11) % 64) + "\n"
    flat = [v for row in rows for v in row]
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"<{len(flat)}f", *flat)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.env = {**os.environ, "CROSSMAMBA_STORE": self.path("store"), "CROSSMAMBA_CHECKPOINTS": self.path("checkpoints"),
                    "HF_HUB_CACHE": self.path("hub"), "HOME": self.folder.name}

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def run_program(self, *args, code=0):
        done = subprocess.run([PROGRAM, *args], cwd=SOURCE, capture_output=True, timeout=200, env=self.env)
        out, err = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, code, f"{args}\n{out}\n{err}")
        return out, err


class Imported(Case):
    """Embeddings that were made elsewhere."""

    def setUp(self):
        super().setUp()
        rng = random.Random(5)
        self.rna = {f"r{i}": "".join(rng.choice("ACGU") for _ in range(6 + i)) for i in range(16)}
        self.rows = {k: [[rng.randint(-64, 64) / 32 + (c == 0) * (int(k[1:]) % 2) for c in range(3)] for _ in v] for k, v in self.rna.items()}
        self.fasta = self.write("rna.fasta", "".join(f">{k}\n{v}\n" for k, v in self.rna.items()))
        self.file = self.path("rows.safetensors")
        write_safetensors(self.file, self.rows)

    def test_round_trip(self):
        for dtype, name in (("F32", "whole"), ("F16", "half")):
            write_safetensors(self.file, self.rows, dtype)
            out, _ = self.run_program("store", "import", self.file, "--a", self.fasta, "--type", "rna", "--name", name)
            self.assertIn("imported 16 molecules", out)
            self.run_program("store", "export", "--encoder", f"stored:{name}", "--a", self.fasta, "--type", "rna", "--out", self.path("back.safetensors"))
            back, metadata = read_safetensors(self.path("back.safetensors"))
            self.assertEqual(metadata["encoder"], f"stored:{name}")
            for key, rows in self.rows.items():
                self.assertEqual(back[key], ([len(rows), 3], [v for row in rows for v in row]))
        info, _ = self.run_program("store", "info")
        self.assertIn("stored:whole\t3\t16\t", info)
        self.assertIn("stored:half\t3\t16\t", info)
        self.run_program("store", "verify")
        out, _ = self.run_program("store", "gc", "--encoder", "stored:half", "--compact")
        self.assertIn("removed 16 records", out)
        self.assertNotIn("stored:half", self.run_program("store", "info")[0])

    def test_npz(self):
        with zipfile.ZipFile(self.path("rows.npz"), "w", zipfile.ZIP_DEFLATED) as archive:
            for key, rows in self.rows.items():
                archive.writestr(f"{key}.npy", npy(rows))
        self.run_program("store", "import", self.path("rows.npz"), "--a", self.fasta, "--type", "rna", "--name", "z")
        self.run_program("store", "export", "--encoder", "stored:z", "--a", self.fasta, "--type", "rna", "--out", self.path("back.safetensors"))
        self.assertEqual(read_safetensors(self.path("back.safetensors"))[0]["r3"], ([9, 3], [v for row in self.rows["r3"] for v in row]))

    def test_refused_imports(self):
        def refused(rows, expected, code=3, *more):
            write_safetensors(self.file, rows)
            _, err = self.run_program("store", "import", self.file, "--a", self.fasta, "--type", "rna", "--name", "bad", *more, code=code)
            self.assertIn(expected, err)
        cut = {**self.rows, "r15": self.rows["r15"][:5]}
        refused(cut, "21 rows")
        refused({**self.rows, "r2": self.rows["r2"] + [[0, 0, 0]]}, "9 rows", 3, "--truncated")
        refused({k: v for k, v in self.rows.items() if k != "r7"}, "r7")
        refused({**self.rows, "r4": [row[:2] for row in self.rows["r4"]]}, "r4")
        refused({**self.rows, "r4": [[float("nan")] * 3] * 10}, "r4", 1)
        write_safetensors(self.file, cut)
        self.run_program("store", "import", self.file, "--a", self.fasta, "--type", "rna", "--name", "cut", "--truncated")
        self.run_program("store", "import", self.file, "--a", self.fasta, "--name", "x", code=2)

    def test_train_and_predict(self):
        self.run_program("store", "import", self.file, "--a", self.fasta, "--type", "rna", "--name", "mine")
        pairs = self.write("pairs.tsv", "id_a\tid_b\tlabel\n" + "".join(
            f"r{i}\tr{j}\t{int(i % 2 == j % 2)}\n" for i in range(16) for j in range(i + 1, 16)))
        models = []
        for n, layout in enumerate(("pooled", "windows:3", "residues")):
            models.append(self.path(f"m{n}.safetensors"))
            self.run_program("train", "--task", "rna-rna", "--a", self.fasta, "--pairs", pairs, "--model", models[-1],
                             "--encoder-a", "stored:mine+kmer", "--encoder-b", "stored:mine", "--layout", layout, "--dim", "16",
                             "--layers", "1", "--epochs", "2", "--quiet")
            card = json.loads(self.run_program("models", "info", models[-1], "--json")[0])
            self.assertEqual(card["inputs"]["a"]["identity"], "stored:mine")
            self.assertEqual(card["inputs"]["b"]["width"], 3)
            out, _ = self.run_program("predict", "--model", models[-1], "--a", self.fasta, "--pairs", pairs, "--quiet")
            again, _ = self.run_program("predict", "--model", models[-1], "--a", self.fasta, "--pairs", pairs, "--quiet", "--threads", "1", "--batch", "3")
            self.assertEqual(out, again)
        self.run_program("store", "import", self.file, "--a", self.fasta, "--type", "rna", "--name", "other")
        _, err = self.run_program("predict", "--model", models[0], "--encoder-b", "other", "--a", self.fasta, "--pairs", pairs, code=4)
        self.assertIn("stored:mine", err)
        self.assertIn("stored:other", err)
        self.run_program("store", "gc", "--encoder", "stored:mine")
        write_safetensors(self.file, {name: [row[:2] for row in rows] for name, rows in self.rows.items()})
        self.run_program("store", "import", self.file, "--a", self.fasta, "--type", "rna", "--name", "mine")
        _, err = self.run_program("predict", "--model", models[0], "--a", self.fasta, "--pairs", pairs, code=4)
        self.assertIn("columns", err)
        unknown = self.write("unknown.fasta", ">new\nGGGGCCCC\n")
        _, err = self.run_program("predict", "--model", models[0], "--a", unknown, "--b", self.fasta, code=3)
        self.assertIn("new", err)
        self.run_program("predict", "--model", models[0], "--no-store", "--a", self.fasta, "--pairs", pairs, code=2)


class Messages(Case):
    def test_usage(self):
        fasta = self.write("x.fasta", ">a\nACGU\n")
        for args, code, expected in (
                (["embed", "--encoder", "kmer", "--a", fasta], 2, "FAMILY:REFERENCE"),
                (["embed", "--encoder", "nothing:x", "--a", fasta], 2, "FAMILY:REFERENCE"),
                (["embed", "--encoder", "stored:x", "--a", fasta], 2, "FAMILY:REFERENCE"),
                (["embed", "--encoder", "esm2:x", "--a", fasta, "--format", "hdf5"], 2, "safetensors, npy, npz or tsv"),
                (["embed", "--encoder", "esm2:x", "--a", fasta, "--tokens", "--both"], 2, "one of them"),
                (["embed", "--encoder", "esm2:x", "--a", fasta, "--max-memory", "1T"], 2, "512M"),
                (["embed", "--encoder", "esm2:x", "--a", fasta, "--precision", "fp8"], 2, "int8"),
                (["embed", "--encoder", "esm2:x", "--a", fasta, "--store", "a", "--no-store"], 2, "both"),
                (["store", "info"], 1, "store"),
                (["store", "nothing"], 2, "info, verify"),
                (["models", "verify", self.path("none")], 4, "none")):
            _, err = self.run_program(*args, code=code)
            self.assertIn(expected, err)

    def test_lists(self):
        out, _ = self.run_program("models", "list")
        self.assertIn("checkpoint\tfamily", out)
        self.run_program("selftest")


@unittest.skipUnless(TINY, "no tiny checkpoints in tests/fixtures")
class Checkpoints(Case):
    def setUp(self):
        super().setUp()
        rng = random.Random(3)
        self.family, self.reference = TINY[0]
        letters = "ACDEFGHIKLMNPQRSTVWY" if self.family == "esm2" else "ACGU"
        self.texts = {f"m{i}": "".join(rng.choice(letters) for _ in range(rng.randint(1, 60))) for i in range(20)}
        self.fasta = self.write("a.fasta", "".join(f">{k}\n{v}\n" for k, v in self.texts.items()))
        self.encoder = f"{self.family}:{self.reference}"

    def embed(self, out, *more):
        self.run_program("embed", "--encoder", self.encoder, "--a", self.fasta, "--out", self.path(out), "--quiet", *more)
        return self.path(out)

    def test_formats(self):
        both, metadata = read_safetensors(self.embed("both.safetensors", "--both"))
        self.assertIn("sha256:", metadata["encoder"])
        width = both["m0/pooled"][0][0]
        for key, text in self.texts.items():
            shape, values = both[key]
            self.assertEqual(shape, [len(text), width])
            for c in range(width):
                mean = sum(values[c::width]) / len(text)
                self.assertAlmostEqual(mean, both[f"{key}/pooled"][1][c], places=5)
        with open(self.embed("x.tsv")) as file:
            lines = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
        self.assertEqual([line[0] for line in lines[1:]], list(self.texts))
        with open(self.embed("x.npy"), "rb") as file:
            data = file.read()
        self.assertEqual(list(struct.unpack(f"<{width}f", data[128:128 + 4 * width])), both["m0/pooled"][1])
        single = struct.pack(f"<{width}f", *(float(v) for v in lines[1][1:]))
        self.assertEqual(single, data[128:128 + 4 * width])
        with zipfile.ZipFile(self.embed("x.npz", "--tokens")) as archive:
            self.assertEqual(len(archive.namelist()), 20)

    @unittest.skipUnless(any(f == "esm2" for f, _ in TINY), "no tiny protein checkpoint")
    def test_output_that_is_no_number(self):
        """Finite weights whose products are none: named and refused, neither written nor stored."""
        huge = self.path("huge")
        shutil.copytree(dict(TINY)["esm2"], huge)
        with open(os.path.join(huge, "model.safetensors"), "r+b") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(length))
            name = next(name for name in header if name.endswith("emb_layer_norm_after.weight"))
            begin, end = header[name]["data_offsets"]
            file.seek(8 + length + begin)
            file.write(struct.pack("<f", 3e38) * ((end - begin) // 4))
        fasta = self.write("p.fasta", ">p\nMKVLAWGRDE\n")
        for more in ([], ["--threads", "2", "--both"]):  # the second time it is not in the store either
            out = self.path("e.safetensors")
            _, err = self.run_program("embed", "--encoder", f"esm2:{huge}", "--a", fasta, "--out", out, "--quiet", *more, code=1)
            self.assertIn("input 'MKVLAWGRDE', token 1: found ", err)
            self.assertIn("expected finite embeddings of the encoder", err)
            self.assertFalse(os.path.exists(out))

    def test_store_gives_the_same(self):
        with open(self.embed("one.safetensors", "--tokens", "--no-store"), "rb") as file:
            one = file.read()
        for more in (["--threads", "1"], ["--threads", "2"], ["--max-memory", "1M", "--no-store"]):
            with open(self.embed("two.safetensors", "--tokens", *more), "rb") as file:
                self.assertEqual(one, file.read())

    @unittest.skipUnless(any(f == "rinalmo" for f, _ in TINY), "no tiny RNA checkpoint")
    def test_train_and_move(self):
        """A joined encoder in training; predict finds the checkpoint elsewhere and refuses another one."""
        reference, moved = dict(TINY)["rinalmo"], self.path("moved")
        rng = random.Random(6)
        fasta = self.write("r.fasta", "".join(f">r{i}\n{''.join(rng.choice('ACGU') for _ in range(20))}\n" for i in range(12)))
        pairs = self.write("p.tsv", "id_a\tid_b\tlabel\n" + "".join(f"r{i}\tr{j}\t{i % 2}\n" for i in range(12) for j in range(i + 1, 12)))
        shutil.copytree(reference, moved)
        model = self.path("m.safetensors")
        self.run_program("train", "--task", "rna-rna", "--a", fasta, "--pairs", pairs, "--model", model, "--encoder-a", f"rinalmo:{moved}+kmer",
                         "--encoder-b", "onehot", "--layout", "windows:4", "--dim", "16", "--layers", "1", "--epochs", "1", "--quiet")
        first, _ = self.run_program("predict", "--model", model, "--a", fasta, "--pairs", pairs)
        shutil.rmtree(moved)
        self.run_program("predict", "--model", model, "--a", fasta, "--pairs", pairs, code=4)
        for more in ([], ["--no-store"]):
            again, _ = self.run_program("predict", "--model", model, "--encoder-a", reference, "--a", fasta, "--pairs", pairs, *more)
            self.assertEqual(first, again)

    def test_describe(self):
        out, _ = self.run_program("models", "verify", self.encoder)
        self.assertIn("all finite", out)
        out, _ = self.run_program("selftest", "--encoder", self.encoder)
        self.assertIn("int8\t", out)

    def test_without_config(self):
        """Family and sizes are those of the tensors."""
        bare = self.path("bare")
        os.mkdir(bare)
        shutil.copy(os.path.join(FIXTURES, "encoders", "rnabert-bert", "model.safetensors"), bare)
        for command in ("info", "verify"):
            out, _ = self.run_program("models", command, bare)
            self.assertIn("family\trnabert\n", out)
            self.assertNotIn("layers\t0", out)
            self.assertNotIn("width\t0", out)

    @unittest.skipUnless(os.environ.get("CROSSMAMBA_DATA"), "CROSSMAMBA_DATA is not set")
    def test_published_output(self):
        weights = os.path.join(os.environ["CROSSMAMBA_DATA"], "weights", "rnabert_RNABERT.pth")
        out, _ = self.run_program("models", "import", weights)
        out, _ = self.run_program("models", "verify", out.split()[-1])
        self.assertIn("layers\t6\nwidth\t120\n", out)
        self.assertRegex(out, r"published output\tlargest difference \S+, allowed 1e-06")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
