"""The program from outside: exit codes, messages, formats, determinism, interruption.

usage: test_cli.py PROGRAM SOURCE_FOLDER. Uses only the Python standard library.
"""
import csv
import gzip
import hashlib
import html.parser
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
DATA = os.environ.get("CROSSMAMBA_DATA")
CHART_LIBRARY = "/usr/share/javascript/chart.js/chart.min.js"


def run(*args, stdin=None, env=None):
    """Runs the program in the source folder; returns (exit code, stdout, stderr)."""
    done = subprocess.run([PROGRAM, *args], cwd=SOURCE, input=stdin, capture_output=True, timeout=200,
                          env={**os.environ, **(env or {})})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def sha(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Files(unittest.TestCase):
    """A folder with a small data set that can be learnt."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        rng = random.Random(4)
        n = 24
        self.rna = {f"r{i}": "".join(rng.choice("GGGCCCAU" if i % 2 else "AAAUUUGC") for _ in range(40)) for i in range(n)}
        self.protein = {f"p{i}": "".join(rng.choice("KRKRACFG" if i % 2 else "DEDEACFG") for _ in range(50)) for i in range(n)}
        self.pairs = [(f"r{i}", f"p{(i * 5 + k) % n}", int(i % 2 == (i * 5 + k) % n % 2)) for i in range(n) for k in range(5)]
        self.a = self.write("rna.fasta", "".join(f">{k} text\n{v}\n" for k, v in self.rna.items()))
        self.b = self.write("protein.fasta", "".join(f">{k}\n{v}\n" for k, v in self.protein.items()))
        self.p = self.write("pairs.tsv", "id_a\tid_b\tlabel\n" + "".join(f"{a}\t{b}\t{y}\n" for a, b, y in self.pairs))
        self.small = ["--dim", "16", "--layers", "1", "--learning-rate", "3e-3", "--dropout", "0"]

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8", newline="") as file:
            file.write(text)
        return self.path(name)

    def data(self):
        return ["--a", self.a, "--b", self.b, "--pairs", self.p]

    def train(self, name, *more):
        model = self.path(name)
        plain = [] if "--predictor" in more else ["--predictor", "network"]
        code, _, err = run("train", "--task", "rna-protein", *self.data(), *self.small, "--epochs", "6", "--model", model, "--quiet", *plain, *more)
        self.assertEqual(code, 0, err)
        return model


class Help(unittest.TestCase):
    def test_help_and_version(self):
        code, out, _ = run("--help")
        self.assertEqual(code, 0)
        for command in ("predict", "train", "eval", "audit", "report", "models"):
            self.assertIn(command, out)
            code, text, _ = run(command, "--help")
            self.assertEqual(code, 0)
            self.assertIn("Example:", text)
        self.assertRegex(run("--version")[1], r"^crossmamba \d+\.\d+\.\d+\n$")

    def test_usage_errors(self):
        self.assertEqual(run()[0], 2)
        for args, part in [(["frobnicate"], "no command 'frobnicate'"), (["predict"], "--model"),
                           (["predict", "--model"], "the end of the line"), (["predict", "--modle", "x"], "--modle"),
                           (["predict", "--model", "x", "--model", "y"], "twice"), (["predict", "word"], "'word'"),
                           (["predict", "--model", "x", "--quiet=3"], "no value"),
                           (["train", "--task", "rna-protein", "--model", "/tmp/x", "--dim", "-5"], "8 to 4096"),
                           (["train", "--task", "rna-protein", "--model", "/tmp/x", "--dim", "64x"], "64x"),
                           (["train", "--task", "x", "--model", "/tmp/x"], "task"), (["eval"], "--task"),
                           (["models"], "list"), (["models", "info"], "info"), (["models", "x"], "x"),
                           (["predict", "--model", "x", "--threads", "0"], "1 to 1024")]:
            code, out, err = run(*args)
            self.assertEqual((code, out), (2, ""), (args, err))
            self.assertIn(part, err)

    def test_examples_of_the_help_run(self):
        if not os.path.exists(os.path.join(SOURCE, "models/rna-protein.safetensors")):
            self.skipTest("needs the shipped models")
        for command in ("predict", "train", "eval", "audit", "report", "models"):
            text = run(command, "--help")[1]
            line = text[text.index("Example:\n") + 9:].strip()
            if command == "report" and not os.path.exists(CHART_LIBRARY):
                line += " --no-charts"
            line = re.sub(r"(^|&& )crossmamba", lambda match: match[1] + PROGRAM, line)
            done = subprocess.run(["sh", "-c", line], cwd=SOURCE, capture_output=True, timeout=100)
            self.assertEqual(done.returncode, 0, done.stderr.decode())

    def test_tables(self):
        self.assertIn("rna-molecule\tRNA\tsmall molecule\tpKd", run("models", "tasks")[1])
        self.assertIn("kmer\t", run("models", "encoders")[1])
        self.assertIn("crossmamba\t", run("models", "fusions")[1])
        predictors = [line.split("\t")[0] for line in run("models", "predictors")[1].splitlines()[1:]]
        self.assertLess({"crossmamba", "mlp", "id-only"}, set(predictors))
        help_text = run("eval", "--help")[1]
        for name in predictors:
            self.assertRegex(help_text, rf"(?m)^  {re.escape(name)} ")


class Predict(Files):
    def test_formats_and_batches(self):
        model = self.train("m.safetensors")
        base = ["predict", "--model", model, *self.data(), "--quiet"]
        code, tsv, err = run(*base)
        self.assertEqual(code, 0, err)
        rows = list(csv.DictReader(io.StringIO(tsv), delimiter="\t"))
        self.assertEqual(list(rows[0]), ["id_a", "id_b", "score", "prediction", "unit", "warnings", "low", "high", "uncertainty"])
        self.assertEqual([(r["id_a"], r["id_b"]) for r in rows], [p[:2] for p in self.pairs])
        self.assertTrue(all(0 <= float(r["prediction"]) <= 1 and r["unit"] == "probability" for r in rows))
        right = sum((float(r["prediction"]) > 0.5) == bool(p[2]) for r, p in zip(rows, self.pairs))
        self.assertGreater(right, 0.8 * len(rows))
        for threads in "1", "2", "4":
            for batch in "1", "7", "64":
                self.assertEqual(run(*base, "--threads", threads, "--batch", batch)[1], tsv)
        self.assertEqual(list(csv.DictReader(io.StringIO(run(*base, "--format", "csv")[1]))), rows)
        for line, row in zip(run(*base, "--format", "jsonl")[1].splitlines(), rows):
            self.assertEqual({k: str(v) for k, v in json.loads(line).items() if k in ("id_a", "unit", "warnings")},
                             {k: row[k] for k in ("id_a", "unit", "warnings")})
        self.assertEqual(run(*base, "--format", "xml")[0], 2)
        out = self.path("out.tsv")
        code, text, _ = run(*base, "--out", out)
        self.assertEqual((code, text), (0, ""))
        with open(out, encoding="utf-8") as file:
            self.assertEqual(file.read(), tsv)
        self.assertEqual(run(*base, "--out", self.path("none/out.tsv"))[0], 1)

    def test_all_against_all_and_gzip(self):
        model = self.train("m.safetensors")
        zipped = self.path("rna.fa.gz")
        with gzip.open(zipped, "wt") as file:
            file.write("".join(f">{k}\n{v.replace('U', 't').lower()}\n" for k, v in list(self.rna.items())[:3]))
        code, out, err = run("predict", "--model", model, "--a", zipped, "--b", self.b, "--quiet")
        self.assertEqual(code, 0, err)
        self.assertEqual(len(out.splitlines()), 1 + 3 * len(self.protein))
        plain = run("predict", "--model", model, "--a-text", self.rna["r0"], "--b-text", self.protein["p0"], "--quiet")[1]
        self.assertEqual(out.splitlines()[1].split("\t")[2:4], plain.splitlines()[1].split("\t")[2:4])

    def test_bad_input_leaves_no_output(self):
        model = self.train("m.safetensors")
        out = self.path("out.tsv")
        bad = self.write("bad.fasta", ">x\nACGLLU\n")
        for args, code, part in [
            (["--a", bad, "--b", self.b], 3, "bad.fasta"), (["--a", self.path("none"), "--b", self.b], 1, "none"),
            (["--a", self.folder.name, "--b", self.b], 1, ""), (["--a", self.a], 2, "--b"),
            (["--a-text", "ACGU"], 2, "--b-text"), (["--a-text", "ACGU", "--b-text", "MK1V"], 3, ""),
            (["--a", self.a, "--b", self.b, "--pairs", self.write("p.tsv", "id_a\tid_b\nr0\tzzz\n")], 3, "zzz"),
        ]:
            got, _, err = run("predict", "--model", model, *args, "--out", out, "--quiet")
            self.assertIn(got, (code, 3 if code == 1 else code), err)
            self.assertEqual(len(err.strip().splitlines()), 1 if got != 2 else 2, err)
            self.assertIn(part, err)
            self.assertFalse(os.path.exists(out))
        self.assertEqual(run("predict", "--model", "no-such-model", "--a", self.a, "--b", self.b)[0], 4)
        self.assertEqual(os.listdir(self.folder.name).count("out.tsv"), 0)

    def test_a_device_is_never_replaced(self):
        model, link = self.train("m.safetensors"), self.path("null")
        os.symlink("/dev/null", link)
        code, _, err = run("predict", "--model", model, *self.data(), "--out", link, "--quiet")
        self.assertEqual(code, 1, err)
        self.assertIn("a regular file", err)
        self.assertEqual(os.readlink(link), "/dev/null")

    def test_full_disk(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        model = self.train("m.safetensors")
        with open("/dev/full", "w") as full:
            done = subprocess.run([PROGRAM, "predict", "--model", model, *self.data(), "--quiet"], cwd=SOURCE, stdout=full,
                                  stderr=subprocess.PIPE, timeout=100)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No space left", done.stderr)


class Train(Files):
    def test_same_bits_for_threads(self):
        models = [self.train(f"m{t}.safetensors", "--threads", t) for t in ("1", "2", "4")]
        self.assertEqual(len({sha(m) for m in models}), 1)
        code, text, _ = run("models", "info", models[0])
        self.assertEqual(code, 0)
        self.assertTrue(text.startswith("task: rna-protein\nunit: probability\n"))
        self.assertIn("\n  dim: 16\n", text)
        code, card, _ = run("models", "info", models[0], "--json")
        self.assertEqual(code, 0)
        card = json.loads(card)
        self.assertEqual(card["task"], "rna-protein")
        self.assertEqual(card["data"]["pairs"], len(self.pairs))
        self.assertEqual(card["options"]["dim"], "16")

    def test_every_kind_of_predictor(self):
        learners = re.findall(r"(?m)^  (\S+) ", run("train", "--help")[1].split("Predictors for --predictor")[1])
        self.assertLess({"kernel", "crossmamba", "mlp"}, set(learners))
        for name in "kernel", "mlp", "boosting", "stack:kernel/network", "mean:network/boosting":
            model = self.train(name.replace(":", "-").replace("/", "-") + ".safetensors", "--predictor", name)
            code, card, err = run("models", "info", model)
            self.assertEqual(code, 0, err)
            self.assertEqual("training_molecules: can be told from their feature vectors in this file" in card, "kernel" in name)
            self.assertEqual("training molecules that can be told from their counts in this file" in card, "boosting" in name)
            for kind in "stack", "mean":
                self.assertEqual(f"\n{kind}:\n" in card, name.startswith(kind))
            code, out, err = run("predict", "--model", model, *self.data(), "--quiet")
            rows = list(csv.DictReader(io.StringIO(out), delimiter="\t"))
            right = sum((float(r["prediction"]) > 0.5) == bool(p[2]) for r, p in zip(rows, self.pairs))
            self.assertGreater(right, 0.8 * len(rows), name)
            self.assertEqual(run("eval", "--model", model, *self.data(), "--quiet")[0], 0)
        code, _, err = run("train", "--task", "rna-protein", *self.data(), "--predictor", "neighbour", "--model", self.path("x"))
        self.assertEqual(code, 2)
        self.assertIn("kernel", err)

    def test_what_is_fitted_by_default(self):
        tasks = {row["task"]: row for row in csv.DictReader(io.StringIO(run("models", "tasks")[1]), delimiter="\t")}
        self.assertEqual(tasks["rna-protein"]["predictor"], "mean:network/kernel/boosting")
        model = self.path("m.safetensors")
        code, _, err = run("train", "--task", "rna-protein", *self.data(), *self.small, "--epochs", "2", "--model", model)
        self.assertEqual(code, 0, err)
        card = json.loads(run("models", "info", model, "--json")[1])
        self.assertEqual([card["predictor"], *(part["name"] for part in card["mean"]["parts"])], ["mean", "crossmamba", "kernel", "boosting"])

    def test_existing_model_is_kept(self):
        model = self.train("m.safetensors")
        before = sha(model)
        code, _, err = run("train", "--task", "rna-protein", *self.data(), "--model", model)
        self.assertEqual(code, 2)
        self.assertIn("--force", err)
        self.assertEqual(sha(model), before)
        self.train("m.safetensors", "--force")
        self.assertEqual(sha(model), before)

    def interrupt(self, number, model):
        slow = ["--epochs", "100000", "--patience", "100000", "--checkpoint-seconds", "0"]
        process = subprocess.Popen([PROGRAM, "train", "--task", "rna-protein", "--predictor", "network", *self.data(), *self.small, *slow, "--model", model],
                                   cwd=SOURCE, stderr=subprocess.PIPE)
        checkpoint = model + ".checkpoint"
        end = time.time() + 60
        while not os.path.exists(checkpoint) and time.time() < end:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        return process.returncode, err.decode(), checkpoint

    def test_interrupts_leave_a_usable_checkpoint(self):
        model = self.path("m.safetensors")
        code, err, checkpoint = self.interrupt(signal.SIGINT, model)
        self.assertEqual(code, 1, err)
        self.assertIn("--resume", err)
        code, err, checkpoint = self.interrupt(signal.SIGKILL, model)
        self.assertEqual(code, -signal.SIGKILL)
        self.assertTrue(os.path.exists(checkpoint) or os.path.exists(checkpoint + ".previous"))
        self.assertFalse(os.path.exists(model))
        # a resumed run with other options is refused rather than mixed up
        code, _, err = run("train", "--task", "rna-protein", "--predictor", "network", *self.data(), *self.small, "--model", model, "--resume")
        self.assertEqual(code, 3)
        self.assertIn("other data or options", err)

    def test_learns_nothing_where_there_is_nothing(self):
        code, _, err = run("train", "--task", "rna-protein", "--predictor", "network", "--a", self.a, "--b", self.b, "--pairs",
                           self.write("p.tsv", "id_a\tid_b\tlabel\nr0\tp0\t1\nr1\tp1\t1\n"), "--model", self.path("x"))
        self.assertEqual(code, 3)
        self.assertIn("both classes", err)


class Audit(Files):
    def audit(self, *more):
        return run("audit", "--task", "rna-protein", *self.data(), "--quiet", *more)

    def test_page_and_json(self):
        file = self.path("audit.json")
        code, out, err = self.audit("--json", file)
        self.assertEqual((code, err), (0, ""))
        self.assertIn(f"{len(self.pairs)} rows", out)
        self.assertNotIn("Overlap", out)
        self.assertTrue(out.isascii() and max(map(len, out.splitlines())) <= 120)
        with open(file, encoding="utf-8") as stream:
            figures = json.load(stream)
        self.assertEqual((figures["rows"], figures["repeats"], figures["contradictions"]), (len(self.pairs), 0, 0))
        self.assertEqual(figures["side_a"]["molecules"], len(self.rna))
        self.assertIsNone(figures["overlap"])
        self.assertIn(f"{figures['predictability']['identity']['both']['MCC']:.3f}", out)
        self.assertEqual(self.audit("--threads", "1")[1], out)

    def test_gates(self):
        with open(self.p, "a", encoding="utf-8") as stream:
            a, b, y = self.pairs[0]
            stream.write(f"{a}\t{b}\t{y}\n{a}\t{b}\t{1 - y}\n")
        code, out, err = self.audit("--fail-on", "repeats,contradictions:1,composition:-1")
        self.assertEqual(code, 3)
        self.assertIn("2 rows repeat", out)
        lines = [line for line in err.splitlines() if line.startswith("gate ")]
        self.assertEqual([line.split()[1] for line in lines], ["repeats", "composition"], err)
        self.assertEqual(lines[0], "gate repeats failed: 2 is above 0")
        self.assertEqual(self.audit("--fail-on", "repeats:2,contradictions:1")[0], 0)
        for gates, part in (("repeat", "repeat"), ("repeats:x", "number"), ("overlap", "overlap")):
            code, _, err = self.audit("--fail-on", gates)
            self.assertEqual(code, 2, err)
            self.assertIn(part, err)

    def test_overlap(self):
        self.p = self.write("pairs.tsv", "id_a\tid_b\tlabel\tpart\n" + "".join(
            f"{a}\t{b}\t{y}\t{'test' if i % 5 == 0 else 'train'}\n" for i, (a, b, y) in enumerate(self.pairs)))
        code, out, err = self.audit("--fold-column", "part", "--fail-on", "overlap:0.5")
        self.assertEqual(code, 3, err)
        self.assertRegex(out, r"(?m)^  test +24 +100\.0 ")
        self.assertIn("gate overlap failed", err)
        self.assertRegex(out, r"(?m)^  test +[01]\.\d\d ")

    def test_faults(self):
        with open(self.a, "a", encoding="utf-8") as stream:
            stream.write(">bad\u202e\nACELLU\n")
        with open(self.p, "a", encoding="utf-8") as stream:
            stream.write("bad\u202e\tp0\t1\nbad\u202e\tp1\t0\nnobody\tp1\t0\n")
        file = self.path("audit.json")
        code, out, err = self.audit("--json", file, "--fail-on", "alphabet,unknown-ids")
        self.assertEqual(code, 3, err)
        self.assertIn("1 record of side A (RNA) cannot be read; 2 rows are left out", out)
        self.assertIn("letters that are not allowed: L 2, E 1", out)
        self.assertTrue(out.isascii())
        self.assertIn("gate alphabet failed: 1 is above 0", err)
        self.assertIn("gate unknown-ids failed: 1 is above 0", err)
        with open(file, encoding="utf-8") as stream:
            figures = json.load(stream)
        faults = figures["side_a"]["faults"]
        self.assertEqual((faults["records"], faults["rows"], faults["with_amino_acid_letters"], faults["letters"]), (1, 2, 1, {"E": 1, "L": 2}))
        self.assertIn("'E' at position 3", faults["examples"][0])
        self.assertEqual((figures["rows"], figures["unknown_ids"]), (len(self.pairs), 1))
        code, _, err = self.audit("--bad-records", "refuse")
        self.assertEqual(code, 3)
        self.assertIn("position 3", err)


class Eval(Files):
    def test_table(self):
        predictions = self.path("oof.tsv")
        code, out, err = run("eval", "--task", "rna-protein", *self.data(), *self.small, "--epochs", "4", "--folds", "3",
                             "--compare", "crossmamba,mlp,id-only", "--predictions", predictions, "--quiet")
        self.assertEqual(code, 0, err)
        rows = list(csv.DictReader(io.StringIO(out), delimiter="\t"))
        self.assertEqual({r["model"] for r in rows}, {"crossmamba", "mlp", "id-only"})
        self.assertIn("MCC", {r["metric"] for r in rows})
        with open(predictions, encoding="utf-8") as file:
            self.assertEqual(len(file.readlines()), 1 + 3 * len(self.pairs))
        again = run("eval", "--task", "rna-protein", *self.data(), *self.small, "--epochs", "4", "--folds", "3", "--compare",
                    "crossmamba,mlp,id-only", "--quiet", "--threads", "1", "--checkpoint", self.path("units"))[1]
        self.assertEqual(again, out)

    def test_record(self):
        record = self.path("record.json")
        code, out, err = run("eval", "--task", "rna-protein", *self.data(), *self.small, "--epochs", "3", "--folds", "3",
                             "--compare", "crossmamba,id-only", "--track", "both", "--scramble", "2", "--record", record, "--quiet")
        self.assertEqual(code, 0, err)
        rows = list(csv.DictReader(io.StringIO(out), delimiter="\t"))
        self.assertEqual(list(rows[0])[:10], ["model", "fold", "metric", "pooled", "low95", "high95", "mean", "sd", "pairs", "units"])
        self.assertEqual({r["track"] for r in rows}, {"honest", "paper (biased)", "scrambled"})
        with open(record, encoding="utf-8") as file:
            told = json.load(file)
        with open(os.path.join(SOURCE, "docs/record.md"), encoding="utf-8") as file:
            page = file.read()
        self.assertTrue(told["command"].startswith("crossmamba eval --task rna-protein"))
        keys = set(told) | {k for r in told["results"] for k in r} | set(told["results"][0]["folds"][0])
        for key in keys:
            self.assertIn(key, page)
        for r in rows:
            if r["track"] == "scrambled":
                continue
            result, = [t for t in told["results"] if (t["model"], t["track"]) == (r["model"], r["track"])]
            metric = result["metrics"][r["metric"]]
            for key in "pooled", "low95", "high95", "mean", "sd":
                self.assertAlmostEqual(metric[key], float(r[key]), places=4)
            self.assertEqual(len(result["folds"]), 3)
            self.assertEqual(len(result["roc"]["sensitivity"]), 101)
            self.assertEqual(sum(b["count"] for b in result["reliability"]["bins"]), int(r["pairs"]))
            if r["model"] != "crossmamba":
                self.assertAlmostEqual(metric["difference"]["p"], float(r["p"]), places=4)
        self.assertEqual(len(told["scramble"][0]["metrics"]["MCC"]["values"]), 2)
        for option in ("--track", "published"), ("--reference", "mlp"), ("--scramble", "0"):
            self.assertEqual(run("eval", "--task", "rna-protein", *self.data(), "--compare", "id-only", *option)[0], 2)

    def test_trained_model(self):
        model = self.train("m.safetensors")
        code, out, err = run("eval", "--model", model, *self.data(), "--quiet", "--format", "jsonl")
        self.assertEqual(code, 0, err)
        values = {json.loads(line)["metric"]: json.loads(line)["pooled"] for line in out.splitlines()}
        self.assertGreater(values["AUROC"], 0.9)


class Page(html.parser.HTMLParser):
    """A page that is well-formed: every element closed in order, no id twice, no address of another place."""

    VOID = {"meta", "br", "link", "img", "hr"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.links, self.counts, self.text, self.script, self.scripts = [], set(), [], {}, [], None, {}
        self.feed(text)
        self.close()
        if self.open:
            raise ValueError(f"not closed: {self.open}")

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        if len(names) != len(set(names)):
            raise ValueError(f"an attribute twice in {tag}")
        values = dict(attributes)
        if "id" in values:
            if values["id"] in self.ids:
                raise ValueError(f"id {values['id']} twice")
            self.ids.add(values["id"])
        self.links += [values[name] for name in ("href", "src", "action", "data", "poster", "srcset") if name in values]
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag == "script":
            self.script = values.get("id", "draw")
            self.scripts[self.script] = ""
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            raise ValueError(f"</{tag}> at {self.getpos()}")
        self.script = None

    def handle_data(self, data):
        if self.script is not None:
            self.scripts[self.script] += data
        elif "style" not in self.open:
            self.text.append(data)


class Report(Files):
    def setUp(self):
        super().setUp()
        self.library = self.write("chart.js", "/* Chart.js v3 stand-in */\nfunction Chart() {}\n")
        self.evil = '<script>alert("1")</script>\u202egnol'
        self.p = self.write("pairs.tsv", "id_a\tid_b\tlabel\tkind\n" + "".join(
            f"{a}\t{b}\t{y}\t{self.evil if i % 2 else 'plain'}\n" for i, (a, b, y) in enumerate(self.pairs)))
        self.record = self.path("it's <b>.json")

    def evaluate(self, *more):
        code, _, err = run("eval", "--task", "rna-protein", *self.data(), *self.small, "--epochs", "3", "--folds", "3", "--compare",
                           "crossmamba,id-only", "--group-column", "kind", "--record", self.record, "--quiet", *more)
        self.assertEqual(code, 0, err)

    def page(self, *more):
        out = self.path("page.html")
        code, text, err = run("report", self.record, "--out", out, *more)
        self.assertEqual((code, text, err), (0, "", ""))
        with open(out, encoding="utf-8", newline="") as file:
            text = file.read()
        return text, Page(text)

    def test_page(self):
        self.evaluate("--track", "both", "--scramble", "2")
        audit = self.path("audit.json")
        self.assertEqual(run("audit", "--task", "rna-protein", *self.data(), "--fold-column", "kind", "--json", audit, "--quiet")[0], 0)
        text, page = self.page("--audit", audit, "--chart-library", self.library, "--title", self.evil)
        self.assertNotRegex(text, r"(?i)https?:|//[a-z]|url\(|@import")
        self.assertTrue(all(link.startswith("#") and link[1:] in page.ids for link in page.links), page.links)
        self.assertNotIn("\u202e", text)
        self.assertEqual(set(page.scripts), {"charts", "chart-library", "draw"})
        charts = json.loads(page.scripts["charts"])
        self.assertEqual(len(charts), page.counts["canvas"])
        for chart in charts:
            self.assertIn(chart["id"], page.ids)
            self.assertIn(chart["kind"], ("lines", "points", "intervals", "bars"))
            for axis in ("x",) if "labels" in chart else ("x", "y"):
                self.assertTrue(chart[axis]["title"])
            for series in chart["series"]:
                lengths = {len(series[key]) for key in ("x", "y", "low", "high", "rows", "values", "whiskers") if key in series}
                self.assertEqual(len(lengths), 1)
        words = "".join(page.text)
        with open(self.record, encoding="utf-8") as file:
            record = json.load(file)
        for result in record["results"]:
            self.assertIn(f"{result['metrics']['MCC']['pooled']:.3f}".replace("-", "\u2212"), words)
        for part in ("In plain words", "paper (biased)", "With permuted labels", "Training of the networks", "Overlap of the given folds",
                     "nearest one of other folds",
                     record["command"].replace("\u202e", "[U+202E]"), '<script>alert("1")</script>[U+202E]gnol', "it's <b>"):
            self.assertIn(part, words)
        self.assertEqual(self.page("--audit", audit, "--chart-library", self.library, "--title", self.evil)[0], text)

    def test_tables_without_charts(self):
        self.evaluate()
        plain, page = self.page("--no-charts")
        self.assertNotIn("script", page.counts)
        self.assertNotIn("canvas", page.counts)
        charted = self.page("--chart-library", self.library)[1]
        self.assertEqual(page.counts["table"], charted.counts["table"])
        self.assertEqual(page.counts["td"], charted.counts["td"])
        self.assertRegex(plain, "made without charts")

    def test_affinity_side_by_side(self):
        rng = random.Random(1)
        molecules = self.write("molecules.tsv", "id\tsmiles\n" + "".join(f"m{i}\t{'C' * (i + 1)}O\n" for i in range(12)))
        pairs = self.write("affinity.tsv", "id_a\tid_b\tlabel\tkind\n" + "".join(
            f"r{i}\tm{k}\t{4 + k / 4 + rng.random():.3f}\t{'x' if i % 3 else 'y'}\n" for i in range(12) for k in range(i % 2, 12, 2)))
        more = []
        for split in "random", "cold-b":
            more.append(self.path(split + ".json"))
            code, _, err = run("eval", "--task", "rna-molecule", "--a", self.a, "--b", molecules, "--pairs", pairs, "--compare",
                               "kernel,id-only,composition", "--split", split, "--folds", "3", "--group-column", "kind",
                               "--record", more[-1], "--quiet")
            self.assertEqual(code, 0, err)
        with open(more[0], encoding="utf-8") as file:
            result = json.load(file)["results"][0]
        self.assertEqual({(r["column"], r["value"]) for r in result["residuals"]}, {("kind", "x"), ("kind", "y")})
        self.assertEqual(sum(r["pairs"] for r in result["residuals"]), result["pairs"])
        self.assertEqual(sorted(result["residuals"][0]["quantiles"]), result["residuals"][0]["quantiles"])
        self.assertEqual(set(result["scatter"]["group"]), {"x", "y"})
        self.assertEqual(result["overlap"]["pairs"], result["pairs"])
        self.record = more[0]
        _, page = self.page(more[1], "--chart-library", self.library)
        words = "".join(page.text)
        for part in "1. random", "2. cold-b", "Predicted against measured", "Residuals of kernel by kind", "pKd wide on average":
            self.assertIn(part, words)
        with open(more[1], encoding="utf-8") as file:
            self.assertEqual(json.load(file)["results"][0]["overlap"]["b"], 0)

    def test_installed_library(self):
        if not os.path.exists(CHART_LIBRARY):
            self.skipTest("needs the Debian package libjs-chart.js")
        self.evaluate("--report", self.path("page.html"))
        text, page = self.page()
        self.assertIn("Permission is hereby granted", "".join(page.text))
        library = page.scripts["chart-library"]
        self.assertIn("Released under the MIT License", library)
        self.assertNotRegex(text.replace(library, ""), r"(?i)https?:")

    def test_folds_stand_apart(self):
        self.p = self.write("pairs.tsv", "id_a\tid_b\tlabel\tpart\n" + "".join(
            f"{a}\t{b}\t{y}\t{'xyz'[i % 3]}\n" for i, (a, b, y) in enumerate(self.pairs)))
        code, _, err = run("eval", "--task", "rna-protein", *self.data(), "--fold-column", "part", "--train-fold", "x", "--compare",
                           "id-only,length", "--record", self.record, "--quiet")
        self.assertEqual(code, 0, err)
        _, page = self.page("--chart-library", self.library)
        overview = json.loads(page.scripts["charts"])[0]
        self.assertEqual(overview["labels"], ["id-only, y", "length, y", "id-only, z", "length, z"])
        self.assertEqual(overview["series"][0]["rows"], [0, 1, 2, 3])
        self.assertNotIn("Conformal", "".join(page.text))

    def test_names_that_are_no_text(self):
        with open(self.p, "rb") as file:
            table = file.read().replace(b"plain", b"pl\xffin")
        with open(self.p, "wb") as file:
            file.write(table)
        self.evaluate()
        with open(self.record, encoding="utf-8") as file:
            values = [r["value"] for r in json.load(file)["results"][0]["residuals"]]
        self.assertCountEqual(values, [None, self.evil])
        self.page("--chart-library", self.library)

    def test_usage(self):
        self.write("no.json", "{}")
        for args, code, part in [(["--out", self.path("x")], 2, "record"), ([self.path("no.json")], 2, "--out"),
                                 ([self.path("no.json"), "--out", self.path("x")], 3, "no.json"),
                                 ([self.path("none"), "--out", self.path("x")], 1, "none"),
                                 ([self.path("no.json"), "--no-charts", "--chart-library", "y", "--out", self.path("x")], 2, "--no-charts")]:
            got, out, err = run("report", *args)
            self.assertEqual((got, out), (code, ""), err)
            self.assertIn(part, err)
        self.assertFalse(os.path.exists(self.path("x")))
        self.assertEqual(run("eval", "--task", "rna-protein", *self.data(), "--report", self.path("x"))[0], 2)
        code, _, err = run("eval", "--task", "rna-protein", *self.data(), "--group-column", "none", "--compare", "id-only")
        self.assertEqual(code, 3)
        self.assertIn("none", err)


class Shipped(unittest.TestCase):
    """The models of the models/ folder, when they are there."""

    def test_demo(self):
        if not os.path.exists(os.path.join(SOURCE, "models/rna-rna.safetensors")):
            self.skipTest("needs the shipped models")
        done = subprocess.run(["sh", "examples/demo.sh", PROGRAM], cwd=SOURCE, capture_output=True, timeout=100)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertEqual(done.stdout.decode().count("== "), 3)
        self.assertIn("MS2-operator\tMS2-coat", done.stdout.decode())

    def test_start_up_is_fast(self):
        with open(PROGRAM, "rb") as file:
            sanitized = re.search(b"__[at]san_init", file.read())
        for model, b in ("rna-protein", "MKVLLA"), ("rna-molecule", "CCO"), ("rna-rna", "GGCAGAUCUGAGCC" * 40):
            if not os.path.exists(os.path.join(SOURCE, f"models/{model}.safetensors")):
                self.skipTest("needs the shipped models")
            times = []
            for _ in range(5):
                begin = time.time()
                code, _, err = run("predict", "--model", model, "--a-text", "GGCAGAUCUGAGCC", "--b-text", b, "--quiet")
                times.append(time.time() - begin)
                self.assertEqual(code, 0, err)
            self.assertLess(min(times), 10.0 if sanitized else 1.0, model)

    def test_files_are_small_and_say_what_they_are(self):
        total = 0
        for model in "rna-protein", "rna-molecule", "rna-rna":
            path = os.path.join(SOURCE, f"models/{model}.safetensors")
            if not os.path.exists(path):
                self.skipTest("needs the shipped models")
            size = os.path.getsize(path)
            total += size
            self.assertLess(size, 8e6, model)
            card = json.loads(run("models", "info", model, "--json")[1])
            self.assertEqual(card["task"], model)
            self.assertIn(card["predictor"], ("kernel", "mean"))
            self.assertIn("trained on", card["licence"])
            lines = card["evaluation"].splitlines()
            self.assertEqual(lines[0].split("\t")[:4], ["model", "fold", "metric", "pooled"])
            self.assertGreater(sum("\thonest" in line for line in lines), 10)
            self.assertEqual(card["conformal"]["coverage"], 0.9)
        self.assertLess(total, 15e6)

    def test_unfamiliar_molecules_are_named(self):
        for model, a, b, told in (("rna-rna", "A" * 22, "A" * 80, ["A unlike the training molecules", "B unlike the training molecules"]),
                                  ("rna-protein", "ACGU" * 1000, "MKV" * 1000, ["A longer than trained (4000 > ", "B longer than trained (3000 > "])):
            if not os.path.exists(os.path.join(SOURCE, f"models/{model}.safetensors")):
                self.skipTest("needs the shipped models")
            code, out, err = run("predict", "--model", model, "--a-text", a, "--b-text", b, "--quiet")
            self.assertEqual(code, 0, err)
            for part in told:
                self.assertIn(part, out)

    def test_real_data(self):
        if not DATA or not os.path.exists(os.path.join(SOURCE, "models/rna-protein.safetensors")):
            self.skipTest("needs CROSSMAMBA_DATA and the shipped models")
        # rpi369 was not trained on (rpi1807 and rpi2241 were); its RNAs hold amino-acid letters
        folder = os.path.join(DATA, "rpi369")
        files = ["--a", folder + "/rna.fasta", "--b", folder + "/protein.fasta", "--pairs", folder + "/pairs.tsv"]
        code, _, err = run("eval", "--model", "rna-protein", *files, "--quiet")
        self.assertEqual(code, 3)
        self.assertIn("rna.fasta", err)
        code, out, err = run("eval", "--model", "rna-protein", *files, "--bad-records", "skip")
        self.assertEqual(code, 0, err)
        self.assertIn("warning", err)
        self.assertIn("MCC", out)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
