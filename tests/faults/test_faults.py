"""The program under faults: failing system calls, full disks, folders that cannot be written, kill -9 at any moment.

usage: test_faults.py PROGRAM INJECT SOURCE_FOLDER [--long]

After every fault: no signal, no success without the complete result, a message, the old file or the whole new one and
nothing in between. Then the same command runs again without the fault: it must succeed with the bytes of an undisturbed
run and leave no other file behind. Without --long the points of a sweep are thinned. Python's standard library only.
"""
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM, INJECT, SOURCE = (os.path.abspath(path) for path in sys.argv[1:4])
LONG = "--long" in sys.argv
FIXTURES = os.path.join(SOURCE, "tests/fixtures")
KINDS = {  # kind of call -> what to do to it
    "open": ["EIO", "EMFILE", "EACCES"], "read": ["EIO", "EINTR", "short"], "write": ["ENOSPC", "EIO", "EINTR", "short"], "sync": ["EIO", "ENOSPC"],
    "rename": ["EIO", "ENOSPC"], "close": ["EIO"], "map": ["ENOMEM"], "truncate": ["ENOSPC"], "link": ["EIO"]}
HARMLESS = {("read", "short"), ("write", "short")}  # must not even be noticed
NOTICED = {"embed"}  # LMDB takes a short write for a full disk and a short read of its header for a damaged file


def sha(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Work:
    """A folder with inputs, a command, and what an undisturbed run of it leaves there."""

    def __init__(self, command, resume=(), old=None, shared=None, noticed=False):
        self.command, self.resume, self.old, self.noticed = command, list(resume), old or {}, noticed
        self.base = tempfile.mkdtemp(prefix="crossmamba-faults-")
        self.inputs = os.path.join(self.base, "inputs")
        self.folder = os.path.join(self.base, "work")
        os.mkdir(self.inputs)
        self.write_inputs()
        for name, source in (shared or {}).items():
            shutil.copyfile(source, os.path.join(self.inputs, name))
        self.reset()
        code, out, err = self.run()
        assert code == 0, err
        self.wanted, self.wanted_out = self.files(), out

    def close(self):
        shutil.rmtree(self.base)

    def write_inputs(self):
        rng, n = random.Random(4), 12
        texts = {"a.fasta": "".join(f">r{i}\n{''.join(rng.choice('GGCCAU' if i % 2 else 'AAUUGC') for _ in range(24))}\n" for i in range(n)),
                 "b.fasta": "".join(f">p{i}\n{''.join(rng.choice('KRACFG' if i % 2 else 'DEACFG') for _ in range(24))}\n" for i in range(n)),
                 "pairs.tsv": "id_a\tid_b\tlabel\n" + "".join(f"r{i}\tp{(i * 5 + k) % n}\t{int(i % 2 == (i * 5 + k) % n % 2)}\n" for i in range(n) for k in range(4))}
        for name, text in texts.items():
            with open(os.path.join(self.inputs, name), "w") as file:
                file.write(text)

    def reset(self):
        """The inputs, and under the names of the results what was there before."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.inputs, self.folder)
        for name, text in self.old.items():
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(text)

    def files(self):
        """Path in the folder -> hash, without the inputs; of an embedding store only that it is there."""
        found = {}
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), self.folder)
                if not os.path.exists(os.path.join(self.inputs, path)):
                    found[path] = "store" if folder.endswith("/store") else sha(os.path.join(folder, name))
        return found

    def arguments(self, resume):
        return [PROGRAM, *self.command, *(self.resume if resume else [])]

    def run(self, *inject, resume=False, **more):
        """inject: kind, number, action. The counting begins with the first file of the folder."""
        prefix = [INJECT, *map(str, inject), self.base, os.path.join(self.base, "count")] if inject else []
        # the leak checker of a sanitizer build is a tracer of its own, and there is room for one
        environment = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        done = subprocess.run([*prefix, *self.arguments(resume)], cwd=self.folder, capture_output=True, timeout=120, stdin=subprocess.DEVNULL,
                              env=environment, **more)
        return done.returncode, done.stdout, done.stderr.decode(errors="replace")

    def count(self, kind):
        self.reset()
        code, _, err = self.run(kind, 0, "EIO")
        if code == 77:
            return None
        assert code == 0, err
        with open(os.path.join(self.base, "count")) as file:
            return int(file.read())


EMBED = ["embed", "--encoder", "esm2:" + os.path.join(FIXTURES, "encoders/esm2-formula"), "--a", "{}/b.fasta", "--threads", "1", "--quiet"]
NETWORK = ["--dim", "8", "--layers", "1", "--head-dim", "4", "--encoder-a", "onehot", "--encoder-b", "onehot", "--threads", "1", "--quiet"]
DATA = ["--a", "{}/a.fasta", "--b", "{}/b.fasta"]
TRAIN = ["train", "--task", "rna-protein", "--predictor", "network", *DATA, "--pairs", "{}/pairs.tsv", *NETWORK, "--epochs", "2", "--batch", "16", "--force"]
COMMANDS = {  # name -> (command, options of the next start, old files)
    "train": ([*TRAIN, "--checkpoint-seconds", "0", "--model", "{}/m.safetensors"], ["--resume"], {"m.safetensors": "old"}),
    "ensemble": ([*TRAIN, "--checkpoint-seconds", "0", "--ensemble", "2", "--model", "{}/m.safetensors"], ["--resume"], {}),
    "predict": (["predict", "--model", "{}/model.safetensors", *DATA, "--threads", "1", "--quiet", "--out", "{}/out.tsv"], [], {"out.tsv": "old"}),
    "predict-stdout": (["predict", "--model", "{}/model.safetensors", *DATA, "--threads", "1", "--quiet"], [], {}),
    "eval": (["eval", "--task", "rna-protein", *DATA, "--pairs", "{}/pairs.tsv", *NETWORK, "--epochs", "1", "--folds", "2", "--compare", "composition", "--save-splits", "{}/splits.json", "--record", "{}/record.json"], [], {}),
    "embed": ([*EMBED, "--store", "{}/store", "--out", "{}/e.safetensors", "--tokens"], [], {"e.safetensors": "old"}),
    "embed-npz": ([*EMBED, "--no-store", "--out", "{}/e.npz"], [], {}),
    "embed-npy": ([*EMBED, "--no-store", "--out", "{}/e.npy"], [], {}),
    "embed-tsv": ([*EMBED, "--no-store", "--out", "{}/e.tsv"], [], {}),
}


def make(name):
    command, resume, old = COMMANDS[name]
    shared = {"model.safetensors": os.path.join(FIXTURES, "model-0.1.0.safetensors")} if name.startswith("predict") else {}
    return Folder(command, resume, old, shared, name in NOTICED)


class Folder(Work):
    """Work whose command names its folder as {}."""

    def arguments(self, resume):
        return [text.replace("{}", self.folder) for text in super().arguments(resume)]


class Faults(unittest.TestCase):
    def check_files(self, work, what):
        """Every result is the old file, the whole new one, or not there; others are only there until the next start."""
        for name, found in work.files().items():
            if name in work.wanted and name != "record.json":
                old = hashlib.sha256(work.old.get(name, "").encode()).hexdigest()
                self.assertIn(found, (work.wanted[name], old), f"{what}: {name} is neither old nor new")

    def check_success(self, work, out, what):
        """record.json holds times: only that it is there."""
        wanted, found = dict(work.wanted), work.files()
        for files in (wanted, found):
            files.update({name: "" for name in files if name == "record.json"})
        self.assertEqual(found, wanted, what)
        if "eval" not in work.command:
            self.assertEqual(out, work.wanted_out, what)

    def check_fault(self, work, kind, number, action):
        what = f"{work.command[0]}, {kind} call {number}: {action}"
        work.reset()
        code, out, err = work.run(kind, number, action)
        if action != "kill":
            self.assertLess(code, 128, f"{what}: ended by a signal: {err}")
            self.assertTrue(code == 0 or err.strip(), f"{what}: no message")
        if code == 0:
            self.check_success(work, out, what)
        if (kind, action) in HARMLESS and not work.noticed:
            self.assertEqual(code, 0, f"{what}: {err}")
        self.check_files(work, what)
        code, out, err = work.run(resume=True)
        self.assertEqual(code, 0, f"{what}: the next start: {err}")
        self.check_success(work, out, f"{what}: the next start")

    def sweep(self, name, kinds, most):
        work = make(name)
        self.addCleanup(work.close)
        cases = []
        for kind, actions in kinds.items():
            calls = work.count(kind)
            if calls is None:
                self.skipTest("this system does not allow tracing")
            cases += [(kind, number, action) for action in actions for number in range(1, calls + 1)]
        if not LONG and len(cases) > most:
            cases = random.Random(7).sample(cases, most)
        for kind, number, action in cases:
            self.check_fault(work, kind, number, action)
        print(f"{name}: {len(cases)} faults", file=sys.stderr)


    def test_store_begun_on_a_full_disk(self):
        """The first pages of a new store, cut short: the next start makes them again."""
        work = make("embed")
        self.addCleanup(work.close)
        if work.count("write") is None:
            self.skipTest("this system does not allow tracing")
        self.check_fault(work, "write", 1, "short")


def add_sweep(name, what, kinds, most):
    setattr(Faults, f"test_{name.replace('-', '_')}_{what}", lambda self: self.sweep(name, kinds, most))


for command_name in COMMANDS:
    add_sweep(command_name, "calls", KINDS, 7)
    add_sweep(command_name, "killed", {"any": ["kill"]}, 3)


class Kills(unittest.TestCase):
    def kill_often(self, name, times):
        """kill -9 after a random time, again and again, until the run ends; then the bytes of an undisturbed run."""
        work = make(name)
        self.addCleanup(work.close)
        rng, kills, starts = random.Random(11), 0, 0
        began = time.monotonic()
        work.run(resume=True)
        whole = time.monotonic() - began
        while kills < times:
            work.reset()
            for _ in range(30):
                starts += 1
                process = subprocess.Popen(work.arguments(True), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=work.folder)
                time.sleep(rng.uniform(0, whole))
                process.send_signal(signal.SIGKILL)
                if process.wait() == 0:
                    break
                kills += 1
                Faults.check_files(self, work, f"{name}, kill {kills}")
            code, out, err = work.run(resume=True)
            self.assertEqual(code, 0, err)
            Faults.check_success(self, work, out, f"{name}, after kill {kills}")
        print(f"{name}: {kills} kills in {starts} starts", file=sys.stderr)

    def test_training(self):
        self.kill_often("train", 1000 if LONG else 10)

    def test_embedding(self):
        self.kill_often("embed", 1000 if LONG else 10)


class Disks(unittest.TestCase):
    def fails(self, work, what, allowed=(1,), **more):
        code, _, err = work.run(**more)
        self.assertIn(code, allowed, f"{what}: {err}")
        self.assertTrue(err.strip(), what)
        Faults.check_files(self, work, what)
        self.assertEqual([name for name in work.files() if ".tmp." in name or ".new" in name], [], what)

    def test_size_limit(self):
        """A limit on the size of files is a failed write, not a signal."""
        import resource
        for name in ("train", "predict", "embed-npz", "embed-tsv"):
            work = make(name)
            self.addCleanup(work.close)
            work.reset()
            self.fails(work, name, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)))

    def test_full_device(self):
        """Every command that prints says when nobody has got it."""
        work = make("predict-stdout")
        self.addCleanup(work.close)
        commands = [work.arguments(False)[1:], ["models", "tasks"], ["models", "encoders"], ["--help"], ["--version"], ["train", "--help"],
                    ["models", "info", os.path.join(FIXTURES, "model-0.1.0.safetensors")], ["models", "info", "--json", os.path.join(FIXTURES, "model-0.1.0.safetensors")]]
        for command in commands:
            with open("/dev/full", "w") as full:
                done = subprocess.run([PROGRAM, *command], stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=SOURCE)
            self.assertEqual(done.returncode, 1, f"{command}: {done.stderr}")
            self.assertIn(b"No space left", done.stderr, command)

    def test_full_disk(self):
        if os.geteuid() != 0:
            self.skipTest("only root can mount a small disk")
        for name in ("train", "predict", "embed", "embed-npz"):
            work = make(name)
            self.addCleanup(work.close)
            work.reset()
            small = tempfile.mkdtemp(prefix="crossmamba-disk-")
            self.addCleanup(os.rmdir, small)
            if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", small], stderr=subprocess.DEVNULL).returncode != 0:
                self.skipTest("this system does not allow mounting")
            self.addCleanup(subprocess.run, ["umount", small])
            for path in os.listdir(work.folder):
                shutil.copyfile(os.path.join(work.folder, path), os.path.join(small, path)) if os.path.getsize(os.path.join(work.folder, path)) < 4096 else os.symlink(os.path.join(work.folder, path), os.path.join(small, path))
            with open(os.path.join(small, "filler"), "wb", buffering=0) as filler:
                try:
                    while True:
                        filler.write(bytes(4096))
                except OSError:
                    pass
            command = [text.replace(work.folder, small) for text in work.arguments(False)]
            done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 1, f"{name}: {done.stderr}")
            self.assertIn(b"No space left", done.stderr, name)
            left = [file for file in os.listdir(small) if file not in os.listdir(work.inputs) and file not in ("filler", "store", *work.old)]
            self.assertEqual(left, [], name)

    def test_read_only_folder(self):
        for name in ("train", "predict", "embed", "embed-npy"):
            work = make(name)
            self.addCleanup(work.close)
            work.reset()
            os.chmod(work.base, 0o755)
            os.chmod(work.folder, 0o555)
            self.addCleanup(os.chmod, work.folder, 0o755)
            before = work.files()
            more = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
            self.fails(work, name, **more)
            self.assertEqual(work.files(), before, name)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *[text for text in sys.argv[4:] if text != "--long"]])
