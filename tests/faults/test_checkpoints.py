"""Checkpoints of training with the real program: damage, other runs, two runs at once, what is left behind.

usage: test_checkpoints.py PROGRAM INJECT SOURCE_FOLDER

A run is killed when it has written two checkpoints; each row then spoils what it has left and starts `train --resume`. It must
end with the bytes of an undisturbed run and leave nothing else behind, or refuse with one line that names file and place.
Python's standard library only.
"""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

from test_faults import DATA, NETWORK, Folder

TRAIN = ["train", "--task", "rna-protein", "--predictor", "network", *DATA, "--pairs", "{}/pairs.tsv", *[word for word in NETWORK if word != "--quiet"], "--epochs", "60",
         "--patience", "60", "--batch", "8", "--force", "--model", "{}/m.safetensors"]
OFTEN = ["--checkpoint-seconds", "0"]
ENDLESS = [*OFTEN, "--epochs", "100000", "--patience", "100000"]
LAST, BEFORE = "m.safetensors.checkpoint", "m.safetensors.checkpoint.previous"


def wait_for(condition, what):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.002)


# ---- what a row does to a file ----


def change(path, edit):
    with open(path, "rb") as file:
        data = bytearray(file.read())
    changed = edit(data)
    data = data if changed is None else changed
    with open(path, "wb") as file:
        file.write(data)


def flip(at):
    """Flips a bit; at: share of the file."""
    def edit(data):
        data[int(at * (len(data) - 1))] ^= 16
    return lambda path: change(path, edit)


def cut(share):
    return lambda path: change(path, lambda data: bytes(data[:int(share * len(data))]))


def version(number, sealed=True):
    """Another format version; sealed: under a hash of its own, as the program of that version would write it."""
    def edit(data):
        length = int.from_bytes(data[:8], "little")
        header, body = bytes(data[8:8 + length]).replace(b'"format_version":"2"', b'"format_version":"%d"' % number), bytes(data[8 + length:])
        entries = json.loads(header)
        metadata = entries.pop("__metadata__")
        digest = hashlib.sha256("".join(metadata[key] + "\0" for key in ("format", "format_version", "key")).encode())
        for name in sorted(entries):
            begin, end = entries[name]["data_offsets"]
            digest.update(name.encode() + b"\0" + body[begin:end])
        new = digest.hexdigest() if sealed else metadata["sha256"]
        return bytes(data[:8]) + header.replace(metadata["sha256"].encode(), new.encode()) + body
    return lambda path: change(path, edit)


def folder_there(path):
    os.remove(path)
    os.mkdir(path)


# name -> (what is done to the last checkpoint, what is said about it); the one before is whole
FALLS = {
    "a bit of the length": (flip(0), "m.safetensors.checkpoint: "),
    "a bit of the header": (flip(0.005), "m.safetensors.checkpoint: "),
    "the digit of the version": (version(3, sealed=False), "m.safetensors.checkpoint: sha256: found other contents: the file is damaged"),
    "a bit of the counters": (lambda path: change(path, lambda data: data.__setitem__(8 + int.from_bytes(data[:8], "little") + 3, 1)), "m.safetensors.checkpoint: sha256: found other contents: the file is damaged"),
    "a bit of the moments": (flip(0.3), "sha256: found other contents"),
    "a bit of the best weights": (flip(0.6), "sha256: found other contents"),
    "a bit of the weights": (flip(1), "sha256: found other contents"),
    "empty": (cut(0), "m.safetensors.checkpoint: "),
    "half": (cut(0.5), "m.safetensors.checkpoint: "),
    "all but the last byte": (cut(0.9999), "m.safetensors.checkpoint: "),
    "not there": (os.remove, "the last checkpoint was not finished"),
    "something else": (lambda path: change(path, lambda _: b">r1\nACGU\n"), "m.safetensors.checkpoint: "),
}
# name -> (done to the last one, done to the one before, what is said, exit code)
REFUSALS = {
    "both damaged": (flip(1), flip(1), "m.safetensors.checkpoint.previous: sha256: found other contents: the file is damaged", 3),
    "both cut": (cut(0.5), cut(0), "m.safetensors.checkpoint.previous: ", 3),
    "no other": (flip(1), os.remove, "m.safetensors.checkpoint: sha256", 3),
    "a newer version": (version(7), None, "m.safetensors.checkpoint: format_version: found 7: a file of a newer crossmamba, expected 2", 3),
    "an older version": (version(1), None, "m.safetensors.checkpoint: format_version: found 1: a file of an older crossmamba, expected 2", 3),
    "a folder": (folder_there, os.remove, "m.safetensors.checkpoint: found a directory", 1),
}
# name -> further options of the next start
OTHERS = {"another seed": ["--seed", "5"], "another network": ["--dim", "16"], "another rate": ["--learning-rate", "3e-4"], "another fusion": ["--fusion", "mlp"],
          "other input": ["--encoder-a", "kmer"]}


class Checkpoints(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = Folder(TRAIN)
        cls.addClassCleanup(cls.work.close)
        cls.work.reset()
        cls.kill(cls.start(OFTEN), lambda: os.path.exists(cls.path(BEFORE)))
        cls.left = os.path.join(cls.work.base, "left")
        shutil.copytree(cls.work.folder, cls.left, ignore=shutil.ignore_patterns("*.tmp.*", "*.lock"))
        if not os.path.exists(cls.path(LAST)):  # killed between two renames
            shutil.copyfile(cls.path(BEFORE), os.path.join(cls.left, LAST))

    @classmethod
    def path(cls, name):
        return os.path.join(cls.work.folder, name)

    @classmethod
    def start(cls, options):
        command = [*cls.work.arguments(False), *(option.replace("{}", cls.work.folder) for option in options)]
        return subprocess.Popen(command, cwd=cls.work.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    @classmethod
    def kill(cls, process, condition):
        wait_for(condition, "no checkpoint")
        assert process.poll() is None, "the run came to its end before it could be killed"
        process.kill()
        process.communicate()

    def restore(self):
        """What the killed run has left."""
        shutil.rmtree(self.work.folder)
        shutil.copytree(self.left, self.work.folder)

    def end(self, options=()):
        process = self.start(["--resume", *options])
        _, err = process.communicate(timeout=120)
        return process.returncode, err.decode()

    def check_end(self, what, says=""):
        code, err = self.end()
        self.assertEqual(code, 0, f"{what}: {err}")
        self.assertIn(says, err, what)
        self.assertEqual(self.work.files(), self.work.wanted, what)

    def check_refusal(self, what, says, code, options=()):
        before = self.work.files()
        found, err = self.end(options)
        self.assertEqual(found, code, f"{what}: {err}")
        self.assertIn(says, err.strip().split("\n")[-1], what)
        self.assertEqual(self.work.files(), before, what)

    def test_falls_back(self):
        for name, (spoil, says) in FALLS.items():
            self.restore()
            spoil(self.path(LAST))
            self.check_end(name, says)

    def test_warning_names_both_files(self):
        self.restore()
        flip(1)(self.path(LAST))
        code, err = self.end()
        self.assertEqual(code, 0, err)
        line = next(line for line in err.split("\n") if "warning" in line)
        self.assertIn(f"{self.path(LAST)}: sha256", line)
        self.assertIn(f"going on from {self.path(BEFORE)}", line)

    def test_falls_back_after_a_kill(self):
        """The damaged file does not take the place of the whole one while the run goes on."""
        self.restore()
        before = os.stat(self.path(BEFORE)).st_ino
        flip(1)(self.path(LAST))
        self.kill(self.start([*OFTEN, "--resume"]), lambda: os.stat(self.path(BEFORE)).st_ino != before)
        if os.path.exists(self.path(LAST)):
            cut(0)(self.path(LAST))
        self.check_end("killed after a fall back")

    def test_refuses(self):
        for name, (spoil, spoil_before, says, code) in REFUSALS.items():
            self.restore()
            spoil(self.path(LAST))
            if spoil_before:
                spoil_before(self.path(BEFORE))
            self.check_refusal(name, says, code)

    def test_other_runs(self):
        for name, options in OTHERS.items():
            self.restore()
            self.check_refusal(name, "other data or options", 3, options)

    def test_other_data(self):
        self.restore()
        change(self.path("pairs.tsv"), lambda data: bytes(data).replace(b"r0\tp0\t1", b"r0\tp0\t0"))
        self.check_refusal("another label", "other data or options", 3)
        self.restore()
        change(self.path("a.fasta"), lambda data: bytes(data).replace(b">r0\n", b">r0\nA"))
        self.check_refusal("another sequence", "other data or options", 3)

    def test_leftovers_are_cleaned(self):
        self.restore()
        for name in (LAST, "m.safetensors"):
            with open(self.path(f"{name}.tmp.999999.0"), "wb") as file:
                file.write(b"half of a file")
        self.check_end("temporary files of a killed run")

    def test_one_run_at_a_time(self):
        self.work.reset()
        first = self.start(ENDLESS)
        self.addCleanup(first.kill)
        wait_for(lambda: os.path.exists(self.path(LAST)), "no checkpoint")
        code, err = self.end()
        self.assertEqual(code, 1, err)
        self.assertEqual(err.strip(), f"crossmamba train: input or output failed: {self.path(LAST)}.lock: found held: another run is at work on this checkpoint, expected one run at a time (wait for its end, or give another --checkpoint)")
        second = self.start(["--checkpoint", "{}/elsewhere"])
        _, err = second.communicate(timeout=120)
        self.assertEqual(second.returncode, 0, err)
        self.kill(first, lambda: True)
        os.remove(self.path("m.safetensors"))
        self.assertTrue(os.path.exists(self.path(LAST + ".lock")))
        for name in (LAST, BEFORE):  # those of this run belong to other options
            shutil.copyfile(os.path.join(self.left, name), self.path(name))
        self.check_end("after the one that held the lock was killed")

    def test_stopped_run_leaves_no_lock(self):
        self.work.reset()
        process = self.start(ENDLESS)
        wait_for(lambda: os.path.exists(self.path(BEFORE)), "no checkpoint")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, err)
        self.assertIn(b"continue with --resume", err)
        self.assertEqual(sorted(self.work.files()), [LAST, BEFORE])

    def test_folder_of_the_checkpoint(self):
        self.work.reset()
        os.mkdir(self.path("c"))
        process = self.start([*OFTEN, "--checkpoint", "{}/c/run"])
        wait_for(lambda: os.path.exists(self.path("c/run")), "no checkpoint")
        shutil.rmtree(self.path("c"), ignore_errors=True)
        shutil.rmtree(self.path("c"), ignore_errors=True)  # the run may have added a file meanwhile
        _, err = process.communicate(timeout=120)
        if os.path.exists(self.path("c")):
            self.skipTest("the folder could not be removed while the run wrote into it")
        self.assertEqual(process.returncode, 1, err)
        self.assertIn(self.path("c/run").encode(), err)
        self.assertEqual(self.work.files(), {})
        code, err = self.end(["--checkpoint", "{}/c/run"])
        self.assertEqual(code, 1, err)
        self.assertIn("c/run.lock: cannot lock: No such file or directory", err)

    def test_folder_that_cannot_be_written(self):
        self.work.reset()
        os.mkdir(self.path("c"))
        os.chmod(self.path("c"), 0o555)
        os.chmod(self.work.folder, 0o777)
        os.chmod(self.work.base, 0o755)
        more = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run([*self.work.arguments(False), "--checkpoint", self.path("c/run")], capture_output=True, stdin=subprocess.DEVNULL, **more)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(b"c/run.lock: cannot lock: Permission denied", done.stderr)
        self.assertEqual(self.work.files(), {})


class Ensembles(unittest.TestCase):
    """Every member has its own two files."""

    def test_members(self):
        work = Folder([*TRAIN, "--ensemble", "2"])
        self.addCleanup(work.close)
        work.reset()
        path = os.path.join(work.folder, LAST)
        process = subprocess.Popen([*work.arguments(False), *OFTEN], cwd=work.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(path + ".member2.previous"), "no checkpoint")
        process.kill()
        process.wait()
        for name in (path, path + ".member2"):
            if os.path.exists(name):
                flip(1)(name)
        process = subprocess.run([*work.arguments(False), "--resume"], cwd=work.folder, stdin=subprocess.DEVNULL, capture_output=True)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertIn(f"going on from {path}.previous".encode(), process.stderr)
        self.assertIn(f"going on from {path}.member2.previous".encode(), process.stderr)
        self.assertEqual(work.files(), work.wanted)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
